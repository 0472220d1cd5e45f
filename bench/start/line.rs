//! A program that prints one line and ends: the pure start path.
#![forbid(unsafe_code)]

fn main() {
    println!("up");
}
