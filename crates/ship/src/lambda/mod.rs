//! AWS Lambda: the function's code, as a zip or as an image, and what says how it is
//! run, as a template of SAM's and as Terraform.
//!
//! A program that speaks the Runtime API is a function as it is. Any other is taken
//! for an HTTP server, and gets the adapter (`apps/bootstrap`) before it, so that it
//! runs unchanged.

mod image;
mod template;
mod terraform;
mod zip;

use ounce_oci::layer::LayerError;
use ounce_oci::store::StoreError;
use ounce_oci::{ByteSize, Platform};

use crate::application::Application;
use crate::shipment::{Created, File, Shipment};
pub use image::{reported, write};
use zip::Member;

/// The adapter for each of OCI's architectures, or why it was not built.
const ADAPTERS: &[(&str, Result<&[u8], &str>)] =
    include!(concat!(env!("OUT_DIR"), "/bootstrap.rs"));

/// What programs that speak the Runtime API look for.
const OF_RUNTIME: &[u8] = b"AWS_LAMBDA_RUNTIME_API";
/// The port that a server is told to listen on where its image says none.
const PORT: u16 = 8080;
/// Of a zip that is sent with the request that makes the function.
const MOST_ZIPPED: u64 = 50 << 20;
/// Of all variables together.
const MOST_VARIABLES: usize = 4_096;
/// Of an image, unpacked.
pub(crate) const MOST_IMAGE: u64 = 10 << 30;
const MIB: u64 = 1 << 20;

/// Lambda cannot run it.
#[derive(Debug, thiserror::Error)]
pub enum LambdaError {
    /// Lambda has two architectures.
    #[error("the image is for {0}, and Lambda runs linux/amd64 and linux/arm64")]
    Architecture(String),
    /// The adapter was not compiled into this program.
    #[error("there is no adapter for {architecture} in this ounce")]
    NoAdapter {
        /// For which.
        architecture: String,
        /// What hindered it.
        reason: &'static str,
    },
    /// A zip holds the program alone.
    #[error("the image holds {0} besides its program, and a zip would put it elsewhere")]
    MoreFiles(String),
    /// More than a zip may have.
    #[error("the zip has {0}, and Lambda takes {most} of it", most = ByteSize(MOST_ZIPPED))]
    LongZip(ByteSize),
    /// More than an image may have.
    #[error("the image has {0}, and Lambda takes {most} of one", most = ByteSize(MOST_IMAGE))]
    LongImage(ByteSize),
    /// A layer that Lambda does not unpack.
    #[error("the layer {digest} is {media_type}, and Lambda reads gzip only")]
    Compression {
        /// Which.
        digest: String,
        /// What it is.
        media_type: String,
    },
    /// A variable that Lambda sets itself.
    #[error("{0} is a variable that Lambda sets itself")]
    Reserved(String),
    /// Too much in variables.
    #[error("the variables have {0} bytes, and Lambda takes {MOST_VARIABLES}")]
    Variables(usize),
    /// Variables of Lambda are read by everybody who sees the function.
    #[error("the secret of {0} would stand in the function's configuration")]
    Secret(String),
    /// More memory than there is.
    #[error("{0} of memory is not 128 MiB to 10 GiB")]
    Memory(ByteSize),
    /// A word of the command that cannot be told.
    #[error("the command has a NUL in {0:?}")]
    Word(String),
    /// The image's layers do not read.
    #[error("reading the image's layers")]
    Layer(#[from] LayerError),
    /// The store.
    #[error("writing the image")]
    Store(#[from] StoreError),
}

/// An architecture of Lambda's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// Graviton: a fifth cheaper by the second, and so the first choice.
    Arm64,
    /// Intel and AMD.
    X86_64,
}

impl Architecture {
    /// That of a platform.
    ///
    /// # Errors
    /// Lambda has none for it.
    pub fn of(platform: &Platform) -> Result<Self, LambdaError> {
        match (platform.os.as_str(), platform.architecture.as_str()) {
            ("linux", "arm64") => Ok(Self::Arm64),
            ("linux", "amd64") => Ok(Self::X86_64),
            _ => Err(LambdaError::Architecture(platform.to_string())),
        }
    }

    /// As Lambda writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "x86_64",
        }
    }

    fn of_oci(self) -> &'static str {
        match self {
            Self::Arm64 => "arm64",
            Self::X86_64 => "amd64",
        }
    }
}

/// Whether a program speaks the Runtime API itself.
pub fn is_function(program: &[u8]) -> bool {
    program
        .windows(OF_RUNTIME.len())
        .any(|part| part == OF_RUNTIME)
}

/// The adapter for an architecture.
///
/// # Errors
/// It was not compiled into this program.
pub fn adapter(architecture: Architecture) -> Result<&'static [u8], LambdaError> {
    let name = architecture.of_oci();
    let found = ADAPTERS.iter().find(|(own, _)| *own == name);
    found
        .map_or(Err("it is for no other architecture"), |(_, built)| *built)
        .map_err(|reason| LambdaError::NoAdapter {
            architecture: name.to_owned(),
            reason,
        })
}

/// Who may call a function by its own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It has none.
    None,
    /// Who signs as somebody that IAM knows.
    Iam,
    /// Everybody.
    Open,
}

/// What Lambda is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Its own address.
    pub access: Access,
    /// Seconds that it may take, 1 to 900.
    pub timeout_seconds: u32,
    /// Whether answers go on piece by piece.
    pub streams: bool,
    /// Whether it is frozen once it is ready, and started from there.
    pub is_snap_start: bool,
}

/// The function's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// Of each architecture there is, the first first.
    Zip(Vec<Zipped>),
    /// An image in the registry of an account.
    Image {
        /// Where, with its digest, as far as it is known.
        uri: String,
        /// For which.
        architecture: Architecture,
        /// Whether the adapter is in it.
        is_adapted: bool,
    },
}

/// Code for one architecture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zipped {
    /// Which.
    pub architecture: Architecture,
    /// The zip.
    pub bytes: Vec<u8>,
    /// Whether the adapter is in it.
    pub is_adapted: bool,
}

impl Zipped {
    /// The zip of a program and, unless it is a function itself, the adapter. Of
    /// `others`, which it would leave out, there must be none.
    ///
    /// # Errors
    /// See [`LambdaError`].
    pub fn new(
        application: &Application,
        architecture: Architecture,
        program: &[u8],
        others: &[String],
    ) -> Result<Self, LambdaError> {
        if let Some(other) = others.first() {
            return Err(LambdaError::MoreFiles(other.clone()));
        }
        let is_adapted = !is_function(program);
        let mut members = Vec::new();
        let mut words = Vec::new();
        if is_adapted {
            words = command(application)?;
            members.push(("bootstrap", adapter(architecture)?, 0o755));
            members.push(("bootstrap.args", &words[..], 0o644));
            members.push((SERVER, program, 0o755));
        } else {
            members.push(("bootstrap", program, 0o755));
        }
        let members: Vec<_> = members
            .into_iter()
            .map(|(name, bytes, mode)| Member { name, bytes, mode })
            .collect();
        let bytes = zip::zip(&members);
        if bytes.len() as u64 > MOST_ZIPPED {
            return Err(LambdaError::LongZip(ByteSize(bytes.len() as u64)));
        }
        drop(words);
        Ok(Self {
            architecture,
            bytes,
            is_adapted,
        })
    }

    /// What the file is called.
    pub fn name(&self) -> String {
        format!("function-{}.zip", self.architecture.as_str())
    }
}

/// What the server is called beside the adapter.
const SERVER: &str = "server";

/// The command as the adapter reads it: each word ends with NUL.
fn command(application: &Application) -> Result<Vec<u8>, LambdaError> {
    let mut bytes = format!("./{SERVER}\0").into_bytes();
    for word in application.command.iter().skip(1) {
        if word.contains('\0') {
            return Err(LambdaError::Word(word.clone()));
        }
        bytes.extend_from_slice(word.as_bytes());
        bytes.push(0);
    }
    Ok(bytes)
}

/// What a template says, put together once.
pub(crate) struct Parts<'a> {
    application: &'a Application,
    options: &'a Options,
    code: &'a Code,
    architecture: Architecture,
    memory_mib: u32,
    variables: Vec<(String, String)>,
}

impl<'a> Parts<'a> {
    fn new(
        application: &'a Application,
        code: &'a Code,
        options: &'a Options,
    ) -> Result<Self, LambdaError> {
        if let Some(secret) = application.secrets.first() {
            return Err(LambdaError::Secret(secret.variable.clone()));
        }
        let wanted = application.resources.memory_limit_bytes.div_ceil(MIB);
        let memory_mib = u32::try_from(wanted.max(128))
            .ok()
            .filter(|mib| *mib <= 10_240)
            .ok_or(LambdaError::Memory(ByteSize(wanted * MIB)))?;
        let (architecture, is_adapted) = match code {
            Code::Zip(zips) => zips
                .first()
                .map(|zipped| (zipped.architecture, zipped.is_adapted))
                .ok_or_else(|| LambdaError::Architecture("nothing".to_owned()))?,
            Code::Image {
                architecture,
                is_adapted,
                ..
            } => (*architecture, *is_adapted),
        };
        Ok(Self {
            application,
            options,
            code,
            architecture,
            memory_mib,
            variables: variables(application, code, options, is_adapted)?,
        })
    }
}

/// What the function finds in its environment. An image has its own already.
fn variables(
    application: &Application,
    code: &Code,
    options: &Options,
    is_adapted: bool,
) -> Result<Vec<(String, String)>, LambdaError> {
    let mut all = Vec::new();
    if let Code::Zip(_) = code {
        let own = application.own_environment.iter();
        // Lambda's own, and no other, leads to what Lambda has.
        all.extend(own.filter(|(name, _)| name != "PATH").cloned());
    }
    all.extend(application.environment.iter().cloned());
    if is_adapted {
        let port = application.port.unwrap_or(PORT).to_string();
        all.push(("AWS_LWA_PORT".to_owned(), port.clone()));
        if !all.iter().any(|(name, _)| name == "PORT") {
            all.push(("PORT".to_owned(), port));
        }
        if options.streams {
            let mode = "response_stream".to_owned();
            all.push(("AWS_LWA_INVOKE_MODE".to_owned(), mode));
        }
    }
    for (name, _) in &all {
        let is_ours = name.starts_with("AWS_LWA_");
        let is_theirs = ["AWS_", "LAMBDA_", "_HANDLER", "_X_AMZN_"]
            .iter()
            .any(|start| name.starts_with(start));
        if is_theirs && !is_ours {
            return Err(LambdaError::Reserved(name.clone()));
        }
    }
    let bytes = all.iter().map(|(name, value)| name.len() + value.len());
    match bytes.sum() {
        most if most > MOST_VARIABLES => Err(LambdaError::Variables(most)),
        _ => Ok(all),
    }
}

/// Template, Terraform files, the zips, and what the AWS CLI is told.
///
/// # Errors
/// See [`LambdaError`].
pub fn ship(
    application: &Application,
    code: &Code,
    options: &Options,
) -> Result<Shipment, LambdaError> {
    let parts = Parts::new(application, code, options)?;
    let name = &application.name;
    let mut files = vec![
        File::text("template.yaml", template::template(&parts).yaml()),
        File::beside("main.tf", terraform::main(&parts)),
        File::beside("function.json", parts.configuration().json_text()),
    ];
    if let Code::Zip(zips) = code {
        files.extend(zips.iter().map(|zipped| File {
            path: zipped.name(),
            contents: zipped.bytes.clone(),
            is_program: false,
            is_shown: false,
        }));
    }
    let created = |kind: &str, purpose: &str| Created::new(kind, name, purpose);
    let mut creates = vec![
        created(
            "AWS::Lambda::Function",
            "the program, started when it is asked for",
        ),
        created("AWS::Logs::LogGroup", "what it says, for 30 days"),
        created("AWS::IAM::Role", "may write the log, and nothing else"),
    ];
    if options.access != Access::None {
        creates.push(created("AWS::Lambda::Url", "its own address"));
    }
    Ok(Shipment {
        files,
        creates,
        notes: notes(&parts),
        next: vec![
            format!("sam deploy --stack-name {name} --capabilities CAPABILITY_IAM --resolve-s3"),
            "terraform init && terraform apply".to_owned(),
        ],
    })
}

fn notes(parts: &Parts<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    match parts.code {
        Code::Zip(zips) => {
            if let [_, other, ..] = &zips[..] {
                notes.push(format!(
                    "the template names {}; {} is there as well: change Architectures and CodeUri",
                    zips[0].name(),
                    other.name()
                ));
            }
        }
        Code::Image { uri, .. } if !uri.contains(".dkr.ecr.") => notes.push(
            "Lambda pulls from the account's own ECR only: push the image there, and give its \
             address by --registry"
                .to_owned(),
        ),
        Code::Image { .. } => {}
    }
    if parts.options.access == Access::Open {
        notes.push("everybody on the internet may call it".to_owned());
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::SecretVariable;
    use crate::application::tests::shop;

    const OPTIONS: Options = Options {
        access: Access::Iam,
        timeout_seconds: 30,
        streams: false,
        is_snap_start: false,
    };
    /// What is looked for in a program.
    const FUNCTION: &[u8] = b"\x7fELF AWS_LAMBDA_RUNTIME_API";

    fn zipped(architecture: Architecture, program: &[u8]) -> Zipped {
        Zipped::new(&shop(), architecture, program, &[]).unwrap()
    }

    fn text(shipment: &Shipment) -> String {
        let files = shipment.files.iter();
        files
            .filter_map(|file| Some(format!("# {}\n{}\n", file.path, file.as_text()?)))
            .collect()
    }

    #[test]
    fn a_function_is_a_template_and_terraform_as_before() {
        let mut shop = shop();
        shop.port = None;
        let options = Options {
            access: Access::None,
            ..OPTIONS
        };
        let code = Code::Zip(vec![zipped(Architecture::Arm64, FUNCTION)]);
        insta::assert_snapshot!(text(&ship(&shop, &code, &options).unwrap()));
    }

    #[test]
    fn a_server_in_an_image_is_a_template_and_terraform_as_before() {
        let code = Code::Image {
            uri: "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop@sha256:00".to_owned(),
            architecture: Architecture::X86_64,
            is_adapted: true,
        };
        let options = Options {
            access: Access::Open,
            streams: true,
            is_snap_start: true,
            ..OPTIONS
        };
        let shipment = ship(&shop(), &code, &options).unwrap();
        assert!(shipment.notes.iter().any(|note| note.contains("everybody")));
        insta::assert_snapshot!(text(&shipment));
    }

    #[test]
    fn a_zip_is_the_same_whenever_it_is_made_and_a_server_has_the_adapter_before_it() {
        for architecture in [Architecture::Arm64, Architecture::X86_64] {
            let one = zipped(architecture, b"\x7fELF server");
            assert!(one.is_adapted);
            assert_eq!(one, zipped(architecture, b"\x7fELF server"));
            let names = |bytes: &[u8], name: &str| {
                bytes
                    .windows(name.len())
                    .any(|part| part == name.as_bytes())
            };
            for name in ["bootstrap", "bootstrap.args", "server"] {
                assert!(names(&one.bytes, name), "{name}");
            }
            let function = zipped(architecture, FUNCTION);
            assert!(!function.is_adapted && !names(&function.bytes, "server"));
        }
    }

    #[test]
    fn what_lambda_does_not_take_is_refused_with_its_reason() {
        let code = Code::Zip(vec![zipped(Architecture::Arm64, FUNCTION)]);
        let refused = |change: &dyn Fn(&mut Application)| {
            let mut shop = shop();
            change(&mut shop);
            ship(&shop, &code, &OPTIONS).unwrap_err().to_string()
        };
        let secret = SecretVariable {
            variable: "DB".to_owned(),
            from: "arn:x".to_owned(),
            key: None,
        };
        let text = refused(&|shop| shop.secrets = vec![secret.clone()]);
        assert!(text.contains("the secret of DB would stand"), "{text}");
        for name in ["AWS_REGION", "LAMBDA_TASK_ROOT", "_HANDLER"] {
            let pair = (name.to_owned(), "x".to_owned());
            let text = refused(&|shop| shop.environment = vec![pair.clone()]);
            assert!(text.contains("Lambda sets itself"), "{text}");
        }
        let long = ("A".to_owned(), "x".repeat(5_000));
        let text = refused(&|shop| shop.environment = vec![long.clone()]);
        assert!(text.contains("Lambda takes 4096"), "{text}");
        let text = refused(&|shop| shop.resources.memory_limit_bytes = 11 << 30);
        assert!(text.contains("128 MiB to 10 GiB"), "{text}");
        let riscv = "linux/riscv64".parse().unwrap();
        let text = Architecture::of(&riscv).unwrap_err().to_string();
        assert!(text.contains("the image is for linux/riscv64"), "{text}");
        let others = ["site/index.html".to_owned()];
        let more = Zipped::new(&shop(), Architecture::Arm64, FUNCTION, &others);
        assert!(matches!(more, Err(LambdaError::MoreFiles(_))));
    }
}
