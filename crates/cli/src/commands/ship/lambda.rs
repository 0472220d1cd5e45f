//! `--to lambda`: the code, out of the image; and `--apply`, by the AWS CLI, which
//! has everybody's credentials and regions already.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use ounce_oci::{Image, Place, Reference};
use ounce_rootfs::unpack;
use ounce_ship::Shipment;
use ounce_ship::lambda::{self, Access, Architecture, Code, LambdaError, Options, Zipped};
use serde::Serialize;

use super::application::{Shipped, program};
use super::asking;
use crate::arguments::ship::{AccessChoice, PackageChoice, ShipOptions};
use crate::commands::{Context, push};
use crate::failure::{Failure, Kind};

/// What Lambda is told.
pub(super) fn shipment(
    context: &Context,
    shipped: &Shipped,
    options: &ShipOptions,
) -> Result<Shipment, Failure> {
    let own = &options.lambda;
    let default = match shipped.application.port {
        None => Access::None,
        Some(_) => Access::Iam,
    };
    let wanted = Options {
        access: own.url.map_or(default, |choice| match choice {
            AccessChoice::None => Access::None,
            AccessChoice::Iam => Access::Iam,
            AccessChoice::Open => Access::Open,
        }),
        timeout_seconds: own.timeout,
        streams: own.stream,
        is_snap_start: own.snap_start,
    };
    let code = code(context, shipped, options)?;
    Ok(lambda::ship(&shipped.application, &code, &wanted)?)
}

/// An image that Lambda can run, and what is in it.
struct Candidate<'a> {
    architecture: Architecture,
    image: &'a Image,
    program: Vec<u8>,
    /// Files besides the program.
    others: Vec<String>,
}

fn code(context: &Context, shipped: &Shipped, options: &ShipOptions) -> Result<Code, Failure> {
    let mut candidates = Vec::new();
    let mut refused = None;
    for image in &shipped.images {
        match Architecture::of(&image.platform) {
            Ok(architecture) => candidates.push(candidate(context, shipped, image, architecture)?),
            Err(error) => refused = Some(error),
        }
    }
    candidates.sort_by_key(|candidate| candidate.architecture);
    let Some(first) = candidates.first() else {
        let none = || LambdaError::Architecture("nothing".to_owned());
        return Err(refused.unwrap_or_else(none).into());
    };
    let has_more = !first.others.is_empty();
    let package = options.lambda.package.unwrap_or(match has_more {
        true => PackageChoice::Image,
        false => PackageChoice::Zip,
    });
    if package == PackageChoice::Image {
        return image(context, shipped, first, options);
    }
    let application = &shipped.application;
    let zips = candidates.iter().map(|candidate| {
        let Candidate {
            architecture,
            program,
            others,
            ..
        } = candidate;
        Zipped::new(application, *architecture, program, others)
    });
    Ok(Code::Zip(zips.collect::<Result<_, _>>()?))
}

fn candidate<'a>(
    context: &Context,
    shipped: &Shipped,
    image: &'a Image,
    architecture: Architecture,
) -> Result<Candidate<'a>, Failure> {
    let held = unpack::hold(&context.unpacked()?, image)?;
    let word = shipped.application.command.first();
    let word = word.map(|word| word.trim_start_matches('/'));
    let found = word.and_then(|inside| program(&held.root, Path::new(inside)));
    let (Some(program), Some(inside)) = (found, word) else {
        let why = "the image's program cannot be read";
        return Err(Failure::new(Kind::Input, why).hint("build it with an entrypoint"));
    };
    let mut others = Vec::new();
    files(&held.root, &held.root, &mut others).map_err(|error| Failure::new(Kind::Host, error))?;
    others.retain(|other| other != inside);
    Ok(Candidate {
        architecture,
        image,
        program,
        others,
    })
}

/// All that is no folder below one, by its path, sorted.
fn files(root: &Path, folder: &Path, found: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if fs::symlink_metadata(&path)?.is_dir() {
            files(root, &path, found)?;
        } else if let Ok(inside) = path.strip_prefix(root) {
            found.push(inside.display().to_string());
        }
    }
    found.sort();
    Ok(())
}

/// The image for Lambda, in the store and where it is to be pulled from.
fn image(
    context: &Context,
    shipped: &Shipped,
    candidate: &Candidate<'_>,
    options: &ShipOptions,
) -> Result<Code, Failure> {
    let Some(remote) = &options.source.registry else {
        let why = "Lambda pulls images from the account's own ECR, and it is not said where";
        return Err(Failure::new(Kind::Usage, why)
            .hint("--registry ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME, with --push to push it"));
    };
    let is_adapted = !lambda::is_function(&candidate.program);
    let store = context.store()?;
    let mut writer = store.write()?;
    let descriptor = lambda::write(
        candidate.image,
        &shipped.application,
        is_adapted,
        options.lambda.snap_start,
        &mut writer,
    )?;
    let name = lambda::reported(&shipped.application.name);
    let reference: Reference = name
        .parse()
        .map_err(|error| Failure::new(Kind::Input, error))?;
    writer.commit(&reference, &descriptor)?;
    let digest = ounce_oci::model::digest_of(&descriptor)
        .map_err(|error| Failure::new(Kind::Input, error))?;
    context.output.note(&format!(
        "note: the image for Lambda is {name} in the store"
    ));
    if options.source.push {
        let registry = context.registry(&options.network);
        let source = push::open(context, &registry, &Place::Store(reference))?;
        push::send(context, &registry, &source, remote)?;
    }
    Ok(Code::Image {
        uri: format!("{}@{digest}", remote.name()),
        architecture: candidate.architecture,
        is_adapted,
    })
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    function: String,
    /// `created`, or `updated`.
    done: &'static str,
    arn: String,
}

/// Makes the function, or brings it to this state.
pub(super) fn apply(
    context: &Context,
    shipped: &Shipped,
    shipment: &Shipment,
    options: &ShipOptions,
) -> Result<ExitCode, Failure> {
    let name = &shipped.application.name;
    let aws = Aws {
        region: options.region.clone(),
    };
    let there = aws.ask(&["get-function", "--function-name", name])?;
    let exists = match there {
        Ok(_) => true,
        Err(text) if text.contains("ResourceNotFoundException") => false,
        Err(text) => return Err(said("looking for the function", &text)),
    };
    let question = match exists {
        true => format!("replace the code of the function {name} in {}?", aws.region),
        false => format!("make the function {name} in {}?", aws.region),
    };
    asking::permission(options.yes, &question)?;
    let folder = Folder::new()?;
    for file in &shipment.files {
        let path = folder.0.join(&file.path);
        fs::write(&path, &file.contents).map_err(|error| Failure::new(Kind::Host, error))?;
    }
    let template = shipment
        .files
        .iter()
        .find(|file| file.path.ends_with(".zip"));
    let code: Vec<String> = match template {
        Some(zip) => vec![
            "--zip-file".to_owned(),
            format!("fileb://{}", folder.0.join(&zip.path).display()),
        ],
        None => image_uri(shipment, exists),
    };
    let architecture = match template {
        Some(zip) if zip.path.contains("x86_64") => "x86_64",
        Some(_) => "arm64",
        None => architecture_of(shipment),
    };
    let configuration = format!("file://{}", folder.0.join("function.json").display());
    let arn = if exists {
        let mut words = vec!["update-function-code", "--function-name", name];
        words.extend(code.iter().map(String::as_str));
        words.extend(["--architectures", architecture]);
        aws.must("sending the code", &words)?;
        // Lambda refuses a second change while the first goes on.
        let half = |failure: Failure| {
            failure.hint("the function has its new code, and its old settings: do it again")
        };
        let wait = ["wait", "function-updated", "--function-name", name];
        aws.must("waiting for the code", &wait).map_err(half)?;
        let words = [
            "update-function-configuration",
            "--cli-input-json",
            &configuration,
        ];
        aws.must("changing the settings", &words).map_err(half)?
    } else {
        let Some(role) = &options.lambda.role else {
            let why = format!("there is no function {name} yet, and a new one needs a role");
            return Err(Failure::new(Kind::Usage, why)
                .hint("--role ARN of a role that lambda.amazonaws.com may assume")
                .hint("the templates make one: -o DIR, then sam deploy or terraform apply"));
        };
        let mut words = vec!["create-function", "--cli-input-json", &configuration];
        words.extend(["--role", role, "--architectures", architecture]);
        if template.is_none() {
            words.extend(["--package-type", "Image"]);
        }
        words.extend(code.iter().map(String::as_str));
        aws.must("making the function", &words)?
    };
    let done = if exists { "updated" } else { "created" };
    if context.output.json {
        context.output.document(&Document {
            schema: "ounce.ship-lambda/1",
            function: name.clone(),
            done,
            arn,
        })?;
    } else {
        context.output.text(&format!("{done} {arn}\n"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What the template says of the image.
fn image_uri(shipment: &Shipment, exists: bool) -> Vec<String> {
    let uri = value(shipment, "ImageUri: ");
    match exists {
        true => vec!["--image-uri".to_owned(), uri],
        false => vec!["--code".to_owned(), format!("ImageUri={uri}")],
    }
}

fn architecture_of(shipment: &Shipment) -> &'static str {
    let template = shipment
        .file("template.yaml")
        .and_then(|file| file.as_text());
    match template.is_some_and(|text| text.contains("x86_64")) {
        true => "x86_64",
        false => "arm64",
    }
}

fn value(shipment: &Shipment, name: &str) -> String {
    let template = shipment
        .file("template.yaml")
        .and_then(|file| file.as_text());
    let mut lines = template.unwrap_or_default().lines();
    let line = lines.find_map(|line| line.trim().strip_prefix(name));
    line.unwrap_or_default().trim_matches('"').to_owned()
}

/// The AWS CLI.
struct Aws {
    region: String,
}

impl Aws {
    /// What it says on stdout, or else on stderr.
    fn ask(&self, words: &[&str]) -> Result<Result<String, String>, Failure> {
        let mut command = Command::new("aws");
        command
            .args(["lambda", "--region", &self.region, "--output", "json"])
            .args(words)
            .stdin(Stdio::null());
        let output = command.output().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Failure::new(Kind::Host, "the AWS CLI, aws, is not installed")
                    .hint("docs.aws.amazon.com/cli says how")
                    .hint("-o DIR writes what other tools take: sam deploy, terraform apply")
            }
            _ => Failure::new(Kind::Host, format!("starting aws: {error}")),
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        Ok(match output.status.success() {
            true => Ok(text(&output.stdout)),
            false => Err(text(&output.stderr)),
        })
    }

    /// As [`Self::ask`], where anything but success is the end; the function's ARN, if
    /// it is told.
    fn must(&self, doing: &str, words: &[&str]) -> Result<String, Failure> {
        let text = self.ask(words)?.map_err(|text| said(doing, &text))?;
        let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        Ok(document["FunctionArn"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }
}

/// What AWS said against it.
fn said(doing: &str, text: &str) -> Failure {
    let line = text.lines().rfind(|line| !line.trim().is_empty());
    let failure = Failure::new(
        Kind::Network,
        format!("{doing}: {}", line.unwrap_or("aws failed")),
    );
    match text {
        text if text.contains("credentials") || text.contains("Token") => {
            failure.hint("aws sts get-caller-identity tells who you are")
        }
        _ => failure,
    }
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self, Failure> {
        let name = format!("ounce-lambda-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).map_err(|error| Failure::new(Kind::Host, error))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
