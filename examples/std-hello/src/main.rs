//! The first program of all, with the whole standard library behind it.
#![forbid(unsafe_code)]

fn main() {
    println!("Hello, world!");
}
