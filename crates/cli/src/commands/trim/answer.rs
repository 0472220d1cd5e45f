//! What `ounce trim` answers: for people, as JSON, as a report, and as the list of
//! system calls that other runtimes read.

use std::collections::BTreeMap;

use ounce_oci::ByteSize;
use ounce_trim::report::{Amount, Stayed, Went};
use ounce_trim::strip::Step;
use serde::Serialize;

/// What `--json` prints.
#[derive(Serialize)]
pub(super) struct Document {
    pub(super) schema: &'static str,
    pub(super) image: String,
    pub(super) digest: String,
    pub(super) name: String,
    pub(super) trimmed_digest: String,
    pub(super) tests: Vec<String>,
    pub(super) pulled_bytes_before: u64,
    pub(super) pulled_bytes: u64,
    pub(super) before: Amount,
    pub(super) after: Amount,
    pub(super) stripped_bytes: u64,
    /// Of these, what each step took.
    pub(super) stripped: BTreeMap<Step, u64>,
    pub(super) system_calls: Vec<&'static str>,
    /// Whether the list holds all calls that the code of the programs can make.
    pub(super) all_calls_known: bool,
    pub(super) trace_ms: u128,
    pub(super) verify_ms: u128,
    pub(super) elapsed_ms: u128,
    pub(super) processor_ms_before: u128,
    pub(super) trials: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) minimal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) claim: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Report<'a> {
    #[serde(flatten)]
    pub(super) summary: &'a Document,
    pub(super) stayed: Vec<Stayed>,
    pub(super) went: Vec<Went>,
}

impl Document {
    pub(super) fn text(&self) -> String {
        let Self {
            before,
            after,
            pulled_bytes,
            pulled_bytes_before,
            ..
        } = self;
        let tests = self.tests.join("\n         ");
        let proof = match (&self.claim, &self.certificate) {
            (Some(claim), Some(path)) => {
                format!("\n  {claim}\n  by {} trials: {path}", self.trials)
            }
            _ => String::new(),
        };
        let took = |(step, bytes): (&Step, &u64)| format!("{} {}", step.name(), ByteSize(*bytes));
        let stripped = match self.stripped.is_empty() {
            true => String::new(),
            false => {
                let all: Vec<_> = self.stripped.iter().map(took).collect();
                format!("\n  stripped of {}", all.join(", "))
            }
        };
        format!(
            "{}\n  pulled {} -> {}, unpacked {} -> {}, files {} -> {}, {} system calls{}{stripped}\n  \
             passes {tests}{proof}\n  in {:.1} s\n",
            self.name,
            ByteSize(*pulled_bytes_before),
            ByteSize(*pulled_bytes),
            ByteSize(before.bytes),
            ByteSize(after.bytes),
            before.files,
            after.files,
            self.system_calls.len(),
            match self.all_calls_known {
                true => " (all that its code can make)",
                false => "",
            },
            self.elapsed_ms as f64 / 1000.0
        )
    }
}

/// The list of system calls as docker and podman read it.
pub(super) fn profile(calls: &[&'static str]) -> serde_json::Value {
    let mut names = calls.to_vec();
    names.extend(RUNTIME_CALLS);
    names.sort_unstable();
    names.dedup();
    let architecture = match std::env::consts::ARCH {
        "aarch64" => "SCMP_ARCH_AARCH64",
        _ => "SCMP_ARCH_X86_64",
    };
    serde_json::json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 1,
        "architectures": [architecture],
        "syscalls": [
            {"names": names, "action": "SCMP_ACT_ALLOW"},
            // The C library then makes do with clone.
            {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        ],
    })
}

/// What runc may make itself between installing the list and executing the
/// program, rather too much than too little: runc 1.1.5 starts under it with and
/// without `no_new_privs`. ounce needs none of it.
const RUNTIME_CALLS: [&str; 30] = [
    "capget",
    "capset",
    "chdir",
    "epoll_ctl",
    "epoll_pwait",
    "execve",
    "faccessat2",
    "fchdir",
    "fchown",
    "fstatfs",
    "getcwd",
    "getdents64",
    "getppid",
    "getuid",
    "newfstatat",
    "openat",
    "openat2",
    "prctl",
    "prlimit64",
    "readlinkat",
    "rt_sigreturn",
    "setgid",
    "setgroups",
    "setuid",
    "sigaltstack",
    "statx",
    "tgkill",
    "umask",
    "close_range",
    "dup3",
];
