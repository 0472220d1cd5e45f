//! The bridge `ounce0` of this machine: 10.117.0.0/16, out by the address of the
//! host. Containers on it reach each other and the host, as docker's do.
//!
//! An address is taken by the name of the interface at the host's end, which the
//! kernel gives once: no file has to tell who has which, and none can be stale.
//! The pair of interfaces goes with the container's namespace; the bridge and
//! the rule stay, for the next.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;

use ounce_linux::namespace::{Namespaces, enter};

use super::{Connection, NetworkError, tell};

const BRIDGE: &str = "ounce0";
const NETWORK: &str = "10.117.0.0/16";
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 117, 0, 1);
/// How many addresses are tried.
const TRIES: u16 = 512;

/// The masquerade of what leaves; the table is replaced as a whole.
const RULES: &str = "table ip ounce
delete table ip ounce
table ip ounce {
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr 10.117.0.0/16 oifname != \"ounce0\" masquerade
  }
}
";

/// Gives the namespace of a process an `eth0` on the bridge.
pub(super) fn connect(pid: i32) -> Result<Connection, NetworkError> {
    make()?;
    let address = pair(pid)?;
    let orders = format!(
        "addr add {address}/16 dev eth0\nlink set eth0 up\nroute add default via {GATEWAY}\n"
    );
    within(pid, || tell("ip", &["-batch", "-"], &orders))?;
    Ok(Connection {
        helper: None,
        address: Some(address.to_string()),
    })
}

/// Makes what all containers share, if it is not there.
fn make() -> Result<(), NetworkError> {
    const UP: u32 = 1; // IFF_UP
    let flags = fs::read_to_string(format!("/sys/class/net/{BRIDGE}/flags")).unwrap_or_default();
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
    if flags & UP == 0 {
        let orders = format!(
            "link add {BRIDGE} type bridge\naddr add {GATEWAY}/16 dev {BRIDGE}\nlink set {BRIDGE} up\n"
        );
        // Another ounce may be at it: what is there already is no error, and what
        // is not there in the end the next step tells.
        let _ = tell("ip", &["-force", "-batch", "-"], &orders);
        tell("nft", &["-f", "-"], RULES)?;
    }
    let forward = "/proc/sys/net/ipv4/ip_forward";
    if fs::read_to_string(forward).is_ok_and(|text| text.trim() == "0") {
        fs::write(forward, "1").map_err(|source| NetworkError::Start {
            tool: "forwarding of packets",
            source,
        })?;
    }
    Ok(())
}

/// Makes a pair of interfaces, and gives the address that goes with its name.
fn pair(pid: i32) -> Result<Ipv4Addr, NetworkError> {
    let mut last = NetworkError::Full(NETWORK);
    for attempt in 0..TRIES {
        // Of two that are started after each other the numbers are, too.
        let number = (pid as u16).wrapping_add(attempt.wrapping_mul(257));
        let [high, low] = number.to_be_bytes();
        let address = Ipv4Addr::new(10, 117, high, low);
        if matches!(number, 0 | 1 | u16::MAX) {
            continue;
        }
        let name = format!("ov{number:04x}");
        if fs::exists(format!("/sys/class/net/{name}")).unwrap_or(false) {
            continue;
        }
        let orders = format!(
            "link add {name} type veth peer name eth0 netns {pid}\nlink set {name} master {BRIDGE} up\n"
        );
        match tell("ip", &["-batch", "-"], &orders) {
            Ok(()) => return Ok(address),
            // One that was quicker has it.
            Err(NetworkError::Tool { tool, said }) if said.contains("File exists") => {
                last = NetworkError::Tool { tool, said };
            }
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Does something in the network namespace of a process: on a thread, which is
/// all that enters it.
fn within<T: Send>(
    pid: i32,
    act: impl FnOnce() -> Result<T, NetworkError> + Send,
) -> Result<T, NetworkError> {
    let failed = |source| NetworkError::Start {
        tool: "a thread in the container's network",
        source,
    };
    let space = File::open(format!("/proc/{pid}/ns/net")).map_err(failed)?;
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter(space.as_fd(), Namespaces::NETWORK).map_err(|errno| failed(errno.into()))?;
            act()
        });
        thread.join().unwrap_or(Err(NetworkError::Namespace))
    })
}
