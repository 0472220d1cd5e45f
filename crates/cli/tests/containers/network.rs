//! Networks: none, the container's own, the host's, and those with a way out.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Child, Command};

use crate::bench::{Bench, SOON, busybox, is_root, within};

fn has(tool: &str) -> bool {
    let folders = [
        "/usr/local/sbin",
        "/usr/local/bin",
        "/usr/sbin",
        "/usr/bin",
        "/sbin",
        "/bin",
    ];
    folders
        .iter()
        .any(|folder| fs::exists(format!("{folder}/{tool}")).unwrap())
}

/// Whether a network with a way out can be tried here; says so where not.
fn possible() -> bool {
    let missing = match is_root() {
        true if !has("ip") || !has("nft") => "ip and nft",
        false if !has("pasta") && !has("slirp4netns") => "pasta or slirp4netns",
        false if fs::File::open("/dev/net/tun").is_err() => "a /dev/net/tun that may be opened",
        _ => return true,
    };
    eprintln!("skipped: a network with a way out needs {missing}");
    false
}

#[test]
fn each_network_shows_what_it_promises() {
    let bench = Bench::new();
    let root = bench.root();
    let interfaces = |network: &str| {
        let script = "ip -o link | cut -d: -f2,3 | cut -d, -f1";
        let script = script.replace("cut", "busybox cut");
        let words = [
            "run",
            "--network",
            network,
            root.to_str().unwrap(),
            "--",
            "/bin/sh",
            "-c",
            &script,
        ];
        bench.succeed(&words)
    };
    assert_eq!(interfaces("private").trim(), "lo: <LOOPBACK");
    let none = bench.succeed(&[
        "run",
        "--network",
        "none",
        root.to_str().unwrap(),
        "--",
        "/bin/busybox",
        "ip",
        "-o",
        "addr",
    ]);
    assert!(!none.contains("127.0.0.1"), "{none}");
    let host = [
        "run",
        "--network",
        "host",
        root.to_str().unwrap(),
        "--",
        "/bin/busybox",
        "readlink",
        "/proc/self/ns/net",
    ];
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    assert_eq!(bench.succeed(&host).trim(), own.to_str().unwrap());
}

#[test]
fn a_container_with_a_way_out_has_it_before_its_program_starts_and_leaves_nothing() {
    if !possible() {
        return;
    }
    let bench = Bench::new();
    let script = "ip -4 -o addr; ip route; cat /etc/resolv.conf; echo ready; exec sleep 1000";
    bench.detach("out", &["--network", "bridge"], script);
    assert!(within(SOON, || bench
        .succeed(&["logs", "out"])
        .ends_with("ready\n")));
    let text = bench.succeed(&["logs", "out"]);
    assert!(text.contains("default via "), "{text}");
    assert!(
        text.contains("127.0.0.1/8") && text.matches(" inet ").count() >= 2,
        "{text}"
    );
    let servers = fs::read_to_string("/etc/resolv.conf").unwrap();
    if !servers.contains("nameserver 127.") {
        assert!(text.contains(servers.trim()), "{text}");
    }
    let running = bench.running("out");
    let helpers = running["helpers"].as_array().unwrap().clone();
    assert_eq!(helpers.len(), usize::from(!is_root()), "{running}");
    bench.succeed(&["stop", "out"]);
    assert!(within(SOON, || helpers.iter().all(|one| is_gone(&one[0]))));
    assert!(bench.is_quiet(), "{:?}", bench.processes());
}

/// Whether there is no process of this number, but for its remains.
fn is_gone(pid: &serde_json::Value) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.contains(") Z ")
}

#[test]
fn what_speaks_for_a_container_ends_when_its_keeper_is_killed_and_is_new_at_a_restart() {
    if is_root() || !possible() {
        return;
    }
    let bench = Bench::new();
    let options = ["--network", "bridge", "--restart", "on-failure"];
    bench.detach("out", &options, "exec sleep 1000");
    let helper = |name: &str| bench.running(name)["helpers"][0][0].clone();
    let first = helper("out");
    let pid = bench.running("out")["pid"].as_i64().unwrap() as i32;
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    assert!(within(SOON, || bench.ps("out")["starts"] == 2));
    let second = helper("out");
    assert_ne!(first, second);
    assert!(within(SOON, || is_gone(&first)));
    let keeper = rustix::process::Pid::from_raw(bench.keeper("out")).unwrap();
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
    assert!(within(SOON, || is_gone(&second)));
    assert!(bench.is_quiet(), "{:?}", bench.processes());
    assert_eq!(bench.ps("out")["status"], "dead");
}

/// A network beside this machine's, with a server in it that knows no way to
/// containers. Dropping it removes it.
struct Outside(Child, Child);

impl Outside {
    const ADDRESS: &str = "198.51.100.2";

    fn new(bench: &Bench) -> Self {
        let space = Command::new("unshare")
            .args(["-n", "sleep", "1000"])
            .spawn()
            .unwrap();
        let pid = space.id().to_string();
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        assert!(within(SOON, || {
            fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|other| other != own)
        }));
        let ip = |line: &str| {
            let line = line.replace("PID", &pid);
            let status = Command::new("ip").args(line.split(' ')).status().unwrap();
            assert!(status.success(), "ip {line}");
        };
        ip("link add ounce-test0 type veth peer name eth0 netns PID");
        ip("addr add 198.51.100.1/24 dev ounce-test0");
        ip("link set ounce-test0 up");
        let inside = |words: &[&str]| {
            let mut command = Command::new("nsenter");
            command.args(["-t", &pid, "-n"]).args(words);
            command
        };
        for line in ["addr add 198.51.100.2/24 dev eth0", "link set eth0 up"] {
            let words: Vec<&str> = std::iter::once("ip").chain(line.split(' ')).collect();
            assert!(inside(&words).status().unwrap().success());
        }
        let www = bench.root().join("www");
        let server = inside(&[
            busybox().to_str().unwrap(),
            "httpd",
            "-f",
            "-p",
            "80",
            "-h",
            www.to_str().unwrap(),
        ]);
        Self(space, { server }.spawn().unwrap())
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for child in [&mut self.1, &mut self.0] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn containers_on_the_bridge_reach_each_other_the_host_and_what_is_outside() {
    if !is_root() || !possible() {
        return;
    }
    let bench = Bench::new();
    let root = bench.root();
    let get = |address: &str| {
        let url = format!("http://{address}/index.html");
        let words = [
            "run",
            "--network",
            "bridge",
            root.to_str().unwrap(),
            "--",
            "/bin/wget",
            "-qO-",
            &url,
        ];
        bench.output(&words)
    };
    bench.detach(
        "web",
        &["--network", "bridge"],
        "exec httpd -f -p 80 -h /www",
    );
    let address = bench.running("web")["address"].as_str().unwrap().to_owned();
    assert!(address.starts_with("10.117."), "{address}");
    assert!(within(SOON, || get(&address).stdout == b"hello\n"));
    // The host's end of the bridge.
    let host = TcpListener::bind("10.117.0.1:0").unwrap();
    let place = host.local_addr().unwrap().to_string();
    let answer = std::thread::spawn(move || {
        let (mut stream, from) = host.accept().unwrap();
        let mut request = [0; 512];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhost\n").unwrap();
        from.ip().to_string()
    });
    assert_eq!(get(&place).stdout, b"host\n");
    assert!(answer.join().unwrap().starts_with("10.117."));
    let outside = Outside::new(&bench);
    assert!(
        within(SOON, || get(Outside::ADDRESS).stdout == b"hello\n"),
        "masqueraded"
    );
    drop(outside);
    // Its end of the pair goes with it.
    let interfaces = || {
        let names = fs::read_dir("/sys/class/net").unwrap().flatten();
        let names = names.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter(|name| name.starts_with("ov")).count()
    };
    bench.succeed(&["rm", "-f", "web"]);
    assert!(within(SOON, || interfaces() == 0));
}

#[test]
fn a_port_is_published_into_a_network_with_a_way_out() {
    if !possible() {
        return;
    }
    let bench = Bench::new();
    bench.detach(
        "web",
        &["--network", "bridge", "-p", ":80"],
        "exec httpd -f -p 80 -h /www",
    );
    let address = bench.ps("web")["ports"][0]["address"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(within(SOON, || {
        let url = format!("http://{address}/index.html");
        let words = ["wget", "-qO-", &url];
        Command::new(busybox()).args(words).output().unwrap().stdout == b"hello\n"
    }));
}

/// Runs a start in mounts where a tool that is preferred is not there.
fn without(tool: &str, start: &Command) -> std::process::Output {
    let hide = format!(
        "for one in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do \
         [ ! -e $one/{tool} ] || mount --bind /dev/null $one/{tool}; done; \
         exec unshare --user --map-user=1000 --map-group=1000 -- \"$@\""
    );
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "--", "sh", "-c"])
        .args([&hide, "sh"])
        .arg(start.get_program())
        .args(start.get_args())
        .stdin(std::process::Stdio::null());
    for (name, value) in start.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.output().unwrap()
}

#[test]
fn where_only_slirp4netns_is_there_it_makes_the_way_out() {
    if is_root() {
        // A bridge, which needs no tool of a user.
        return;
    }
    if !has("slirp4netns") || fs::File::open("/dev/net/tun").is_err() {
        eprintln!("skipped: a way out by slirp4netns needs it and a /dev/net/tun");
        return;
    }
    let bench = Bench::new();
    let script = "ip -4 -o addr; ip route; echo ready; exec sleep 1000";
    let options = ["-d", "--name", "out", "--network", "bridge"];
    let output = without("pasta", &bench.start(&options, &["/bin/sh", "-c", script]));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(within(SOON, || bench
        .succeed(&["logs", "out"])
        .ends_with("ready\n")));
    // The addresses that slirp4netns gives, and nobody else.
    let text = bench.succeed(&["logs", "out"]);
    assert!(text.contains("10.0.2.100/24"), "{text}");
    assert!(text.contains("default via 10.0.2.2 dev tap0"), "{text}");
    let helpers = bench.running("out")["helpers"].as_array().unwrap().clone();
    assert_eq!(helpers.len(), 1);
    let name = fs::read_to_string(format!("/proc/{}/comm", helpers[0][0])).unwrap();
    assert_eq!(name, "slirp4netns\n");
    bench.succeed(&["stop", "out"]);
    assert!(within(SOON, || is_gone(&helpers[0][0])));
    assert!(bench.is_quiet(), "{:?}", bench.processes());
}

#[test]
fn without_the_tool_the_error_names_it_and_what_installs_it() {
    if is_root() {
        return;
    }
    if fs::File::open("/dev/net/tun").is_ok() && possible() {
        return;
    }
    let bench = Bench::new();
    let root = bench.root();
    let words = [
        "run",
        "--network",
        "bridge",
        root.to_str().unwrap(),
        "--",
        "/bin/true",
    ];
    let said = bench.fail(125, &words);
    assert!(said.contains("hint: "), "{said}");
    assert!(bench.is_quiet());
}
