//! Compiles `apps/bootstrap`, a workspace of its own, for each architecture that
//! Lambda has, so that `lambda` can embed the adapter. One that cannot be built is
//! left out with its reason: shipping a server to Lambda then fails with that, and
//! everything else works.

use std::fmt::Write as _;
use std::fs;

use ounce_link::embed::Workspace;

/// OCI's name of an architecture, and the target that `apps/bootstrap` configures
/// for it.
const ARCHITECTURES: [(&str, &str); 2] = [
    ("amd64", "x86_64-unknown-linux-musl"),
    ("arm64", "aarch64-unknown-linux-musl"),
];

fn main() {
    let others = [
        "apps/httpd/src",
        "crates/http/src",
        "crates/lambda/src",
        "crates/linux/src",
        "crates/link/src",
    ];
    let bootstrap = Workspace::new("apps/bootstrap", &others);
    let mut table = String::from("&[\n");
    for (architecture, target) in ARCHITECTURES {
        let kept = format!("bootstrap-{architecture}");
        let kept = bootstrap
            .compile(target)
            .and_then(|folder| bootstrap.keep(&folder, "bootstrap", &kept));
        let _ = match kept {
            Ok(path) => writeln!(
                table,
                "    ({architecture:?}, Ok(include_bytes!({:?}))),",
                path.display().to_string()
            ),
            Err(reason) => writeln!(table, "    ({architecture:?}, Err({reason:?})),"),
        };
    }
    table.push_str("]\n");
    fs::write(bootstrap.out().join("bootstrap.rs"), table).expect("OUT_DIR can be written");
}
