//! What `ounce ship` writes, before those who judge such files: Kubernetes' own
//! schemas, AWS's linter and a model of ECS, systemd, and a reader of compose files.
//!
//! Those of Python come by pip into a scratch folder and are gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::{Bench, Case, NAME};
use crate::tool::{command, read};

/// Versions of the schemas: the oldest whose kubelet can pause without a shell, and
/// the newest there is.
const KUBERNETES: [&str; 2] = ["1.30", "1.36"];
/// systemd's own measure of exposure, in tenths: the bar for a unit.
const MOST_EXPOSED: u32 = 15;

const ECS: &str = "\
import json, sys, boto3
from moto import mock_aws
with mock_aws():
    client = boto3.client('ecs', region_name='us-east-1', aws_access_key_id='x', aws_secret_access_key='y')
    wanted = json.load(open(sys.argv[1]))
    client.register_task_definition(**wanted)
    there = client.describe_task_definition(taskDefinition=wanted['family'])['taskDefinition']
    for name, value in wanted['containerDefinitions'][0].items():
        assert there['containerDefinitions'][0][name] == value, name
    assert there['networkMode'] == 'awsvpc', there
";

/// Renders a chart's templates as Helm does, by the templates of Go's own library.
const CHART: &str = "\
package main

import (
	\"encoding/json\"
	\"fmt\"
	\"os\"
	\"path/filepath\"
	\"text/template\"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	var values map[string]interface{}
	check(json.Unmarshal([]byte(os.Args[1]), &values))
	quote := func(value interface{}) string { return fmt.Sprintf(\"%q\", fmt.Sprint(value)) }
	files, err := filepath.Glob(filepath.Join(os.Args[2], \"*.yaml\"))
	check(err)
	for _, file := range files {
		name := filepath.Base(file)
		made := template.New(name).Funcs(template.FuncMap{\"quote\": quote}).Option(\"missingkey=error\")
		made, err := made.ParseFiles(file)
		check(err)
		out, err := os.Create(filepath.Join(os.Args[3], name))
		check(err)
		check(made.Execute(out, values))
		check(out.Close())
	}
}
";

pub(super) fn judge(case: &Case<'_>, bench: &mut Bench<'_>) {
    let mut tools = None;
    bench.check(
        "the judges of what is shipped install by pip",
        &["python3", "pip3"],
        || {
            tools = Some(install(case)?);
            Ok(())
        },
    );
    let Some(tools) = tools else { return };
    for (name, more) in [("a service", SERVICE), ("a worker with secrets", WORKER)] {
        bench.check(
            &format!("kubernetes-validate finds no fault with the manifests of {name}"),
            &[],
            || manifests(case, &tools, name, more),
        );
    }
    bench.check(
        "kubernetes-validate finds a fault where there is one",
        &[],
        || misspelled(case, &tools),
    );
    bench.check(
        "Go's templates make valid manifests of the chart, with the values of another",
        &["go"],
        || chart(case, &tools),
    );
    bench.check(
        "cfn-lint finds no fault with the template for ECS",
        &[],
        || {
            let folder = ship(case, "ecs", "ecs", ECS_WORDS)?;
            read(tools.command("cfn-lint").arg(folder.join("template.yaml")))?;
            Ok(())
        },
    );
    bench.check(
        "ECS, as moto has it, registers the task definition and gives it back",
        &[],
        || {
            let folder = ship(case, "ecs", "task", ECS_WORDS)?;
            let file = folder.join("task-definition.json");
            read(tools.python().args(["-c", ECS]).arg(file))?;
            Ok(())
        },
    );
    bench.check("podman-compose reads the compose file", &[], || {
        let folder = ship(case, "compose", "compose", &["--secret", "TOKEN=queue"])?;
        let mut compose = tools.command("podman-compose");
        compose.arg("-f").arg(folder.join("compose.yaml"));
        let text = read(compose.arg("config").env("TOKEN", "x"))?;
        ensure!(text.contains("read_only: true"), "{text}");
        Ok(())
    });
    bench.check(
        "systemd finds the unit safe, and nothing wrong with it",
        &["systemd-analyze"],
        || unit(case),
    );
}

const SERVICE: &[&str] = &[
    "--host",
    "shop.example",
    "--tls-secret",
    "shop",
    "--scratch",
    "/tmp",
];
const WORKER: &[&str] = &[
    "--no-port",
    "--secret",
    "TOKEN=queue/token",
    "--egress",
    "10.0.0.0/8:5672",
    "--runtime-class",
    "ounce",
];
const ECS_WORDS: &[&str] = &[
    "--secret",
    "TOKEN=arn:aws:secretsmanager:eu-west-1:123456789012:secret:queue-Ab12cd",
    "--scratch",
    "/tmp",
    "--region",
    "eu-west-1",
];

/// Ships the judged image to a platform, into a folder of its own.
fn ship(case: &Case<'_>, platform: &str, folder: &str, more: &[&str]) -> Result<PathBuf> {
    let out = case.path(&format!("shipped-{}", folder.replace(' ', "-")));
    let words = [
        &["--quiet", "ship", NAME, "--to", platform, "-o", &out][..],
        &[
            "--registry",
            "registry.example/judged/hello:1",
            "--unchecked",
        ],
        &["--env", "MOTTO=100 % \"good\" $HOME"],
        // Told where the image says none.
        if more.contains(&"--no-port") {
            &[]
        } else {
            &["--port", "8080"]
        },
        more,
    ];
    read(&mut case.ounce(&words.concat()))?;
    Ok(PathBuf::from(out))
}

/// The files of a folder that are of a kind, sorted.
fn files(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|own| own == end) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn chart(case: &Case<'_>, tools: &Tools) -> Result<()> {
    let folder = ship(case, "kubernetes", "chart", SERVICE)?;
    let source = case.scratch.join("chart.go");
    fs::write(&source, CHART)?;
    let rendered = folder.join("rendered");
    fs::create_dir_all(&rendered)?;
    let told = "import json, sys, yaml\n\
                values = yaml.safe_load(open(sys.argv[1]))\n\
                values['replicas']['most'] = 9\n\
                print(json.dumps({'Values': values, 'Chart': {'AppVersion': '2'},\n    \
                'Release': {'Name': 'shop-two', 'Service': 'Helm'}}))\n";
    let mut python = tools.python();
    let values = read(
        python
            .args(["-c", told])
            .arg(folder.join("chart/values.yaml")),
    )?;
    let mut go = command(&["go", "run"]);
    go.arg(&source).arg(values.trim());
    go.arg(folder.join("chart/templates")).arg(&rendered);
    read(
        go.env("GO111MODULE", "off")
            .env("GOCACHE", case.scratch.join("go")),
    )?;
    let all = files(&rendered, "yaml")?;
    ensure!(all.len() >= 6, "only {all:?}");
    let mut judge = tools.command("kubernetes-validate");
    judge.args(["--strict", "--kubernetes-version", KUBERNETES[0]]);
    read(judge.args(&all))?;
    let scaler = fs::read_to_string(rendered.join("horizontalpodautoscaler.yaml"))?;
    ensure!(
        scaler.contains("maxReplicas: 9") && scaler.contains("name: \"shop-two\""),
        "{scaler}"
    );
    Ok(())
}

fn manifests(case: &Case<'_>, tools: &Tools, name: &str, more: &[&str]) -> Result<()> {
    let folder = ship(case, "kubernetes", name, more)?;
    let all = files(&folder, "yaml")?;
    // The schemas are the API's, which has no kustomization.
    let all: Vec<_> = all
        .iter()
        .filter(|path| !path.ends_with("kustomization.yaml"))
        .collect();
    ensure!(all.len() >= 6, "only {all:?}");
    for version in KUBERNETES {
        let mut judge = tools.command("kubernetes-validate");
        judge.args(["--strict", "--kubernetes-version", version]);
        let output = judge.args(&all).output()?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success() && !said.contains("WARN") && !said.contains("ERROR"),
            "{version}: {said}"
        );
    }
    Ok(())
}

fn misspelled(case: &Case<'_>, tools: &Tools) -> Result<()> {
    let folder = ship(case, "kubernetes", "misspelled", &[])?;
    let file = folder.join("deployment.yaml");
    let text = fs::read_to_string(&file)?;
    let wrong = text.replace("readOnlyRootFilesystem", "readonlyRootFilesystem");
    ensure!(wrong != text, "there is nothing to misspell in {text}");
    fs::write(&file, wrong)?;
    let mut judge = tools.command("kubernetes-validate");
    judge.args(["--strict", "--kubernetes-version", KUBERNETES[0]]);
    let output = judge.arg(&file).output()?;
    ensure!(!output.status.success(), "it was not seen");
    Ok(())
}

fn unit(case: &Case<'_>) -> Result<()> {
    let folder = ship(case, "systemd", "unit", &["--scratch", "/tmp/x"])?;
    for path in files(&folder, "service")? {
        let mut judge = command(&["systemd-analyze", "security", "--offline=true"]);
        judge.arg(format!("--threshold={MOST_EXPOSED}")).arg(&path);
        read(&mut judge)?;
        let mut judge = command(&["systemd-analyze", "verify", "--man=no"]);
        let output = judge.arg(&path).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // The program is in the unit's root, which is not here.
        let wrong: Vec<&str> = said
            .lines()
            .filter(|line| line.contains(".service") && !line.contains("is not executable"))
            .collect();
        ensure!(wrong.is_empty(), "{}", wrong.join(" | "));
    }
    Ok(())
}

/// Tools of Python, in a folder of their own.
struct Tools {
    folder: PathBuf,
}

impl Tools {
    fn python(&self) -> Command {
        let mut python = command(&["python3"]);
        python.env("PYTHONPATH", &self.folder);
        python
    }

    fn command(&self, program: &str) -> Command {
        let mut python = self.python();
        python.arg(self.folder.join("bin").join(program));
        python
    }
}

fn install(case: &Case<'_>) -> Result<Tools> {
    let folder = case.scratch.join("ship-tools");
    let quiet = ["install", "--quiet", "--disable-pip-version-check"];
    read(
        command(&["python3", "-m", "pip"])
            .args(quiet)
            .args(["--root-user-action=ignore", "--target"])
            .arg(&folder)
            .args(["kubernetes-validate", "cfn-lint", "moto", "podman-compose"]),
    )
    .context("installing by pip")?;
    Ok(Tools { folder })
}
