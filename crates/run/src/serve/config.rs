//! `ounce-serve.toml`: read, checked key by key, and turned into [`Config`].
//! How faults are told with their place, `ounce-config` knows.

mod duration;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use ounce_config::{ConfigError, ConfigFault};
use ounce_config::{
    DeTable, DeValue, Read, Spanned, Table, Value, invalid, missing, parsed, string, strings,
    table_of, tables, wrong_type,
};
use ounce_oci::ByteSize;

use super::route::Place;
use crate::publish::Publish;
use crate::spec::{Limits, Network, Volume};
pub use duration::{DurationError, duration};

/// Most bytes of an `ounce-serve.toml`: some 100,000 services.
pub const CONFIG_LIMIT_BYTES: u64 = 32 << 20;
/// All that is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Each with a name of its own.
    pub services: Vec<Service>,
    /// Where metrics are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// How many containers may run at once, if that is limited.
    pub max_running: Option<u32>,
    /// How many starts a second there are at most, if that is limited.
    pub start_rate: Option<u32>,
    /// How many starts are kept begun.
    pub pool: u32,
}

impl Config {
    /// One with these services and no limits.
    pub fn of(services: Vec<Service>) -> Self {
        Self {
            services,
            metrics: None,
            max_running: None,
            start_rate: None,
            pool: 0,
        }
    }
}

/// One service: an image and where it is reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// For people, logs and metrics.
    pub name: String,
    /// What `ounce run` takes: a name in the store, a place, or a program or
    /// folder (with a `/` or `.` first).
    pub image: String,
    /// Where it is reached.
    pub listen: Publish,
    /// Which requests there are its own, where several services share one address.
    pub place: Option<Place>,
    /// How long without a connection until it is stopped; never, if none.
    pub idle: Option<Duration>,
    /// Whether it is started without waiting for a connection, and never stopped.
    pub always: bool,
    /// Most connections of a routed service at once.
    pub concurrency: Option<u32>,
    /// Most starts a second.
    pub start_rate: Option<u32>,
    /// What an update asks a new image for, by HTTP, before it takes over.
    pub health: Option<String>,
    /// The public key that a new image must be signed by.
    pub key: Option<PathBuf>,
    /// What else is said of its start.
    pub options: Box<Options>,
}

/// What is said of a service's start, as with `ounce run`.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// In place of the image's command.
    pub arguments: Vec<String>,
    /// `NAME=VALUE`.
    pub environment: Vec<String>,
    /// What it may use at most.
    pub limits: Limits,
    /// What of the network it sees.
    pub network: Network,
    /// Whether its socket is handed in; found out, if none.
    pub hand_over: Option<bool>,
    /// In place of the image's user.
    pub user: Option<String>,
    /// In place of the image's folder.
    pub workdir: Option<PathBuf>,
    /// Files and folders of the host.
    pub volumes: Vec<Volume>,
    /// Writable folders in memory.
    pub tmpfs: Vec<PathBuf>,
    /// Whether what it prints goes where ours goes.
    pub prints: bool,
    /// How long it may take to end after it was asked to.
    pub stop_timeout: Duration,
    /// How long it may take until it accepts its first connection.
    pub start_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            arguments: Vec::new(),
            environment: Vec::new(),
            limits: Limits::default(),
            network: Network::default(),
            hand_over: None,
            user: None,
            workdir: None,
            volumes: Vec::new(),
            tmpfs: Vec::new(),
            prints: true,
            stop_timeout: Duration::from_secs(10),
            start_timeout: Duration::from_secs(30),
        }
    }
}

impl Service {
    /// How long without a connection until a service is stopped, unless told.
    pub const IDLE: Duration = Duration::from_secs(30);

    /// A service of this image at this address, all else as by default.
    pub fn new(name: String, image: String, listen: Publish) -> Self {
        Self {
            name,
            image,
            listen,
            place: None,
            idle: Some(Self::IDLE),
            always: false,
            concurrency: None,
            start_rate: None,
            health: None,
            key: None,
            options: Box::default(),
        }
    }
}

/// Reads the text of an `ounce-serve.toml`; `path` is for messages and relative files.
///
/// # Errors
/// Not TOML, an unknown key, a wrong type, a value out of its range, a name
/// that is there twice, or an address that two services cannot share.
pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    ounce_config::read(path, "docs/serve.md", text, |document| {
        root(document, folder)
    })
}

const ROOT: &[&str] = &[
    "metrics",
    "max-running",
    "start-rate",
    "pool",
    "defaults",
    "service",
];

/// Of `[[service]]`; those from `image` on may stand in `[defaults]`, too.
const SERVICE: &[&str] = &[
    "name",
    "listen",
    "host",
    "path",
    "image",
    "idle",
    "always",
    "concurrency",
    "start-rate",
    "health",
    "key",
    "args",
    "env",
    "memory",
    "cpus",
    "pids",
    "network",
    "socket",
    "user",
    "workdir",
    "volumes",
    "tmpfs",
    "output",
    "stop-timeout",
    "start-timeout",
];
const OWN: usize = 4;

fn root(table: &DeTable<'_>, folder: &Path) -> Read<Config> {
    let table = Table::new(table, "", ROOT)?;
    let defaults = table.get("defaults", |name, value| {
        let defaults = table_of(name, value)?;
        // Read once by itself, so that a fault of it is told where there is no service.
        let checked = Table::new(defaults, "defaults.", &SERVICE[OWN..])?;
        options(&checked, folder)?;
        idle(&checked)?;
        health(&checked)?;
        Ok(defaults)
    })?;
    let services = table.get("service", |name, value| {
        tables(name, value, "tables under [[service]]")
    })?;
    let services = services.unwrap_or_default();
    if services.is_empty() {
        return Err(missing("[[service]]", 0..0));
    }
    let mut seen = Seen::default();
    let mut read = Vec::with_capacity(services.len());
    for value in services {
        let table = Table::new(table_of("service", value)?, "service.", SERVICE)?.before(defaults);
        let one = service(&table, value.span(), folder)?;
        seen.add(&one, &table, value.span())?;
        read.push(one);
    }
    Ok(Config {
        services: read,
        metrics: table.get("metrics", |name, value| {
            parsed(name, value, |text| {
                text.parse()
                    .map_err(|_| format!("{text:?} is not ADDRESS:PORT, such as 127.0.0.1:9464"))
            })
        })?,
        max_running: table.number("max-running", 1)?,
        start_rate: table.number("start-rate", 1)?,
        pool: table.number("pool", 0)?.unwrap_or_default(),
    })
}

/// What two services cannot both have.
#[derive(Default)]
struct Seen {
    names: HashMap<String, ()>,
    addresses: HashMap<SocketAddr, Vec<Option<Place>>>,
}

impl Seen {
    fn add(&mut self, service: &Service, table: &Table<'_, '_>, span: Range<usize>) -> Read<()> {
        let at = |key: &str| table.value(key).map_or(span.clone(), Spanned::span);
        if self.names.insert(service.name.clone(), ()).is_some() {
            let why = format!("there are two services {:?}", service.name);
            return Err(invalid("service.name", at("name"), why));
        }
        let address = service.listen.address();
        if address.port() == 0 {
            return Ok(());
        }
        let others = self.addresses.entry(address).or_default();
        let alone = others.iter().any(Option::is_none) || service.place.is_none();
        if !others.is_empty() && alone {
            let why = format!(
                "{address} is another service's, too: to share it, each has to say `host` or `path`"
            );
            return Err(invalid("service.listen", at("listen"), why));
        }
        if others.contains(&service.place) {
            let why = format!("another service at {address} has the same `host` and `path`");
            return Err(invalid("service.listen", at("listen"), why));
        }
        others.push(service.place.clone());
        Ok(())
    }
}

/// None is never.
fn idle(table: &Table<'_, '_>) -> Read<Option<Option<Duration>>> {
    table.get("idle", |name, value| {
        parsed(name, value, |text| match text {
            "never" => Ok(None),
            _ => duration(text).map(Some),
        })
    })
}

/// What stands in a request line.
fn health(table: &Table<'_, '_>) -> Read<Option<String>> {
    table.get("health", |name, value| {
        parsed(name, value, |text| {
            let is_plain = |byte: u8| byte.is_ascii_graphic();
            match text.starts_with('/') && text.bytes().all(is_plain) {
                true => Ok(text.to_owned()),
                false => Err(format!(
                    "{text:?} is no path to ask for, such as \"/healthz\""
                )),
            }
        })
    })
}

fn time(table: &Table<'_, '_>, key: &'static str) -> Read<Option<Duration>> {
    table.get(key, |name, value| parsed(name, value, duration))
}

fn service(table: &Table<'_, '_>, span: Range<usize>, folder: &Path) -> Read<Service> {
    let missing = |key: &str| missing(format!("service.{key}"), span.clone());
    let name = table.get("name", |name, value| {
        parsed(name, value, |text| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            match !text.is_empty() && text.len() <= 128 && text.bytes().all(plain) {
                true => Ok(text.to_owned()),
                false => Err("letters, digits, `-`, `_` and `.`, at most 128"),
            }
        })
    })?;
    let image = table.get("image", |name, value| {
        parsed(name, value, |text| match text {
            "" => Err("it is empty".to_owned()),
            // A path is meant from the file's folder on.
            path if path.starts_with('.') => Ok(folder.join(path).to_string_lossy().into_owned()),
            text => Ok(text.to_owned()),
        })
    })?;
    let listen = table.get("listen", |name, value| {
        let text = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().to_owned(),
            _ => string(name, value)?,
        };
        text.parse::<Publish>()
            .map_err(|error| invalid(name, value.span(), error))
    })?;
    let hosts = table.get("host", |name, value| {
        let hosts = match value.get_ref() {
            DeValue::String(text) => vec![text.to_string()],
            _ => strings(name, value)?,
        };
        Place::hosts(hosts).map_err(|error| invalid(name, value.span(), error))
    })?;
    let path = table.get("path", |name, value| parsed(name, value, Place::prefix))?;
    let routed = hosts.is_some() || path.is_some();
    let concurrency = table.number("concurrency", 1)?;
    if let (Some(_), false, Some(value)) = (concurrency, routed, table.value("concurrency")) {
        let why = "only connections that are routed can be counted: say `host` or `path` \
                   (\"/\" is all of them), or have the program limit its own";
        return Err(invalid("service.concurrency", value.span(), why));
    }
    Ok(Service {
        name: name.ok_or_else(|| missing("name"))?,
        image: image.ok_or_else(|| missing("image"))?,
        listen: listen.ok_or_else(|| missing("listen"))?,
        place: routed.then(|| Place {
            hosts: hosts.unwrap_or_default(),
            prefix: path.unwrap_or_else(|| "/".to_owned()),
        }),
        idle: idle(table)?.unwrap_or(Some(Service::IDLE)),
        always: table.boolean("always")?.unwrap_or_default(),
        concurrency,
        start_rate: table.number("start-rate", 1)?,
        health: health(table)?,
        key: table.string("key")?.map(|key| folder.join(key)),
        options: Box::new(options(table, folder)?),
    })
}

fn options(table: &Table<'_, '_>, folder: &Path) -> Read<Options> {
    let default = Options::default();
    let size = |name: &str, value: &Value<'_>| match value.get_ref() {
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix())
            .map_err(|_| invalid(name, value.span(), "a number of bytes from 0 up is wanted")),
        DeValue::String(_) => parsed(name, value, |text| {
            text.parse::<ByteSize>().map(|size| size.0)
        }),
        _ => wrong_type(name, value, "a size, as \"64MB\""),
    };
    Ok(Options {
        arguments: table.strings("args")?.unwrap_or_default(),
        environment: table
            .map("env")?
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        limits: Limits {
            memory_bytes: table.get("memory", size)?,
            cpu_milli: table.get("cpus", processors)?,
            pids: table.number("pids", 1)?,
        },
        network: table
            .get("network", |name, value| {
                parsed(name, value, |text| match text {
                    "private" => Ok(Network::Private),
                    "host" => Ok(Network::Host),
                    "none" => Ok(Network::None),
                    _ => Err(format!("{text:?} is none of private, host, none")),
                })
            })?
            .unwrap_or(default.network),
        hand_over: table
            .get("socket", |name, value| {
                parsed(name, value, |text| match text {
                    "auto" => Ok(None),
                    "pass" => Ok(Some(true)),
                    "proxy" => Ok(Some(false)),
                    _ => Err(format!("{text:?} is none of auto, pass, proxy")),
                })
            })?
            .flatten(),
        user: table.string("user")?,
        workdir: table.string("workdir")?.map(PathBuf::from),
        volumes: table
            .get("volumes", |name, value| {
                let read = |text: &String| {
                    let mut volume: Volume = text.parse()?;
                    volume.host = folder.join(volume.host);
                    Ok(volume)
                };
                strings(name, value)?
                    .iter()
                    .map(read)
                    .collect::<Result<Vec<_>, crate::spec::VolumeError>>()
                    .map_err(|error| invalid(name, value.span(), error))
            })?
            .unwrap_or_default(),
        tmpfs: table
            .strings("tmpfs")?
            .unwrap_or_default()
            .into_iter()
            .map(PathBuf::from)
            .collect(),
        prints: table
            .get("output", |name, value| {
                parsed(name, value, |text| match text {
                    "inherit" => Ok(true),
                    "null" => Ok(false),
                    _ => Err(format!("{text:?} is none of inherit, null")),
                })
            })?
            .unwrap_or(default.prints),
        stop_timeout: time(table, "stop-timeout")?.unwrap_or(default.stop_timeout),
        start_timeout: time(table, "start-timeout")?.unwrap_or(default.start_timeout),
    })
}

fn processors(name: &str, value: &Value<'_>) -> Read<u32> {
    let count: f64 = match value.get_ref() {
        DeValue::Integer(number) => number.as_str().parse().ok(),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => return wrong_type(name, value, "a number of processors, as 0.5"),
    }
    .unwrap_or(f64::NAN);
    match (count * 1000.0).round() {
        milli @ 1.0..=4_294_967_295.0 => Ok(milli as u32),
        _ => Err(invalid(name, value.span(), "no number of processors")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Config {
        parse(Path::new("/etc/ounce-serve.toml"), text).unwrap()
    }

    fn fault(text: &str) -> String {
        let error = parse(Path::new("s.toml"), text).unwrap_err();
        assert!(!error.hints().is_empty());
        error.to_string()
    }

    const ONE: &str = "[[service]]\nname = \"a\"\nimage = \"i\"\nlisten = 80\n";

    #[test]
    fn a_service_has_what_the_defaults_say_and_its_own_over_it() {
        let config = read(
            "metrics = \"127.0.0.1:9464\"\nmax-running = 7\n\
             [defaults]\nimage = \"hello\"\nidle = \"5m\"\nmemory = \"64MB\"\nenv = { A = \"1\" }\n\
             [[service]]\nname = \"a\"\nlisten = \"8080:80\"\n\
             [[service]]\nname = \"b\"\nlisten = 8081\nimage = \"./b\"\nidle = \"never\"\n\
             cpus = 0.5\nhost = \"B.example\"\npath = \"/x/\"\nconcurrency = 3\n",
        );
        assert_eq!((config.max_running, config.pool), (Some(7), 0));
        let [a, b] = &config.services[..] else {
            panic!("two services")
        };
        assert_eq!(
            (a.image.as_str(), a.idle),
            ("hello", Some(Duration::from_secs(300)))
        );
        assert_eq!(a.options.limits.memory_bytes, Some(64_000_000));
        assert_eq!(a.options.environment, ["A=1"]);
        assert_eq!((a.listen.host_port, a.listen.container_port), (8080, 80));
        assert_eq!((b.image.as_str(), b.idle), ("/etc/./b", None));
        assert_eq!(b.options.limits.cpu_milli, Some(500));
        let place = b.place.as_ref().unwrap();
        assert_eq!(place.hosts, ["b.example"]);
        assert_eq!(place.prefix, "/x");
    }

    #[test]
    fn faults_are_told_with_their_place_and_the_nearest_key() {
        assert_eq!(
            fault("[[service]]\nname = \"a\"\nimgae = \"i\"\n"),
            "s.toml:3:1: unknown key `service.imgae`: did you mean `service.image`?"
        );
        assert_eq!(
            fault("max_running = 3\n"),
            "s.toml:1:1: unknown key `max_running`: did you mean `max-running`?"
        );
        assert_eq!(fault(""), "s.toml:1:1: `[[service]]` is missing");
        assert_eq!(fault("[[service]\n").split(": ").nth(1), Some("not TOML"));
        assert_eq!(
            fault("[[service]]\nname = \"a\"\nimage = \"i\"\n"),
            "s.toml:1:1: `service.listen` is missing"
        );
        assert_eq!(
            fault("service = 1\n"),
            "s.toml:1:11: `service` wants tables under [[service]], not a number"
        );
        for (line, what) in [
            ("idle = 30", "`service.idle` wants a string, not a number"),
            ("idle = \"-1s\"", "is not a length of time"),
            ("idle = \"1e99h\"", "is not a length of time"),
            ("memory = -1", "a number of bytes from 0 up is wanted"),
            ("cpus = nan", "no number of processors"),
            ("pids = 0", "a number from 1 on"),
            ("start-rate = 0", "a number from 1 on"),
            ("concurrency = 5", "only connections that are routed"),
            ("network = \"bridge\"", "none of private, host, none"),
            ("host = \"a b\"", "`service.host`"),
            ("path = \"x\"", "`service.path`"),
            ("volumes = [\"/a\"]", "not HOST:PATH"),
            ("always = 1", "wants true or false"),
            ("env = { A = 1 }", "`service.env.A` wants a string"),
        ] {
            let text = fault(&format!("{ONE}{line}\n"));
            assert!(text.starts_with("s.toml:5:"), "{text}");
            assert!(text.contains(what), "{text}");
        }
        let text = fault(&ONE.replace("80", "70000"));
        assert!(text.contains("is not a port"), "{text}");
        let text = fault(&ONE.replace("\"a\"", "\"a b\""));
        assert!(text.contains("letters, digits"), "{text}");
    }

    #[test]
    fn names_and_addresses_are_not_given_twice() {
        let two = |first: &str, second: &str| format!("{ONE}{first}\n{ONE}{second}\n");
        assert!(fault(&two("", "")).contains("two services \"a\""));
        let other = ONE.replace("\"a\"", "\"b\"");
        let both = |first: &str, second: &str| format!("{ONE}{first}\n{other}{second}\n");
        assert!(fault(&both("", "")).contains("is another service's, too"));
        assert!(fault(&both("path = \"/a\"", "")).contains("is another service's, too"));
        assert!(fault(&both("path = \"/a\"", "path = \"/a/\"")).contains("the same"));
        assert_eq!(
            read(&both("path = \"/a\"", "path = \"/\"")).services.len(),
            2
        );
        let free = ONE.replace("80", "\":80\"");
        let text = format!("{free}\n{}", free.replace("\"a\"", "\"b\""));
        assert_eq!(read(&text).services.len(), 2, "any free port is no clash");
    }

    #[test]
    fn lengths_of_time_have_a_unit_or_are_seconds() {
        let millis = |text: &str| duration(text).map(|duration| duration.as_millis());
        assert_eq!(millis("500ms"), Ok(500));
        assert_eq!(millis("30s"), Ok(30_000));
        assert_eq!(millis("1.5m"), Ok(90_000));
        assert_eq!(millis("2h"), Ok(7_200_000));
        assert_eq!(millis("3"), Ok(3_000));
        for text in [
            "", "s", "1d", "-1s", "1s ", "1.2.3s", "nan", "inf", "1e3s", "9999999h",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
