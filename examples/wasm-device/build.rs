//! A module's memory: one page, of which the stack takes a part.

fn main() {
    for name in ["MODULE_VERSION", "MODULE_BEHAVIOUR"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    if std::env::var("CARGO_CFG_TARGET_ARCH").as_deref() == Ok("wasm32") {
        println!("cargo::rustc-link-arg=-zstack-size=4096");
        println!("cargo::rustc-link-arg=--initial-memory=65536");
    }
}
