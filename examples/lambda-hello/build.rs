//! How the program is linked.

fn main() {
    ounce_link::program_of_zeros().expect("OUT_DIR can be written");
}
