//! What is shipped: an image with all that platforms ask about it, checked once
//! and then relied on by every platform's module.

use std::collections::BTreeSet;
use std::path::Path;

use ounce_oci::model::ImageConfiguration;
use ounce_oci::registry::Remote;
use ounce_oci::{ByteSize, Digest, Platform};
use ounce_rootfs::secret;

/// Who runs a program whose image names nobody, or root.
const NOBODY: u32 = 65532;
/// The least memory that a container is given: runtimes set it up within its own
/// limit, and runc needs most of this for a moment.
const LEAST_LIMIT: u64 = 32 << 20;
/// The least that is asked for.
const LEAST_REQUEST: u64 = 8 << 20;
/// What a program of which nothing was measured is taken to need beside its file.
const UNMEASURED: u64 = 24 << 20;
/// Thousandths of a processor that are asked for unless told: a figure to begin
/// with, chosen and not measured.
const CPU_MILLIS: u32 = 50;
const MIB: u64 = 1 << 20;

/// An image on its way to a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Application {
    /// What it is called on the platform: a DNS label of at most 40 characters.
    pub name: String,
    /// Where platforms pull it from, pinned; absent where none does.
    pub image: Option<Pinned>,
    /// What a person calls this state of it: a tag, else the digest's first digits.
    pub version: String,
    /// The digest of what was looked at: one platform's manifest, or an index.
    pub digest: Digest,
    /// What it runs on.
    pub platforms: Vec<Platform>,
    /// The port it listens on; absent for what answers nobody.
    pub port: Option<u16>,
    /// Who it runs as, by number; never 0.
    pub user: u32,
    /// With which group.
    pub group: u32,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The folder it starts in, if the image says.
    pub workdir: Option<String>,
    /// The image's own variables.
    pub own_environment: Vec<(String, String)>,
    /// Variables that it is given beside the image's.
    pub environment: Vec<(String, String)>,
    /// Variables whose values the platform keeps.
    pub secrets: Vec<SecretVariable>,
    /// The path that answers 200 if it is well, where there is one.
    pub health_path: Option<String>,
    /// The program and arguments that end with 0 if it is well, where there are such.
    pub health_command: Option<Vec<String>>,
    /// Folders that it may write to, in memory.
    pub scratch: Vec<String>,
    /// How many of it there are at least.
    pub replicas: u32,
    /// How many of it there are at most.
    pub most_replicas: u32,
    /// How long it may take from SIGTERM to its end, seconds.
    pub stop_seconds: u32,
    /// What it is to have.
    pub resources: Resources,
    /// Whether it takes its listening socket by `LISTEN_FDS`.
    pub takes_socket: bool,
    /// What a platform fetches of it.
    pub pulled_bytes: u64,
    /// What was measured of it.
    pub measured: Option<Measured>,
}

/// An image in a registry, by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    /// Where it is, with the digest and without a tag.
    remote: Remote,
    digest: Digest,
    /// The name that a person gave it there.
    pub tag: Option<String>,
}

/// A variable whose value the platform has and no file of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretVariable {
    /// The variable.
    pub variable: String,
    /// What the platform calls the secret: a Kubernetes Secret, an ARN, a podman
    /// or swarm secret.
    pub from: String,
    /// The key within it, where the platform has such.
    pub key: Option<String>,
}

/// What a container is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resources {
    /// Thousandths of a processor that are kept for it.
    pub cpu_millis: u32,
    /// Memory that is kept for it.
    pub memory_request_bytes: u64,
    /// The most memory it may have.
    pub memory_limit_bytes: u64,
    /// Where the figures of memory come from.
    pub basis: Basis,
}

/// Where figures of memory come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The program was started and looked at.
    Measured,
    /// The size of its files, and room.
    Estimated,
    /// Somebody said so.
    Told,
}

/// What a start of the image on the machine at hand has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// From the start to the first byte of the first answer, microseconds; absent
    /// where it answers nobody.
    pub first_answer_us: Option<u64>,
    /// Its share of memory (PSS) after that.
    pub memory_bytes: u64,
}

/// An image cannot be shipped as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplicationError {
    /// A name that platforms refuse.
    #[error("{name:?} cannot name an application: {why}")]
    Name {
        /// As it was written, or made from the image's name.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The image names its user by a word.
    #[error("the image's user is {0:?}, and platforms want a number to know that it is not root")]
    User(String),
    /// A variable's name that is none.
    #[error("{0:?} is no name of a variable")]
    Variable(String),
    /// A variable's value that is a secret.
    #[error(
        "the value of {variable} looks like {what}, and whoever reads the manifest would have it"
    )]
    Secret {
        /// The variable.
        variable: String,
        /// What kind of secret.
        what: &'static str,
    },
    /// A variable is given twice.
    #[error("{0} is given twice")]
    Twice(String),
    /// A path that is none.
    #[error("{0:?} is no absolute path without blanks")]
    Path(String),
    /// Fewer at most than at least.
    #[error("at most {most} and at least {least} contradict each other")]
    Replicas {
        /// Least.
        least: u32,
        /// Most.
        most: u32,
    },
    /// It does not say which port it listens on.
    #[error("the image does not say which port it listens on")]
    Port,
    /// It starts nothing.
    #[error("the image says not which program to start")]
    Program,
    /// The memory it may have is less than what is kept for it.
    #[error("{limit} at most and {request} kept for it contradict each other")]
    Memory {
        /// Most.
        limit: ByteSize,
        /// Kept.
        request: ByteSize,
    },
    /// A secret that the platform cannot have.
    #[error("the secret of {variable}: {why}")]
    SecretName {
        /// The variable.
        variable: String,
        /// What is wrong.
        why: &'static str,
    },
}

impl ApplicationError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name { .. } => "give it another by --name",
            Self::User(_) => "build it with --user UID:GID, or say who by --user UID:GID",
            Self::Variable(_) => "letters, digits and _ make one; the first is no digit",
            Self::Secret { .. } => {
                "let the platform keep it: --secret NAME=SECRET[/KEY]; if it is none: \
                 --allow-secret NAME"
            }
            Self::Twice(_) => "give it once",
            Self::Path(_) => "write it as /PATH",
            Self::Replicas { .. } => "raise --max-replicas or lower --replicas",
            Self::Port => "say it by --port PORT, or --no-port if it answers nobody",
            Self::Program => "build it with an entrypoint, or say what to start after --",
            Self::Memory { .. } => "raise --memory",
            Self::SecretName { .. } => "write it as NAME=SECRET or NAME=SECRET/KEY",
        }
    }
}

impl Pinned {
    /// An image in a registry.
    pub fn new(remote: &Remote, digest: Digest) -> Self {
        Self {
            tag: remote.tag().map(str::to_owned),
            remote: remote.with_digest(digest),
            digest,
        }
    }

    /// `HOST/REPOSITORY@DIGEST`, which every platform reads.
    pub fn reference(&self) -> String {
        format!("{}@{}", self.remote.name(), self.digest)
    }

    /// `HOST/REPOSITORY`.
    pub fn repository(&self) -> String {
        self.remote.name()
    }

    /// Which.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Whose registry.
    pub fn host(&self) -> &str {
        self.remote.host()
    }
}

impl Resources {
    /// From a measurement: twice what was seen is kept, four times that is the most.
    pub fn measured(measured: &Measured) -> Self {
        let request = up(measured.memory_bytes * 2 + 2 * MIB).max(LEAST_REQUEST);
        Self::of(request, Basis::Measured)
    }

    /// From the unpacked size alone.
    pub fn estimated(unpacked_bytes: u64) -> Self {
        Self::of(up(unpacked_bytes / 2 + UNMEASURED), Basis::Estimated)
    }

    fn of(request: u64, basis: Basis) -> Self {
        Self {
            cpu_millis: CPU_MILLIS,
            memory_request_bytes: request,
            memory_limit_bytes: (request * 4).max(LEAST_LIMIT),
            basis,
        }
    }

    /// With a limit that somebody has set.
    #[must_use]
    pub fn limited(mut self, limit_bytes: u64) -> Self {
        self.memory_limit_bytes = limit_bytes;
        if self.basis != Basis::Measured || self.memory_request_bytes > limit_bytes {
            self.memory_request_bytes = limit_bytes;
        }
        self.basis = Basis::Told;
        self
    }
}

/// The next whole mebibyte.
fn up(bytes: u64) -> u64 {
    bytes.div_ceil(MIB) * MIB
}

/// Bytes as Kubernetes and podman write them: whole mebibytes where they are.
pub fn quantity(bytes: u64) -> String {
    match bytes % MIB {
        0 => format!("{}Mi", bytes / MIB),
        _ => bytes.to_string(),
    }
}

impl Application {
    /// What an image says of itself. What it says not is as for a service of one
    /// replica without a port.
    ///
    /// # Errors
    /// Its name or its user is of no use to a platform, or it starts nothing.
    pub fn of(
        image_name: &str,
        digest: Digest,
        config: &ImageConfiguration,
    ) -> Result<Self, ApplicationError> {
        let own = config.config().as_ref();
        let (user, group) = match own.and_then(|own| own.user().as_deref()) {
            None | Some("") => (NOBODY, NOBODY),
            Some(text) => user_of(text)?,
        };
        let words = |list: Option<&Vec<String>>| list.cloned().unwrap_or_default();
        let command = [
            words(own.and_then(|own| own.entrypoint().as_ref())),
            words(own.and_then(|own| own.cmd().as_ref())),
        ]
        .concat();
        let variables = words(own.and_then(|own| own.env().as_ref()));
        let pair = |text: &String| {
            let (name, value) = text.split_once('=').unwrap_or((text, ""));
            (name.to_owned(), value.to_owned())
        };
        Ok(Self {
            name: name_of(image_name)?,
            image: None,
            version: digest.hex()[..12].to_owned(),
            digest,
            platforms: vec![ounce_oci::model::platform_of(config)],
            port: ports_of(config).first().copied(),
            user,
            group,
            command,
            workdir: own
                .and_then(|own| own.working_dir().clone())
                .filter(|folder| !folder.is_empty() && folder != "/"),
            own_environment: variables.iter().map(pair).collect(),
            environment: Vec::new(),
            secrets: Vec::new(),
            health_path: None,
            health_command: None,
            scratch: Vec::new(),
            replicas: 2,
            most_replicas: 6,
            stop_seconds: 10,
            resources: Resources::estimated(0),
            takes_socket: false,
            pulled_bytes: 0,
            measured: None,
        })
    }

    /// Holds everything to the rules that all platforms share. `allowed` names
    /// variables whose values only look like secrets.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self, allowed: &[String]) -> Result<(), ApplicationError> {
        check_name(&self.name)?;
        if self.command.is_empty() {
            return Err(ApplicationError::Program);
        }
        if self.most_replicas < self.replicas {
            return Err(ApplicationError::Replicas {
                least: self.replicas,
                most: self.most_replicas,
            });
        }
        let Resources {
            memory_request_bytes: request,
            memory_limit_bytes: limit,
            ..
        } = self.resources;
        if limit < request {
            return Err(ApplicationError::Memory {
                limit: ByteSize(limit),
                request: ByteSize(request),
            });
        }
        for path in self.health_path.iter().chain(&self.scratch) {
            let is_path = path.starts_with('/')
                && !path.bytes().any(|byte| byte <= b' ' || byte == 0x7f)
                && !path.split('/').any(|part| part == "..");
            if !is_path {
                return Err(ApplicationError::Path(path.clone()));
            }
        }
        let mut seen = BTreeSet::new();
        let given = self.environment.iter().map(|(name, _)| name);
        let kept = self.secrets.iter().map(|secret| &secret.variable);
        for name in given.chain(kept) {
            if !is_variable(name) {
                return Err(ApplicationError::Variable(name.clone()));
            }
            if !seen.insert(name) {
                return Err(ApplicationError::Twice(name.clone()));
            }
        }
        for secret in &self.secrets {
            let wrong = |why| ApplicationError::SecretName {
                variable: secret.variable.clone(),
                why,
            };
            // An ARN has colons and slashes; a value has blanks, or is long.
            let is_name = |text: &str| {
                let own = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:/+=@".contains(&byte);
                !text.is_empty() && text.len() <= 512 && text.bytes().all(own)
            };
            if !is_name(&secret.from) {
                return Err(wrong("what keeps it has no name that a platform takes"));
            }
            if secret.key.as_ref().is_some_and(|key| !is_name(key)) {
                return Err(wrong("its key has characters that no platform takes"));
            }
        }
        for (variable, value) in &self.environment {
            if let Some(what) = secret_in(variable, value)
                && !allowed.contains(variable)
            {
                return Err(ApplicationError::Secret {
                    variable: variable.clone(),
                    what,
                });
            }
        }
        Ok(())
    }

    /// The port.
    ///
    /// # Errors
    /// There is none, and the platform has to have one.
    pub fn needed_port(&self) -> Result<u16, ApplicationError> {
        self.port.ok_or(ApplicationError::Port)
    }

    /// The image by its digest, or by what stands for it where no platform pulls it.
    pub fn reference(&self) -> String {
        match &self.image {
            Some(pinned) => pinned.reference(),
            None => format!("{}@{}", self.name, self.digest),
        }
    }

    /// Whether an image runs as root, or does not say as whom, which is the same.
    pub fn is_of_root(config: &ImageConfiguration) -> bool {
        let own = config.config().as_ref();
        let user = own
            .and_then(|own| own.user().as_deref())
            .unwrap_or_default();
        let user = user.split(':').next().unwrap_or_default();
        matches!(user, "" | "0" | "root")
    }

    /// The image's own variables whose values look like secrets: they lie open in
    /// the image whatever a manifest says.
    pub fn secrets_in_image(&self) -> Vec<(&str, &'static str)> {
        let own = self.own_environment.iter();
        own.filter_map(|(name, value)| Some((name.as_str(), secret_in(name, value)?)))
            .collect()
    }

    /// The processor architectures it runs on, as Go names them, each once.
    pub fn architectures(&self) -> Vec<&str> {
        let all = self.platforms.iter().map(|one| one.architecture.as_str());
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The TCP ports an image says it listens on, lowest first.
pub fn ports_of(config: &ImageConfiguration) -> Vec<u16> {
    let ports = config
        .config()
        .as_ref()
        .and_then(|own| own.exposed_ports().clone())
        .unwrap_or_default();
    let mut numbers: Vec<u16> = ports
        .iter()
        .filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok())
        .filter(|port| *port != 0)
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// A user and a group by number. Root becomes nobody: no platform's manifests
/// are made for root.
///
/// # Errors
/// One of them is a word.
pub fn user_of(text: &str) -> Result<(u32, u32), ApplicationError> {
    let number = |word: &str| {
        // The one word of which every image means the same.
        let word = if word == "root" { "0" } else { word };
        word.parse::<u32>()
            .ok()
            .filter(|number| i32::try_from(*number).is_ok())
            .ok_or_else(|| ApplicationError::User(text.to_owned()))
    };
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (number(user)?, number(group)?),
        None => (number(text)?, number(text)?),
    };
    let not_root = |id| if id == 0 { NOBODY } else { id };
    Ok((not_root(user), not_root(group)))
}

/// An application's name from an image's: its last part, with what a DNS label
/// has not made a dash.
fn name_of(image: &str) -> Result<String, ApplicationError> {
    let last = image.rsplit('/').next().unwrap_or(image);
    let plain: String = last
        .chars()
        .map(|c| match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => c,
            _ => '-',
        })
        .collect();
    let plain = plain.trim_matches('-');
    let mut name = plain.to_owned();
    if name.starts_with(|first: char| first.is_ascii_digit()) {
        // A Service's name begins with a letter (RFC 1035).
        name.insert_str(0, "app-");
    }
    name.truncate(LONGEST_NAME);
    let name = name.trim_end_matches('-').to_owned();
    check_name(&name)?;
    Ok(name)
}

/// Leaves room for what platforms add to it within 63 characters.
const LONGEST_NAME: usize = 40;

fn check_name(name: &str) -> Result<(), ApplicationError> {
    let wrong = |why| {
        Err(ApplicationError::Name {
            name: name.to_owned(),
            why,
        })
    };
    if name.is_empty() {
        return wrong("it is empty");
    }
    if name.len() > LONGEST_NAME {
        return wrong("it has more than 40 characters");
    }
    if !name.starts_with(|first: char| first.is_ascii_lowercase()) {
        return wrong("it begins with no small letter");
    }
    if name.ends_with('-') {
        return wrong("it ends with a dash");
    }
    let own = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    match name.bytes().all(own) {
        true => Ok(()),
        false => wrong("it has other characters than small letters, digits and dashes"),
    }
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Ends of names whose values are secrets.
const SECRET_NAMES: &[(&str, &str)] = &[
    ("PASSWORD", "a password"),
    ("PASSWD", "a password"),
    ("PASSPHRASE", "a password"),
    ("SECRET", "a secret"),
    ("TOKEN", "a token"),
    ("API_KEY", "a key"),
    ("APIKEY", "a key"),
    ("ACCESS_KEY", "a key"),
    ("SECRET_KEY", "a key"),
    ("PRIVATE_KEY", "a private key"),
    ("CREDENTIALS", "credentials"),
];

/// What kind of secret a variable's value looks like, if it does.
pub fn secret_in(name: &str, value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return None;
    }
    let name = name.to_ascii_uppercase();
    let by_name = SECRET_NAMES.iter().find(|(end, _)| {
        name.strip_suffix(end)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    });
    // A path to a file of secrets is none itself.
    if let Some((_, what)) = by_name
        && !value.starts_with('/')
    {
        return Some(what);
    }
    if let Some((_, rest)) = value.split_once("://")
        && let Some((login, _)) = rest.split('/').next().and_then(|it| it.rsplit_once('@'))
        && login
            .split_once(':')
            .is_some_and(|(_, word)| !word.is_empty())
    {
        return Some("a URL with a password in it");
    }
    secret::find(Path::new("environment"), value.as_bytes())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ounce_oci::model::ImageConfiguration;

    /// What the snapshots of all platforms are of.
    pub(crate) fn shop() -> Application {
        let config: ImageConfiguration = serde_json::from_value(serde_json::json!({
            "architecture": "amd64", "os": "linux",
            "config": {
                "User": "65532:65532", "Entrypoint": ["/shop"], "Cmd": ["--port", "8080"],
                "ExposedPorts": {"8080/tcp": {}}, "Env": ["SHOP_LEVEL=info"]
            },
            "rootfs": {"type": "layers", "diff_ids": []}
        }))
        .unwrap();
        let digest = Digest::of(b"shop");
        let mut shop = Application::of("team/shop", digest, &config).unwrap();
        let remote: Remote = "registry.example/team/shop:1.4".parse().unwrap();
        shop.image = Some(Pinned::new(&remote, digest));
        shop.version = "1.4".to_owned();
        shop.environment = vec![("SHOP_CURRENCY".to_owned(), "EUR".to_owned())];
        shop.health_path = Some("/healthz".to_owned());
        shop.health_command = Some(vec!["/shop".to_owned(), "--health".to_owned()]);
        shop.pulled_bytes = 14_210;
        shop.measured = Some(Measured {
            first_answer_us: Some(1_900),
            memory_bytes: 180_000,
        });
        shop.resources = Resources::measured(&shop.measured.unwrap());
        shop
    }

    #[test]
    fn name_is_made_from_the_images_last_part() {
        for (image, name) in [
            ("registry.example:5000/team/Shop_Front.v2", "shop-front-v2"),
            ("2048", "app-2048"),
            ("a", "a"),
        ] {
            assert_eq!(name_of(image).unwrap(), name, "{image}");
        }
        let long = name_of(&"a".repeat(90)).unwrap();
        assert_eq!(long.len(), LONGEST_NAME);
        assert!(name_of("___").is_err());
    }

    #[test]
    fn root_becomes_nobody_and_a_word_is_refused() {
        assert_eq!(user_of("0:0"), Ok((65532, 65532)));
        assert_eq!(user_of("root"), Ok((65532, 65532)));
        assert_eq!(user_of("1000"), Ok((1000, 1000)));
        assert!(user_of("nginx").is_err());
        assert!(user_of("4294967295").is_err());
    }

    #[test]
    fn secret_among_the_variables_is_refused_by_name_and_by_value() {
        let key = format!("AKIA{}", "IOSFODNN7EXAMPLE");
        for (name, value) in [
            ("DB_PASSWORD", "x"),
            ("TOKEN", "x"),
            ("DATABASE_URL", "postgres://shop:pw@db/shop"),
            ("NOTE", key.as_str()),
        ] {
            let mut shop = shop();
            shop.environment = vec![(name.to_owned(), value.to_owned())];
            let refused = shop.check(&[]);
            assert!(
                matches!(refused, Err(ApplicationError::Secret { .. })),
                "{name}: {refused:?}"
            );
            assert!(!refused.unwrap_err().to_string().contains(value) || value == "x");
            assert_eq!(shop.check(&[name.to_owned()]), Ok(()));
        }
        for (name, value) in [
            ("TOKEN_SECONDS", "60"),
            ("DB_PASSWORD", ""),
            ("API_TOKEN", "/run/secrets/token"),
            ("DATABASE_URL", "postgres://shop@db/shop"),
        ] {
            assert_eq!(secret_in(name, value), None, "{name}");
        }
    }

    #[test]
    fn rules_that_all_platforms_share_are_kept() {
        let broken: [fn(&mut Application); 8] = [
            |it| it.name = "Shop".to_owned(),
            |it| it.most_replicas = 1,
            |it| it.environment.push(("1A".to_owned(), String::new())),
            |it| {
                it.environment
                    .push(("SHOP_CURRENCY".to_owned(), String::new()));
            },
            |it| it.health_path = Some("healthz".to_owned()),
            |it| it.scratch.push("/a/../etc".to_owned()),
            |it| it.command.clear(),
            |it| it.resources.memory_limit_bytes = 1,
        ];
        assert_eq!(shop().check(&[]), Ok(()));
        for (at, harm) in broken.into_iter().enumerate() {
            let mut shop = shop();
            harm(&mut shop);
            assert!(shop.check(&[]).is_err(), "{at}");
        }
    }

    #[test]
    fn memory_is_kept_by_what_was_measured() {
        let small = Resources::measured(&Measured {
            first_answer_us: None,
            memory_bytes: 20_000,
        });
        assert_eq!(quantity(small.memory_request_bytes), "8Mi");
        assert_eq!(quantity(small.memory_limit_bytes), "32Mi");
        let large = Resources::measured(&Measured {
            first_answer_us: None,
            memory_bytes: 50 << 20,
        });
        assert_eq!(quantity(large.memory_request_bytes), "102Mi");
        assert_eq!(quantity(small.limited(16 << 20).memory_limit_bytes), "16Mi");
    }
}
