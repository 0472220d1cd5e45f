//! The proxy in front of a server in a network namespace of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ounce_run::proxy::{Lifetime, Proxy, ProxyError, Step};
use ounce_run::publish::{self, Publish};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::role_command;

const PORT: u16 = 8080;
const LONG: u64 = 100 << 20;

/// The server that the tests talk to; the first byte says what it does.
pub(crate) fn server(address: &str, delay_ms: u64) {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).unwrap();
    println!("UP");
    thread::sleep(Duration::from_millis(delay_ms));
    let listener = TcpListener::bind(address).unwrap();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) {
    let mut order = [0];
    if stream.read_exact(&mut order).is_err() {
        return;
    }
    match order[0] {
        // Each thing as it comes.
        b'E' => {
            let mut copy = stream.try_clone().unwrap();
            let _ = std::io::copy(&mut stream, &mut copy);
        }
        // A count, after the client's end was told.
        b'C' => {
            let count = std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
            write!(stream, "{count}").unwrap();
        }
        // Much, from here.
        b'L' => {
            let block = vec![b'x'; 1 << 20];
            for _ in 0..LONG >> 20 {
                if stream.write_all(&block).is_err() {
                    return;
                }
            }
        }
        // Half an answer, then a reset.
        b'R' => {
            stream.write_all(b"half").unwrap();
            thread::sleep(Duration::from_millis(50));
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
        _ => std::process::exit(0),
    }
}

/// A server in namespaces of its own, with the proxy before it.
struct Container {
    server: Child,
    proxy: Option<Proxy>,
    address: SocketAddr,
}

fn root() -> bool {
    rustix::process::geteuid().is_root()
}

fn in_namespaces(user: bool, address: &str, delay_ms: u64) -> Child {
    let role = role_command(&format!("server;{address};{delay_ms}"));
    let mut command = Command::new("unshare");
    command.arg("--net");
    if user || !root() {
        command.args(["--user", "--map-root-user"]);
    }
    let script = "ip link set lo up && exec \"$0\" \"$@\"";
    let mut child = command
        .args(["sh", "-c", script])
        .arg(role.get_program())
        .args(role.get_args())
        .envs(
            role.get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(
        lines.map_while(Result::ok).any(|line| line == "UP"),
        "no namespace: is unshare or ip missing?"
    );
    child
}

fn start(user: bool, address: &str, delay_ms: u64) -> Container {
    let bound = publish::bind(&format!(":{PORT}").parse::<Publish>().unwrap()).unwrap();
    let mut proxy = Proxy::start(role_command("proxy")).unwrap();
    let server = in_namespaces(user, address, delay_ms);
    let pidfd = pidfd_open(Pid::from_child(&server), PidfdFlags::empty()).unwrap();
    let address = bound.address;
    proxy
        .serve(
            &[(bound.listener.as_fd(), bound.container_port)],
            pidfd.as_fd(),
            Lifetime::Starter,
        )
        .unwrap();
    Container {
        server,
        proxy: Some(proxy),
        address,
    }
}

impl Container {
    fn connect(&self, order: u8) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&[order]).unwrap();
        stream
    }

    fn echoes(&self) {
        let mut stream = self.connect(b'E');
        stream.write_all(b"hello").unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if let Some(proxy) = self.proxy.take() {
            let began = Instant::now();
            let status = proxy.finish().unwrap();
            if !thread::panicking() {
                assert!(status.success(), "{status}");
                assert!(began.elapsed() < Duration::from_secs(5));
            }
        }
    }
}

pub(crate) fn a_server_in_its_own_network_answers() {
    start(false, "127.0.0.1:8080", 0).echoes();
}

pub(crate) fn a_server_in_its_own_user_namespace_answers() {
    start(true, "0.0.0.0:8080", 0).echoes();
}

pub(crate) fn a_server_that_listens_on_ipv6_only_answers() {
    let container = start(true, "[::1]:8080", 0);
    container.echoes();
    container.echoes();
}

pub(crate) fn a_server_that_starts_late_answers() {
    let container = start(true, "127.0.0.1:8080", 700);
    let began = Instant::now();
    container.echoes();
    assert!(
        began.elapsed() >= Duration::from_millis(500),
        "was it late?"
    );
}

pub(crate) fn the_end_of_the_request_arrives_and_the_answer_comes_back() {
    let container = start(true, "127.0.0.1:8080", 0);
    let mut stream = container.connect(b'C');
    stream.write_all(&[7; 100_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "100000");
}

pub(crate) fn long_transfers_arrive_whole_both_ways() {
    let container = start(true, "127.0.0.1:8080", 0);
    let mut down = container.connect(b'L');
    let count = std::io::copy(&mut down, &mut std::io::sink()).unwrap();
    assert_eq!(count, LONG);

    let mut up = container.connect(b'C');
    let block = vec![1; 1 << 20];
    for _ in 0..LONG >> 20 {
        up.write_all(&block).unwrap();
    }
    up.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    up.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, LONG.to_string());
}

pub(crate) fn what_comes_back_is_what_was_sent() {
    let container = start(true, "127.0.0.1:8080", 0);
    let mut stream = container.connect(b'E');
    let sent: Vec<u8> = (0..8_000_000u32).map(|n| (n ^ n >> 8) as u8).collect();
    let mut writer = stream.try_clone().unwrap();
    let copy = sent.clone();
    let thread = thread::spawn(move || {
        writer.write_all(&copy).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    // A reader slower than the writer fills every buffer on the way.
    thread::sleep(Duration::from_millis(200));
    let mut got = Vec::new();
    stream.read_to_end(&mut got).unwrap();
    thread.join().unwrap();
    assert!(got == sent);
}

pub(crate) fn a_reset_is_not_taken_for_an_end() {
    let container = start(true, "127.0.0.1:8080", 0);
    let mut stream = container.connect(b'R');
    let mut got = Vec::new();
    let error = stream.read_to_end(&mut got).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(got, b"half");
    container.echoes();
}

pub(crate) fn a_client_that_goes_away_leaves_nothing() {
    let container = start(true, "127.0.0.1:8080", 0);
    let pid = container.proxy.as_ref().unwrap().pid();
    let files = || std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
    container.echoes();
    for reset in [false, true].repeat(100) {
        let stream = container.connect(b'L');
        if reset {
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    }
    let Ok(_) = files() else {
        // The proxy cannot be looked into by its own user; root can.
        eprintln!("skipped: the proxy's descriptors cannot be counted without root");
        return;
    };
    let end = Instant::now() + Duration::from_secs(10);
    while files().unwrap() > 10 && Instant::now() < end {
        thread::sleep(Duration::from_millis(20));
    }
    assert!(files().unwrap() <= 10, "{} left open", files().unwrap());
}

pub(crate) fn more_connections_than_are_served_at_a_time_wait() {
    let container = start(true, "127.0.0.1:8080", 0);
    // Each side needs one here, and the proxy and the server run elsewhere.
    let many: Vec<TcpStream> = (0..1024).map(|_| container.connect(b'E')).collect();
    let mut waiting = container.connect(b'E');
    waiting.write_all(b"x").unwrap();
    waiting
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut answer = [0];
    assert!(waiting.read(&mut answer).is_err(), "one too many is served");
    waiting
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    drop(many);
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"x");
}

pub(crate) fn a_flood_of_connections_is_answered_each() {
    let container = start(true, "127.0.0.1:8080", 0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..250).for_each(|_| container.echoes()));
        }
    });
}

pub(crate) fn the_end_of_the_container_ends_connections_and_proxy() {
    let mut container = start(true, "127.0.0.1:8080", 0);
    let mut idle = container.connect(b'E');
    let mut dying = container.connect(b'X');
    let mut got = Vec::new();
    let _ = dying.read_to_end(&mut got);
    assert!(got.is_empty());
    let _ = idle.read_to_end(&mut got);
    assert!(got.is_empty());
    let proxy = container.proxy.take().unwrap();
    let pid = proxy.pid();
    let began = Instant::now();
    // Nobody asked it to: it saw the container's end by itself.
    while std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z "))
    {
        assert!(began.elapsed() < Duration::from_secs(5));
        thread::sleep(Duration::from_millis(5));
    }
    assert!(proxy.finish().unwrap().success());
    assert!(TcpStream::connect(container.address).is_err());
}

pub(crate) fn the_end_of_the_starter_ends_the_proxy() {
    let mut container = start(true, "127.0.0.1:8080", 0);
    container.echoes();
    let proxy = container.proxy.take().unwrap();
    // Its end of the lifeline is closed, as it would be by kill -9.
    assert!(proxy.finish().unwrap().success());
}

pub(crate) fn a_program_that_never_listens_refuses_after_a_while() {
    let container = start(true, "127.0.0.1:8081", 0);
    let mut stream = container.connect(b'E');
    let began = Instant::now();
    assert!(stream.read(&mut [0]).is_err());
    assert!(began.elapsed() > Duration::from_secs(4));
}

pub(crate) fn the_proxy_has_no_privileges_left() {
    let container = start(false, "127.0.0.1:8080", 0);
    let pid = container.proxy.as_ref().unwrap().pid();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .unwrap()
            .trim()
            .to_owned()
    };
    for set in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert_eq!(field("NoNewPrivs"), "1");
    assert_eq!(field("SigBlk"), "0000000000000000");
    if root() {
        assert_eq!(field("Uid"), "65534\t65534\t65534\t65534");
        assert_eq!(field("Groups"), "");
    }
}

pub(crate) fn a_container_on_the_hosts_network_is_refused() {
    let bound = publish::bind(&format!(":{PORT}").parse::<Publish>().unwrap()).unwrap();
    let mut child = Command::new("unshare");
    if !root() {
        child.args(["--user", "--map-root-user"]);
    }
    let mut child = child.args(["sleep", "60"]).spawn().unwrap();
    thread::sleep(Duration::from_millis(100));
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    let mut proxy = Proxy::start(role_command("proxy")).unwrap();
    let error = proxy
        .serve(
            &[(bound.listener.as_fd(), PORT)],
            pidfd.as_fd(),
            Lifetime::Starter,
        )
        .unwrap_err();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        matches!(
            error,
            ProxyError::Step {
                step: Step::OwnNetwork,
                ..
            }
        ),
        "{error:?}"
    );
}

pub(crate) fn a_proxy_that_dies_at_once_is_told() {
    let bound = publish::bind(&format!(":{PORT}").parse::<Publish>().unwrap()).unwrap();
    let me = pidfd_open(rustix::process::getpid(), PidfdFlags::empty()).unwrap();
    let mut proxy = Proxy::start(Command::new("false")).unwrap();
    let error = proxy
        .serve(
            &[(bound.listener.as_fd(), PORT)],
            me.as_fd(),
            Lifetime::Starter,
        )
        .unwrap_err();
    assert!(matches!(error, ProxyError::Ended(_)), "{error:?}");
    let error = Proxy::start(Command::new("/nonexistent")).unwrap_err();
    assert!(matches!(error, ProxyError::Start(_)), "{error:?}");
}

pub(crate) fn all_of_it_holds_without_root() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Not where only root may read.
    std::fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let copy = folder.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&copy)
        .arg("proxy::")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Prints medians of connect, one byte there and back, and 100 MB, direct and by the proxy.
pub(crate) fn measure() {
    let direct = TcpListener::bind("127.0.0.1:0").unwrap();
    let direct_address = direct.local_addr().unwrap();
    thread::spawn(move || {
        for stream in direct.incoming() {
            thread::spawn(|| answer(stream.unwrap()));
        }
    });
    let container = start(true, "127.0.0.1:8080", 0);
    container.echoes();
    let exchange = |address: SocketAddr| {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"Ex").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        began.elapsed()
    };
    let (mut plain, mut proxied) = (Vec::new(), Vec::new());
    for _ in 0..2000 {
        plain.push(exchange(direct_address));
        proxied.push(exchange(container.address));
    }
    plain.sort_unstable();
    proxied.sort_unstable();
    println!(
        "exchange: direct {:?}, proxy {:?}",
        plain[1000], proxied[1000]
    );
    for (name, address) in [("direct", direct_address), ("proxy", container.address)] {
        let began = Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"L").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink()).unwrap();
        println!("100 MB {name}: {:?}", began.elapsed());
    }
    let file = std::env::current_exe().unwrap();
    let began = Instant::now();
    let found = publish::takes_listen_fds(None, &file).unwrap();
    println!(
        "LISTEN_FDS in {} bytes: {found}, {:?}",
        file.metadata().unwrap().len(),
        began.elapsed()
    );
}
