//! The first program of all, with the whole standard library behind it.

fn main() {
    println!("Hello, world!");
}
