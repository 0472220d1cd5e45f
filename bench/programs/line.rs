//! The least a program can do that shows: print one line and exit. Started by
//! `cargo xtask bench start` through every runtime, as the same static file.

fn main() {
    println!("ready");
}
