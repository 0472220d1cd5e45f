//! Lambda: the functions and the adapter under AWS's own emulator and cargo-lambda's,
//! which differ; what `ounce ship --to lambda` writes before AWS's linter, Python's
//! reader of zips and moto's Lambda, through the AWS CLI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Case};
use crate::dist::HOST_TARGET;
use crate::house::House;
use crate::peers::answer::free_port;
use crate::peers::lambda::{Emulators, Running};
use crate::peers::started::Started;
use crate::tidy;
use crate::tool::{command, read};

/// A request through a function's own address, for this path.
fn request(path: &str) -> String {
    format!(
        r#"{{"version":"2.0","rawPath":"{path}","rawQueryString":"","headers":{{"host":"h"}},
        "requestContext":{{"http":{{"method":"GET"}}}},"isBase64Encoded":false}}"#
    )
}

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let mut there = None;
    bench.check(
        "the judges of Lambda install by pip",
        &["python3", "pip3"],
        || {
            there = Some(There::new(case)?);
            Ok(())
        },
    );
    let Some(there) = there else { return };
    for (name, start) in [
        ("AWS's emulator", Start::Aws),
        ("cargo-lambda's emulator", Start::Cargo),
    ] {
        bench.check(
            &format!("{name} gets answers and errors of a function"),
            &[],
            || function(&there.start(start, &[&there.function])?),
        );
        bench.check(
            &format!("{name} gets answers of a server by the adapter"),
            &[],
            || server(&there.start(start, &[&there.adapter, &there.server])?),
        );
    }
    bench.check("AWS's emulator sees a program that ends", &[], || {
        let running = there.start(Start::Aws, &[Path::new("/bin/false")])?;
        // It answers nothing at all, and says so in its log.
        let _ = running.invoke("{}");
        let text = running.log()?;
        ensure!(text.contains("exit status 1"), "{text}");
        Ok(())
    });
    bench.check("AWS's emulator is told why a start fails", &[], || {
        let nothing = Path::new("/nothing/here");
        let running = there.start(Start::Aws, &[&there.adapter, nothing])?;
        let text = running.invoke("{}")?;
        ensure!(text.contains("Adapter.NotStarted"), "{text}");
        Ok(())
    });
    shipped(case, &there, bench);
}

#[derive(Clone, Copy)]
enum Start {
    Aws,
    Cargo,
}

/// Programs, and who judges them.
struct There {
    emulators: Emulators,
    tools: PathBuf,
    function: PathBuf,
    adapter: PathBuf,
    server: PathBuf,
}

impl There {
    fn new(case: &Case<'_>) -> Result<Self> {
        let tools = case.scratch.join("lambda-tools");
        let quiet = ["install", "--quiet", "--disable-pip-version-check"];
        read(
            command(&["python3", "-m", "pip"])
                .args(quiet)
                .args(["--root-user-action=ignore", "--target"])
                .arg(&tools)
                .args(["cfn-lint", "moto[server,awslambda]", "awscli"]),
        )
        .context("installing by pip")?;
        let program = |folder: &str| build(case.house, folder);
        Ok(Self {
            emulators: Emulators::install(case.scratch.join("emulators"))?,
            tools,
            function: program("examples/lambda-hello")?,
            adapter: program("apps/bootstrap")?,
            server: program("examples/hello")?,
        })
    }

    fn start(&self, start: Start, program: &[&Path]) -> Result<Running> {
        // Where a server is to listen.
        let port = free_port()?.to_string();
        let variables = [("PORT", &*port), ("AWS_LAMBDA_FUNCTION_TIMEOUT", "20")];
        match start {
            Start::Aws => self.emulators.aws(program, &variables),
            Start::Cargo => self.emulators.cargo(program, &variables),
        }
    }

    /// A program of Python's.
    fn python(&self, words: &[&str]) -> Command {
        let mut python = command(&["python3"]);
        python.env("PYTHONPATH", &self.tools).args(words);
        python
    }

    fn bin(&self, program: &str) -> String {
        self.tools.join("bin").join(program).display().to_string()
    }
}

fn build(house: &House, folder: &str) -> Result<PathBuf> {
    tidy::build_own_program(&house.path(folder), HOST_TARGET)
}

/// What `examples/lambda-hello` answers.
fn function(running: &Running) -> Result<()> {
    for (event, answer) in [
        ("{}", "{\"hello\":\"world\"}"),
        ("{\"name\":\"you\"}", "{\"hello\":\"you\"}"),
    ] {
        let text = running.invoke(event)?;
        ensure!(text == answer, "{event} is answered by {text}");
    }
    let text = running.invoke("[]")?;
    ensure!(text.contains("Function.BadEvent"), "{text}");
    let name = "a".repeat(5 << 20);
    let text = running.invoke(&format!("{{\"name\":\"{name}\"}}"))?;
    ensure!(
        text.len() == name.len() + 12,
        "5 MB come back as {} bytes",
        text.len()
    );
    Ok(())
}

/// What `examples/hello`, which knows nothing of Lambda, answers.
fn server(running: &Running) -> Result<()> {
    let text = running.invoke(&request("/hello/you"))?;
    ensure!(
        text.contains("\"statusCode\":200") && text.contains(r#"{\"hello\":\"you\"}"#),
        "{text}"
    );
    let text = running.invoke(&request("/nothing"))?;
    ensure!(text.contains("\"statusCode\":404"), "{text}");
    // It has no /events.
    let text = running.invoke("{\"Records\":[]}")?;
    ensure!(text.contains("Function.ServerStatus"), "{text}");
    Ok(())
}

fn shipped(case: &Case<'_>, there: &There, bench: &mut Bench<'_>) {
    for (name, program, words) in [
        ("a function", &there.function, &["--no-port"][..]),
        (
            "a server",
            &there.server,
            &["--port", "8080", "--url", "open"],
        ),
        (
            "an image",
            &there.server,
            &["--port", "8080", "--package", "image", "--snap-start"],
        ),
    ] {
        bench.check(
            &format!("cfn-lint finds no fault with the template of {name}"),
            &[],
            || {
                let folder = ship(case, name, program, words)?;
                let template = folder.join("template.yaml").display().to_string();
                read(&mut there.python(&[&there.bin("cfn-lint"), &template]))?;
                Ok(())
            },
        );
    }
    bench.check(
        "Python unpacks the zip, and AWS's emulator runs it as Lambda does",
        &[],
        || {
            let folder = ship(case, "unzipped", &there.server, &["--port", "8080"])?;
            let zip = folder.join(format!(
                "function-{}.zip",
                std::env::consts::ARCH.replace("aarch64", "arm64")
            ));
            let task = case.path("task");
            read(&mut there.python(&["-m", "zipfile", "-e", &zip.display().to_string(), &task]))?;
            // Python's reader leaves the modes, which Lambda does not.
            for name in ["bootstrap", "server"] {
                read(command(&["chmod", "0755"]).arg(Path::new(&task).join(name)))?;
            }
            let script = case.scratch.join("start.sh");
            fs::write(
                &script,
                format!("#!/bin/sh\ncd {task} && exec ./bootstrap\n"),
            )?;
            read(command(&["chmod", "0755"]).arg(&script))?;
            let port = free_port()?.to_string();
            let running = there.emulators.aws(&[&script], &[("PORT", &port)])?;
            let text = running.invoke(&request("/hello/you"))?;
            ensure!(text.contains("\"statusCode\":200"), "{text}");
            Ok(())
        },
    );
    bench.check(
        "Lambda, as moto has it, takes the function and its next state",
        &[],
        || applied(case, there),
    );
}

/// Ships a program, into a folder of its own.
fn ship(case: &Case<'_>, name: &str, program: &Path, words: &[&str]) -> Result<PathBuf> {
    let image = image(case, name, program)?;
    let out = case.path(&format!("lambda-{}", name.replace(' ', "-")));
    let registry = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/judged";
    let own = ["--quiet", "ship", &image, "--to", "lambda", "-o", &out];
    let more = [
        "--env",
        "MOTTO=100 % \"good\" $HOME",
        "--registry",
        registry,
    ];
    read(case.ounce(&own).args(more).args(words))?;
    Ok(PathBuf::from(out))
}

fn image(case: &Case<'_>, name: &str, program: &Path) -> Result<String> {
    let image = format!("lambda-{}", name.replace(' ', "-"));
    let program = program.display().to_string();
    read(&mut case.ounce(&["build", &program, "-t", &image, "--measure", "no"]))?;
    Ok(image)
}

/// What makes the role that a function has, where moto looks for it.
const ROLE: &str = "\
import boto3, sys
iam = boto3.client('iam', region_name='us-east-1', endpoint_url=sys.argv[1])
print(iam.create_role(RoleName='judged', AssumeRolePolicyDocument='{}')['Role']['Arn'])
";

/// What moto has of the function.
const SEEN: &str = "\
import boto3, sys
client = boto3.client('lambda', region_name='us-east-1', endpoint_url=sys.argv[1])
found = client.get_function_configuration(FunctionName='lambda-applied')
print(found['Runtime'], found['Handler'], found['Timeout'], found['Architectures'], found['CodeSha256'])
";

fn applied(case: &Case<'_>, there: &There) -> Result<()> {
    let port = free_port()?;
    let port = port.to_string();
    let url = format!("http://127.0.0.1:{port}");
    let mut moto = there.python(&["-m", "moto.server", "-H", "127.0.0.1", "-p", &port]);
    let _running = Started::new(moto.stdout(Stdio::null()).stderr(Stdio::null()))?;
    crate::peers::answer::first_answer(port.parse()?, std::time::Duration::from_secs(60))?;
    let keys = |command: &mut Command| {
        command
            .env("AWS_ACCESS_KEY_ID", "judged")
            .env("AWS_SECRET_ACCESS_KEY", "judged")
            .env("AWS_ENDPOINT_URL", &url)
            .env("PYTHONPATH", &there.tools);
    };
    let mut role = there.python(&["-c", ROLE, &url]);
    keys(&mut role);
    let role = read(&mut role)?;
    let image = image(case, "applied", &there.function)?;
    let path = format!("{}:{}", there.bin(""), std::env::var("PATH")?);
    let mut shas = Vec::new();
    for (words, word, seen) in [
        (&["--role", role.trim()][..], "created", " 30 "),
        (&["--timeout", "7"], "updated", " 7 "),
    ] {
        let own = [
            "--quiet", "ship", &image, "--to", "lambda", "--apply", "--yes",
        ];
        let mut apply = case.ounce(&own);
        apply.args(words).env("PATH", &path);
        keys(&mut apply);
        let text = read(&mut apply)?;
        ensure!(text.starts_with(word), "{text}");
        let mut look = there.python(&["-c", SEEN, &url]);
        keys(&mut look);
        let text = read(&mut look)?;
        ensure!(
            text.starts_with("provided.al2023 bootstrap") && text.contains(seen),
            "moto has {text}"
        );
        shas.push(text.rsplit(' ').next().unwrap_or_default().to_owned());
    }
    ensure!(shas[0] == shas[1], "the same code is another: {shas:?}");
    Ok(())
}
