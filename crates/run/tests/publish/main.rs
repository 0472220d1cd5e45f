//! Ports, the proxy and the terminal with real sockets, namespaces and ptys.
//!
//! This binary is also the processes that the tests need: with `OUNCE_ROLE`
//! set it is the proxy or a server in a namespace. So it has a `main` of its
//! own: libtest runs every test on a thread of its own, and a process with
//! threads cannot enter a user namespace. `OUNCE_ROLE=measure` prints what the
//! proxy costs next to a direct connection, in turns.

#![allow(clippy::unwrap_used)] // clippy sees no test in a binary with its own `main`

mod proxy;
mod terminal;

use std::panic::catch_unwind;
use std::process::{Command, ExitCode};

/// A command that runs this binary in a role.
pub(crate) fn role_command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("OUNCE_ROLE", role);
    command
}

macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        [$((concat!(stringify!($module), "::", stringify!($name)), $module::$name as fn())),*]
    };
}

fn main() -> ExitCode {
    if let Ok(role) = std::env::var("OUNCE_ROLE") {
        match role.splitn(3, ';').collect::<Vec<_>>()[..] {
            ["proxy"] => ounce_run::proxy::main().unwrap(),
            ["server", address, delay_ms] => proxy::server(address, delay_ms.parse().unwrap()),
            ["terminal", how, script] => std::process::exit(terminal::foreground(how, script)),
            ["measure"] => proxy::measure(),
            _ => panic!("no such role: {role}"),
        }
        return ExitCode::SUCCESS;
    }
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut failed = 0;
    for (name, test) in tests![
        proxy::a_server_in_its_own_network_answers,
        proxy::a_server_in_its_own_user_namespace_answers,
        proxy::a_server_that_listens_on_ipv6_only_answers,
        proxy::a_server_that_starts_late_answers,
        proxy::the_end_of_the_request_arrives_and_the_answer_comes_back,
        proxy::long_transfers_arrive_whole_both_ways,
        proxy::what_comes_back_is_what_was_sent,
        proxy::a_reset_is_not_taken_for_an_end,
        proxy::a_client_that_goes_away_leaves_nothing,
        proxy::more_connections_than_are_served_at_a_time_wait,
        proxy::a_flood_of_connections_is_answered_each,
        proxy::the_end_of_the_container_ends_connections_and_proxy,
        proxy::the_end_of_the_starter_ends_the_proxy,
        proxy::a_program_that_never_listens_refuses_after_a_while,
        proxy::the_proxy_has_no_privileges_left,
        proxy::a_container_on_the_hosts_network_is_refused,
        proxy::a_proxy_that_dies_at_once_is_told,
        terminal::settings_come_back_after_a_killed_program,
        terminal::settings_come_back_after_a_panic,
        terminal::settings_come_back_after_sigterm,
        terminal::a_handler_has_its_say,
        terminal::a_handler_given_back_on_the_way_out_has_its_say,
        terminal::a_third_interrupt_kills,
        terminal::a_program_has_a_terminal_of_its_own,
        proxy::all_of_it_holds_without_root,
    ] {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter)) {
            continue;
        }
        let passed = catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        println!("{failed} failed");
        ExitCode::FAILURE
    }
}
