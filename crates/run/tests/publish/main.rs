//! Ports, the proxy and the terminal with real sockets, namespaces and ptys.
//!
//! This binary is also the processes that the tests need: with `OUNCE_ROLE`
//! set, the ignored test [`role`] is the proxy or a server in a namespace. It
//! runs with one test thread, which libtest then runs on the main thread, so
//! that the process may enter a user namespace.

mod proxy;

use std::process::Command;

/// A command that runs this binary in a role.
pub(crate) fn role_command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "role",
            "--ignored",
            "--test-threads=1",
            "--nocapture",
        ])
        .env("OUNCE_ROLE", role);
    command
}

#[test]
#[ignore = "a process of the other tests"]
fn role() {
    let role = std::env::var("OUNCE_ROLE").unwrap_or_default();
    match role.split(':').collect::<Vec<_>>()[..] {
        ["proxy"] => ounce_run::proxy::main().unwrap(),
        ["server", address, delay_ms] => {
            proxy::server(&address.replace('_', ":"), delay_ms.parse().unwrap());
        }
        _ => panic!("no such role: {role}"),
    }
}
