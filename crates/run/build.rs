//! Compiles `apps/keeper`, a workspace of its own, for the machine that ounce
//! is compiled for, so that `containers::keep` can embed it. Where it cannot be
//! built its place holds the reason: a detached start then fails with that, and
//! everything else works.

use std::{env, fs};

use ounce_link::embed::Workspace;

fn main() {
    let others = ["apps/httpd/src", "crates/linux/src", "crates/link/src"];
    let keeper = Workspace::new("apps/keeper", &others);
    let architecture = env::var("CARGO_CFG_TARGET_ARCH").expect("cargo sets it for build scripts");
    let target = format!("{architecture}-unknown-linux-musl");
    let built = keeper
        .compile(&target)
        .and_then(|folder| keeper.keep(&folder, "keeper", "keeper.elf"));
    let text = match built {
        Ok(path) => format!("Ok(include_bytes!({:?}))", path.display().to_string()),
        Err(reason) => {
            println!("cargo::warning=no detached containers: {reason}");
            // What hindered it may be gone the next time: a file that never is
            // there has this run anew.
            println!("cargo::rerun-if-changed=tried-again-each-time");
            format!("Err({reason:?})")
        }
    };
    fs::write(keeper.out().join("keeper.rs"), text).expect("OUT_DIR can be written");
}
