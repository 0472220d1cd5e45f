//! Compiles `apps/httpd`, a workspace of its own, for each architecture whose
//! target is installed, so that `base` can embed it. One that cannot be built
//! is left out with its reason: a folder image then fails with that reason,
//! and everything else works.

use std::fmt::Write as _;
use std::fs;

use ounce_link::embed::Workspace;

/// OCI's name of an architecture, and the target that `apps/httpd` configures for it.
const ARCHITECTURES: [(&str, &str); 2] = [
    ("amd64", "x86_64-unknown-linux-musl"),
    ("arm64", "aarch64-unknown-linux-musl"),
];

/// Its programs: the server of folders, and that of packed sites alone.
const PROGRAMS: [&str; 2] = ["httpd", "httpd-packed"];

fn main() {
    let others = ["crates/http/src", "crates/linux/src", "crates/link/src"];
    let httpd = Workspace::new("apps/httpd", &others);
    let mut table = String::from("&[\n");
    for (architecture, target) in ARCHITECTURES {
        let built = httpd.compile(target);
        for program in PROGRAMS {
            let kept = format!("{program}-{architecture}");
            let kept = built
                .clone()
                .and_then(|folder| httpd.keep(&folder, program, &kept));
            let _ = match kept {
                Ok(path) => writeln!(
                    table,
                    "    ({architecture:?}, {program:?}, Ok(include_bytes!({:?}))),",
                    path.display().to_string()
                ),
                Err(reason) => writeln!(
                    table,
                    "    ({architecture:?}, {program:?}, Err({reason:?})),"
                ),
            };
        }
    }
    table.push_str("]\n");
    fs::write(httpd.out().join("httpd.rs"), table).expect("OUT_DIR can be written");
}
