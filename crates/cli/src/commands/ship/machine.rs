//! `--to ssh://HOST --apply`: the files of an image sent to a machine, and the
//! program there swapped for them.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

use ounce_oci::{ByteSize, Image, Platform};
use ounce_rootfs::unpack;
use ounce_ship::ssh::{self, Enters, Machine};
use ounce_ship::systemd;
use ounce_ship::target::Host;
use serde::Serialize;

use super::application::Shipped;
use super::asking;
use super::parcel::{Archive, Parcel, Tally};
use crate::arguments::ship::ShipOptions;
use crate::commands::Context;
use crate::failure::{Failure, Kind};

/// ssh's own fault, not the command's.
const OF_SSH: i32 = 255;

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    host: String,
    platform: String,
    folder: String,
    release: String,
    kept_by: &'static str,
    /// Bytes that were sent of files; 0 where they were there.
    sent_bytes: u64,
    /// Bytes of all files.
    whole_bytes: u64,
    /// Files that were sent, those that a delta made of older ones there, and those
    /// that were there.
    #[serde(flatten)]
    tally: Tally,
}

/// Sends it and swaps.
pub(super) fn apply(
    context: &Context,
    shipped: &Shipped,
    host: &Host,
    options: &ShipOptions,
    wanted: &systemd::Options,
) -> Result<ExitCode, Failure> {
    let to = Connection {
        host,
        config: options.ssh_config.as_deref(),
    };
    let machine = Machine::read(&to.ask(ssh::PROBE)?)?;
    machine.check(&shipped.application)?;
    let offered: Vec<Platform> = shipped
        .images
        .iter()
        .map(|image| image.platform.clone())
        .collect();
    let image = &shipped.images[machine.choose(&offered)?];
    let application = &shipped.application;
    let folder = machine.folder(application, options.root.as_deref());
    let release = ssh::release(application);
    let kept_by = if machine.by_systemd() {
        "systemd"
    } else {
        "a process in the background"
    };
    let question = format!(
        "install {} on {} ({}), in {folder}, kept by {kept_by}?",
        application.name,
        host.login(),
        machine.platform
    );
    asking::permission(options.yes, &question)?;
    if !machine.by_systemd() {
        let how = match machine.enters {
            Enters::Chroot => "in a chroot, as its own user",
            Enters::ChrootAsRoot => "in a chroot, as root: that chroot knows no users",
            Enters::Unshare => "in a namespace of whoever logs in",
            Enters::Not => "as whoever logs in, with the machine's root and not the image's",
        };
        context.output.note(&format!(
            "note: without systemd and root it is not sandboxed, and not there after a reboot; \
             it runs {how}"
        ));
    }
    let mut sent = Sent::default();
    let look = to.ask(&ssh::look(&machine, &folder, &release))?;
    if !look.lines().any(|line| line == "here") {
        let there = There {
            machine: &machine,
            folder: &folder,
            release: &release,
            current: ssh::current(&look),
        };
        sent = bring(context, &to, &there, image)?;
        context.output.note(&sent.told());
    } else {
        context.output.note("its files are there already");
    }
    let script = ssh::switch(application, &machine, &folder, &release, wanted);
    to.run(&ssh::shell(&machine), &script, application.name.as_str())?;
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.ship-ssh/1",
            host: host.login(),
            platform: machine.platform.to_string(),
            folder,
            release,
            kept_by,
            sent_bytes: sent.bytes,
            whole_bytes: sent.whole_bytes,
            tally: sent.tally,
        })?;
    } else {
        let name = &application.name;
        let text = format!("{name} is well on {}, kept by {kept_by}\n", host.login());
        context.output.text(&text)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Where files are to come to.
struct There<'a> {
    machine: &'a Machine,
    folder: &'a str,
    release: &'a str,
    /// The state that is there.
    current: Option<&'a str>,
}

/// What was sent.
#[derive(Default)]
struct Sent {
    bytes: u64,
    whole_bytes: u64,
    tally: Tally,
}

impl Sent {
    fn told(&self) -> String {
        let (sent, whole) = (ByteSize(self.bytes), ByteSize(self.whole_bytes));
        let Tally {
            same_files: same,
            patched_files: patched,
            sent_files: new,
        } = self.tally;
        match same + patched {
            0 => format!("sent {sent}, files of {whole}"),
            _ => format!(
                "sent {sent}, files of {whole}: {same} are there, {patched} by delta, {new} whole"
            ),
        }
    }
}

/// Brings an image's files there: what differs from the state that is there, and
/// where that cannot be, or fails, all of them.
fn bring(
    context: &Context,
    to: &Connection<'_>,
    there: &There<'_>,
    image: &Image,
) -> Result<Sent, Failure> {
    let machine = there.machine;
    let unpacked = context.unpacked()?;
    let held = unpack::hold(&unpacked, image)?;
    let current = there.current.filter(|_| machine.has_sums);
    if let Some(current) = current {
        // What it does not tell is not built upon.
        let sums = to.ask(&ssh::sums(machine, there.folder, current));
        let digits = current.trim_start_matches("releases/");
        let old = match machine.has_ounce {
            true => context.store()?.by_digits(digits, &machine.platform),
            false => None,
        };
        let old = old.and_then(|old| unpack::hold(&unpacked, &old).ok());
        let old_root = old.as_ref().map(|old| old.root.as_path());
        let parcel = sums.map(|sums| Parcel::new(&held.root, &sums, old_root));
        if let Ok(Some(parcel)) = parcel {
            let command = ssh::receive(machine, there.folder, there.release, Some(current));
            let write = &mut |archive: &mut Archive<'_>| parcel.write(archive);
            match to.send(&command, machine.has_gzip, write) {
                Ok(bytes) => {
                    return Ok(Sent {
                        bytes,
                        whole_bytes: parcel.whole_bytes,
                        tally: parcel.tally,
                    });
                }
                Err(failure) if failure.kind == Kind::Network => return Err(failure),
                Err(failure) => context
                    .output
                    .note(&format!("note: {}; all files are sent", failure.source)),
            }
        }
    }
    let parcel = Parcel::whole(&held.root)?;
    let command = ssh::receive(machine, there.folder, there.release, None);
    let write = &mut |archive: &mut Archive<'_>| parcel.write(archive);
    let bytes = to.send(&command, machine.has_gzip, write)?;
    Ok(Sent {
        bytes,
        whole_bytes: parcel.whole_bytes,
        tally: parcel.tally,
    })
}

/// A machine by ssh: the program of that name, with its own configuration, keys
/// and known hosts.
struct Connection<'a> {
    host: &'a Host,
    config: Option<&'a Path>,
}

impl Connection<'_> {
    fn command(&self, command: &str) -> Command {
        let mut ssh = Command::new("ssh");
        // Nobody sits there to type a password for each of the commands.
        ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=15", "-T"]);
        if let Some(config) = self.config {
            ssh.arg("-F").arg(config);
        }
        if let Some(port) = self.host.port {
            ssh.args(["-p", &port.to_string()]);
        }
        // What the shell there gets is a word of its own: quoted by whoever made it.
        ssh.arg("--").arg(self.host.login()).arg(command);
        ssh
    }

    fn start(&self, command: &mut Command) -> Result<Child, Failure> {
        command.spawn().map_err(|error| {
            let failure = Failure::new(Kind::Host, format!("starting ssh: {error}"));
            match error.kind() {
                io::ErrorKind::NotFound => failure.hint("install an ssh client"),
                _ => failure,
            }
        })
    }

    /// What a command there says.
    fn ask(&self, command: &str) -> Result<String, Failure> {
        let mut ssh = self.command(command);
        ssh.stdin(Stdio::null()).stdout(Stdio::piped());
        let output = self.start(&mut ssh)?.wait_with_output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(self.refused(output.status.code(), "looking at the machine")),
        }
    }

    /// Sends a tar stream to a command there, packed or not; how many bytes it was.
    fn send(
        &self,
        command: &str,
        packed: bool,
        write: &mut dyn FnMut(&mut Archive<'_>) -> io::Result<()>,
    ) -> Result<u64, Failure> {
        let mut ssh = self.command(command);
        ssh.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = self.start(&mut ssh)?;
        let mut count = 0;
        let mut written = Ok(());
        if let Some(stdin) = child.stdin.take() {
            let mut counted = Counted { stdin, count: 0 };
            written = match packed {
                true => {
                    let level = flate2::Compression::best();
                    let mut gzip = flate2::write::GzEncoder::new(&mut counted, level);
                    pack(&mut gzip, write).and_then(|()| gzip.finish().map(drop))
                }
                false => pack(&mut counted, write),
            };
            count = counted.count;
        }
        let status = child.wait()?;
        if !status.success() {
            return Err(self.refused(status.code(), "sending the files"));
        }
        written.map_err(|error| Failure::new(Kind::Host, format!("reading the files: {error}")))?;
        Ok(count)
    }

    /// Lets a shell there read a script.
    fn run(&self, command: &str, script: &str, name: &str) -> Result<(), Failure> {
        let mut ssh = self.command(command);
        ssh.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = self.start(&mut ssh)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A shell that has gone tells so by its status.
            let _ = stdin.write_all(script.as_bytes());
        }
        let status = child.wait()?;
        let host = self.host.login();
        match status.code() {
            Some(0) => Ok(()),
            Some(ssh::WENT_BACK) => Err(Failure::new(
                Kind::No,
                format!("{name} was not well on {host}, and what ran before runs again"),
            )
            .hint("what it said last stands above")),
            Some(ssh::NOTHING_BEFORE) => Err(Failure::new(
                Kind::No,
                format!("{name} is not well on {host}, and there is nothing well to go back to"),
            )
            .hint("what it said last stands above")),
            code => Err(self.refused(code, "swapping the program")),
        }
    }

    fn refused(&self, code: Option<i32>, doing: &str) -> Failure {
        let host = self.host.login();
        match code {
            Some(OF_SSH) | None => Failure::new(
                Kind::Network,
                format!("{doing}: ssh does not lead to {host}"),
            )
            .hint(
                "`ssh` has to get there by a key, without a question: try `ssh -o BatchMode=yes`",
            ),
            Some(code) => Failure::new(Kind::Host, format!("{doing}: {host} ended with {code}"))
                .hint("what it said stands above; --root PATH chooses another folder there"),
        }
    }
}

fn pack(
    out: &mut dyn io::Write,
    write: &mut dyn FnMut(&mut Archive<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut archive = tar::Builder::new(out);
    archive.follow_symlinks(false);
    // Who it belongs to here is nothing there.
    archive.mode(tar::HeaderMode::Deterministic);
    write(&mut archive)?;
    archive.finish()
}

struct Counted<W> {
    stdin: W,
    count: u64,
}

impl<W: io::Write> io::Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stdin.write(bytes)?;
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdin.flush()
    }
}
