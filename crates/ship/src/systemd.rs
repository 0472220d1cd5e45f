//! systemd: a unit that may do no more than serve, started by its socket where
//! the program takes one, and the folder of a portable service.
//!
//! No engine and no registry: the image's files lie in a folder, and the unit's
//! root is that folder.

use std::fmt::Write as _;

use crate::application::Application;
use crate::shipment::{Created, File, Shipment};

/// Seconds beyond its own stop until it is killed.
const SPARE_SECONDS: u32 = 5;

/// What is wanted beside the application itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether it opens connections of its own. Without, one that takes its socket
    /// has no network at all.
    pub opens_connections: bool,
    /// Where its files will lie, `/opt/NAME` unless told.
    pub root: Option<String>,
}

impl Options {
    /// Where the files of the image will lie.
    pub fn root(&self, application: &Application) -> String {
        let own = || format!("/opt/{}", application.name);
        self.root.clone().unwrap_or_else(own)
    }
}

/// The unit, its socket, and what a portable service has beside the image's files,
/// all below `portable/NAME`.
pub fn ship(application: &Application, options: &Options) -> Shipment {
    let name = &application.name;
    let root = options.root(application);
    let socket = application.port.filter(|_| application.takes_socket);
    let unit = unit(application, options);
    let mut files = vec![File::text(format!("{name}.service"), unit.clone())];
    let mut creates = vec![Created::new(
        "unit",
        format!("{name}.service"),
        "the program, with nothing it does not need",
    )];
    let below = |path: &str| format!("portable/{name}/{path}");
    if let Some(port) = socket {
        let text = socket_unit(application, port);
        files.push(File::text(format!("{name}.socket"), text.clone()));
        files.push(File::beside(
            below(&format!("usr/lib/systemd/system/{name}.socket")),
            text,
        ));
        creates.push(Created::new(
            "unit",
            format!("{name}.socket"),
            "starts it by its first connection",
        ));
    }
    files.push(File::text(
        format!("{name}.service.d/root.conf"),
        root_file(&root),
    ));
    files.push(File::beside(
        below(&format!("usr/lib/systemd/system/{name}.service")),
        unit,
    ));
    files.push(File::beside(
        below("usr/lib/os-release"),
        release(application),
    ));
    // Mount points, and the two files that a portable service has bound over.
    for folder in ["proc", "sys", "dev", "run", "tmp", "var/tmp", "etc"] {
        files.push(File::beside(below(&format!("{folder}/")), ""));
    }
    for empty in ["etc/resolv.conf", "etc/machine-id"] {
        files.push(File::beside(below(empty), ""));
    }
    let mut notes = Vec::new();
    if application.port.is_some() && !application.takes_socket {
        notes.push("the program takes no socket, so it has the network and always runs".to_owned());
    }
    if application.port.is_some_and(|port| port < 1024) && socket.is_none() {
        notes.push(
            "it may not open a port below 1024: give it another, or set \
             net.ipv4.ip_unprivileged_port_start"
                .to_owned(),
        );
    }
    if !application.secrets.is_empty() {
        notes.push(
            "a secret comes as a file whose name is in NAME_FILE; put it into /etc/credstore"
                .to_owned(),
        );
    }
    let start = if socket.is_some() {
        "socket"
    } else {
        "service"
    };
    Shipment {
        files,
        creates,
        notes,
        next: vec![
            format!("sudo cp -r portable/{name} {root}"),
            format!("sudo cp -r {name}.{{service,service.d,socket}} /etc/systemd/system/"),
            format!("sudo systemctl daemon-reload && sudo systemctl enable --now {name}.{start}"),
            format!("or, as a portable service: sudo portablectl attach ./portable/{name}"),
        ],
    }
}

/// The part of a unit that says where its files lie. A portable service has its own.
pub fn root_file(root: &str) -> String {
    format!("[Service]\nRootDirectory={}\nMountAPIVFS=yes\n", word(root))
}

/// The service. What it is forbidden is everything that `systemd-analyze
/// security` asks about and a program without libraries, shell or devices has no
/// use for.
pub fn unit(application: &Application, options: &Options) -> String {
    let name = &application.name;
    let by_socket = application.port.is_some() && application.takes_socket;
    let mut unit = format!(
        "[Unit]\nDescription={} {}\nStartLimitIntervalSec=60\nStartLimitBurst=10\n",
        plain(name),
        plain(&application.version)
    );
    if by_socket {
        let _ = writeln!(unit, "Requires={name}.socket\nAfter={name}.socket");
    } else {
        unit.push_str("Wants=network-online.target\nAfter=network-online.target\n");
    }
    let words: Vec<String> = application.command.iter().map(|it| argument(it)).collect();
    let _ = writeln!(
        unit,
        "\n[Service]\nType=exec\nExecStart={}\nRestart=on-failure\nRestartSec=1\nTimeoutStopSec={}",
        words.join(" "),
        application.stop_seconds + SPARE_SECONDS
    );
    if let Some(folder) = &application.workdir {
        let _ = writeln!(unit, "WorkingDirectory={}", word(folder));
    }
    let own = application.own_environment.iter();
    for (variable, value) in own.chain(&application.environment) {
        let _ = writeln!(unit, "Environment={}", word(&format!("{variable}={value}")));
    }
    for secret in &application.secrets {
        let (variable, from) = (&secret.variable, &secret.from);
        let _ = writeln!(
            unit,
            "LoadCredential={from}\nEnvironment=\"{variable}_FILE=%d/{from}\""
        );
    }
    for folder in &application.scratch {
        let _ = writeln!(
            unit,
            "TemporaryFileSystem={}",
            word(&format!("{folder}:size=64M,mode=1777"))
        );
    }
    let _ = writeln!(
        unit,
        "\n# What it may use.\nMemoryMax={}\nTasksMax=512\nLimitNOFILE=65536",
        application.resources.memory_limit_bytes
    );
    unit.push_str(SANDBOX);
    let families = match (by_socket, options.opens_connections) {
        // The socket comes in open: nothing else of the network is needed.
        (true, false) => "PrivateNetwork=yes\nIPAddressDeny=any\nRestrictAddressFamilies=none\n",
        (false, false) if application.port.is_none() => {
            "PrivateNetwork=yes\nIPAddressDeny=any\nRestrictAddressFamilies=none\n"
        }
        _ => "RestrictAddressFamilies=AF_INET AF_INET6\n",
    };
    // What is denied any address answers nobody either, whoever opened the socket.
    let families = match by_socket {
        true => families.replace("IPAddressDeny=any\n", ""),
        false => families.to_owned(),
    };
    unit.push_str(&families);
    if !by_socket {
        unit.push_str("\n[Install]\nWantedBy=multi-user.target\n");
    } else {
        let _ = writeln!(unit, "\n[Install]\nAlso={name}.socket");
    }
    unit
}

const SANDBOX: &str = "\
\n# What it may do: what is not needed is forbidden.
DynamicUser=yes
UMask=0077
NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProcSubset=pid
ProtectHostname=yes
ProtectClock=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
PrivateDevices=yes
DevicePolicy=closed
PrivateTmp=yes
PrivateUsers=yes
PrivateIPC=yes
RemoveIPC=yes
KeyringMode=private
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
";

fn socket_unit(application: &Application, port: u16) -> String {
    format!(
        "[Unit]\nDescription={} is reached here\n\n[Socket]\nListenStream={port}\nNoDelay=yes\n\
         Backlog=4096\n\n[Install]\nWantedBy=sockets.target\n",
        plain(&application.name)
    )
}

fn release(application: &Application) -> String {
    format!(
        "ID={}\nNAME={}\nVERSION_ID={}\nPORTABLE_PREFIXES={}\n",
        application.name,
        quoted(&application.name),
        quoted(&application.version),
        application.name
    )
}

/// Text of a description: specifiers escaped, no line breaks.
pub(crate) fn plain(text: &str) -> String {
    text.replace('%', "%%").replace(['\n', '\r'], " ")
}

/// A word of a unit file (systemd.syntax(7), "Quoting"): specifiers escaped.
pub(crate) fn word(text: &str) -> String {
    let is_plain = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_./@:=,+-".contains(&byte));
    match is_plain {
        true => text.to_owned(),
        false => quoted(&text.replace('%', "%%")),
    }
}

/// A word of `ExecStart=`, in which variables are none either.
fn argument(text: &str) -> String {
    word(&text.replace('$', "$$"))
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(out, "\\x{byte:02x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::SecretVariable;
    use crate::application::tests::shop;

    fn shown(shipment: &Shipment) -> String {
        let files = shipment.files.iter();
        files
            .map(|file| format!("# {}\n{}\n", file.path, file.as_text().unwrap()))
            .collect()
    }

    #[test]
    fn unit_of_a_service_is_as_before() {
        insta::assert_snapshot!(shown(&ship(&shop(), &Options::default())));
    }

    #[test]
    fn unit_that_is_started_by_its_socket_has_no_network() {
        let mut shop = shop();
        shop.takes_socket = true;
        shop.secrets = vec![SecretVariable {
            variable: "TOKEN".to_owned(),
            from: "queue".to_owned(),
            key: None,
        }];
        let shipment = ship(&shop, &Options::default());
        let unit = shipment.file("shop.service").unwrap().as_text().unwrap();
        assert!(unit.contains("PrivateNetwork=yes"), "{unit}");
        assert!(!unit.contains("IPAddressDeny"), "{unit}");
        assert!(
            unit.contains("Environment=\"TOKEN_FILE=%d/queue\""),
            "{unit}"
        );
        let socket = shipment.file("shop.socket").unwrap().as_text().unwrap();
        assert!(socket.contains("ListenStream=8080"), "{socket}");
    }

    #[test]
    fn what_systemd_would_expand_is_escaped() {
        assert_eq!(argument("100% of $HOME"), "\"100%% of $$HOME\"");
        assert_eq!(word("A=b c\"\\\n\u{7}"), "\"A=b c\\\"\\\\\\n\\x07\"");
        assert_eq!(word("/shop"), "/shop");
        assert_eq!(plain("a\nExecStart=/bin/sh"), "a ExecStart=/bin/sh");
    }
}
