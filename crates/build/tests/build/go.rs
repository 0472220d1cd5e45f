//! Go projects, from the folder to the image.

use std::path::Path;

use ounce_build::{BuildError, CompileError, Found, Language, PlanError, ToolError, execute};
use ounce_oci::Store;

use crate::{build, has, recipe, request, write};

fn module(folder: &Path, name: &str) {
    let text = format!("module example.com/{name}\n\ngo 1.19\n");
    write(&folder.join("go.mod"), &text);
}

const HELLO: &str = "package main\n\nfunc main() { println(\"hello\") }\n";

#[test]
fn a_go_program_is_static_smaller_by_its_flags_and_the_same_in_two_folders() {
    if !has("go") {
        return;
    }
    let digest = || {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a project");
        module(&root, "hello/v2");
        write(&root.join("main.go"), HELLO);
        let (_store, built) = build(&request(&root));
        assert_eq!(built.reference.to_string(), "hello:latest");
        let image = &built.images[0];
        let [saved] = &image.saved[..] else {
            panic!("{:?}", image.saved)
        };
        assert_eq!(saved.flag, "-ldflags=-s -w -buildid=");
        assert_eq!(saved.after_bytes, image.program_bytes);
        assert!(saved.before_bytes > saved.after_bytes * 5 / 4, "{saved:?}");
        built.descriptor.digest().to_string()
    };
    assert_eq!(digest(), digest());
}

#[test]
fn of_several_go_programs_one_is_chosen_by_name_folder_or_import_path() {
    if !has("go") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    module(folder.path(), "many");
    write(&folder.path().join("lib.go"), "package many\n");
    assert!(matches!(
        recipe(folder.path()),
        Err(PlanError::Tool(ToolError::NoPrograms { .. }))
    ));
    for name in ["one", "two"] {
        let path = folder.path().join("cmd").join(name).join("main.go");
        write(&path, HELLO);
    }
    let error = recipe(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 programs here, and an image holds one: example.com/many/cmd/one, example.com/many/cmd/two"
    );
    for asked in ["two", "./cmd/two", "example.com/many/cmd/two"] {
        let mut request = request(folder.path());
        request.settings.rust.bin = Some(asked.to_owned());
        let recipe = ounce_build::plan(&request).unwrap();
        assert_eq!(recipe.found, Found::Project(Language::Go));
        assert_eq!(recipe.image.entrypoint, "/two", "{asked}");
    }
    let mut request = request(folder.path());
    request.settings.rust.bin = Some("three".to_owned());
    let error = ounce_build::plan(&request).unwrap_err().to_string();
    assert!(error.starts_with("no program \"three\" here"), "{error}");
    request.settings.rust.bin = None;
    request.settings.rust.features = vec!["x".to_owned()];
    let error = ounce_build::plan(&request).unwrap_err().to_string();
    assert_eq!(error, "--features cannot be asked of a Go project");
}

#[test]
fn gos_own_complaint_passes_through_and_leaves_no_image() {
    if !has("go") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    module(folder.path(), "broken");
    write(
        &folder.path().join("main.go"),
        "package main\n\nfunc main() { x }\n",
    );
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(home.path()).unwrap();
    let error = execute(&recipe(folder.path()).unwrap(), &store, &mut |_| {}).unwrap_err();
    let BuildError::Compile(CompileError::Failed(refusal)) = error else {
        panic!("{error}")
    };
    let said = refusal.last_lines.join("\n");
    assert!(
        said.contains("main.go:3:15") && said.contains("undefined: x"),
        "{said}"
    );
    assert!(store.names().unwrap().is_empty());
}

#[test]
fn each_platform_gets_its_own_go_program() {
    if !has("go") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    module(folder.path(), "everywhere");
    write(&folder.path().join("main.go"), HELLO);
    let mut request = request(folder.path());
    request.settings.measure = Some(ounce_build::Measure::No);
    request.settings.platforms = ["linux/arm64", "linux/arm/v6"]
        .map(|p| p.parse().unwrap())
        .into();
    let (_store, built) = build(&request);
    let platforms: Vec<String> = built
        .images
        .iter()
        .map(|i| i.platform.to_string())
        .collect();
    assert_eq!(platforms, ["linux/arm64", "linux/arm/v6"]);
    request.settings.platforms = vec!["linux/sparc".parse().unwrap()];
    let error = ounce_build::plan(&request).unwrap_err().to_string();
    assert_eq!(error, "Go has no target for linux/sparc");
}

#[test]
fn a_language_whose_tool_is_missing_says_what_to_install() {
    let folder = tempfile::tempdir().unwrap();
    module(folder.path(), "alone");
    write(&folder.path().join("main.go"), HELLO);
    let mut request = request(folder.path());
    request.toolchain = ounce_build::Toolchain::new([
        ("PATH".into(), "/nowhere".into()),
        ("HOME".into(), "/nowhere".into()),
    ]);
    let error = ounce_build::plan(&request).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this is a Go project, and go is not installed"
    );
    assert!(error.hints()[0].contains("go.dev"));
}
