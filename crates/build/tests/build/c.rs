//! C and C++ projects, and Zig's: from the folder or the file to the image.

use std::fs;
use std::path::Path;

use ounce_build::{BuildError, By, CompileError, Found, Language, Measure, execute, plan};
use ounce_oci::Store;

use crate::{build, has, recipe, request, write};

const HELLO: &str = "#include <stdio.h>\nint main(void) { puts(\"hello\"); return 0; }\n";

#[test]
fn one_c_file_becomes_a_program_of_six_kilobytes_whose_flags_are_told_and_measured() {
    if !has("musl-gcc") {
        return;
    }
    let digest = || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hello.c");
        write(
            &file,
            "#include <assert.h>\n#include <stdio.h>\nint main(int n, char **v) { assert(n); puts(__DATE__); return 0; }\n",
        );
        let (_store, built) = build(&request(&file));
        assert_eq!(built.reference.to_string(), "hello:latest");
        built.descriptor.digest().to_string()
    };
    // Neither the folder, which `assert` names, nor the day is in it.
    assert_eq!(digest(), digest());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hello.c");
    write(&file, HELLO);
    let (_store, built) = build(&request(&file));
    let image = &built.images[0];
    assert!(image.program_bytes <= 6_500, "{}", image.program_bytes);
    assert!(
        image
            .flags
            .iter()
            .all(|flag| flag.by == By::Ounce && !flag.why.is_empty())
    );
    let [saved] = &image.saved[..] else {
        panic!("{:?}", image.saved)
    };
    assert!(saved.before_bytes > 2 * saved.after_bytes, "{saved:?}");
}

#[test]
fn a_makefile_is_followed_in_a_copy_and_keeps_the_flags_it_sets_itself() {
    if !has("musl-gcc") || !has("make") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(
        &root.join("Makefile"),
        "CFLAGS = -O1 -DGREETING='\"hello\"'\nserver: main.o\n\t$(CC) $(LDFLAGS) -o $@ $^\n",
    );
    write(
        &root.join("main.c"),
        "#include <stdio.h>\nint main(void) { puts(GREETING); return 0; }\n",
    );
    // An object for who knows which machine is not linked.
    fs::write(root.join("main.o"), b"\x7fELFnonsense").unwrap();
    let (_store, built) = build(&request(root));
    assert!(built.images[0].program_bytes < 10_000);
    let mut names: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["Makefile", "main.c", "main.o"],
        "the project stays as it was"
    );

    write(
        &root.join("Makefile"),
        "all: one two\none two: main.c\n\t$(CC) -o $@ main.c\n",
    );
    write(&root.join("main.c"), HELLO);
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let error = execute(&recipe(root).unwrap(), &store, &mut |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 programs were made, and an image holds one: one, two"
    );
    assert!(store.names().unwrap().is_empty());
    let mut asked = request(root);
    asked.settings.rust.bin = Some("two".to_owned());
    let (_store, built) = build(&asked);
    assert_eq!(built.reference.to_string(), "two:latest");
}

#[test]
fn cmake_and_meson_tell_which_of_their_targets_is_the_program() {
    if !has("musl-gcc") {
        return;
    }
    if has("cmake") {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a folder");
        write(
            &root.join("CMakeLists.txt"),
            "cmake_minimum_required(VERSION 3.10)\nproject(demo C)\n\
             add_library(part STATIC part.c)\nadd_executable(server main.c)\n\
             target_link_libraries(server part)\n",
        );
        write(&root.join("part.c"), "int part(void) { return 0; }\n");
        write(
            &root.join("main.c"),
            "int part(void);\nint main(void) { return part(); }\n",
        );
        let (_store, built) = build(&request(&root));
        assert_eq!(built.reference.to_string(), "server:latest");
        assert!(built.images[0].program_bytes < 10_000);
    }
    if has("meson") {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        write(
            &root.join("meson.build"),
            "project('demo', 'c')\nexecutable('server', 'main.c')\n",
        );
        write(&root.join("main.c"), HELLO);
        let (_store, built) = build(&request(root));
        assert_eq!(built.reference.to_string(), "server:latest");
        assert!(built.images[0].program_bytes < 10_000);
    }
}

#[test]
fn the_c_compilers_own_complaint_passes_through() {
    if !has("musl-gcc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder.path().join("main.c"),
        "int main(void) { return nonsense; }\n",
    );
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let error = execute(&recipe(folder.path()).unwrap(), &store, &mut |_| {}).unwrap_err();
    let BuildError::Compile(CompileError::Failed(refusal)) = error else {
        panic!("{error}")
    };
    let said = refusal.last_lines.join("\n");
    assert!(
        said.contains("main.c:1:25") && said.contains("nonsense"),
        "{said}"
    );
}

#[test]
fn what_the_environment_chooses_for_c_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hello.c");
    write(&file, HELLO);
    let mut asked = request(&file);
    let environment = &mut asked.toolchain.environment;
    for (name, value) in [
        ("CC", "my-cc -m64"),
        ("CFLAGS", "-O3 -g"),
        ("LDFLAGS", "-Wl,-z,relro"),
    ] {
        environment.insert(name.into(), value.into());
    }
    let recipe = plan(&asked).unwrap();
    assert_eq!(recipe.found, Found::Project(Language::C));
    let ounce_build::ProgramSource::Tools(tools) = &recipe.programs[0].from else {
        panic!("{recipe:?}")
    };
    let project: Vec<String> = tools
        .flags
        .iter()
        .filter(|flag| flag.by == By::Project)
        .map(ounce_build::Flag::text)
        .collect();
    assert_eq!(project, ["-O3", "-g", "-Wl,-z,relro"]);
    let call = &tools.build.calls[0];
    assert_eq!(call.tool, Path::new("my-cc"));
    assert_eq!(call.arguments[..2], ["-m64", "-static"]);
    assert!(
        !call
            .arguments
            .iter()
            .any(|word| word == "-s" || word == "-Os")
    );
}

/// Whether there is a Zig, by itself or as a package of Python.
fn has_zig() -> bool {
    let asked = |program: &str, words: &[&str]| {
        let told = std::process::Command::new(program).args(words).output();
        told.is_ok_and(|told| told.status.success())
    };
    asked("zig", &["version"]) || asked("python3", &["-m", "ziglang", "version"]) || has("zig")
}

#[test]
fn a_zig_file_and_a_zig_project_become_static_programs() {
    if !has_zig() {
        return;
    }
    // Zig's own cache is the user's: a first compilation of its library takes a minute.
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let source = "const std = @import(\"std\");\npub fn main() void {\n    _ = std.os.linux.write(1, \"hello\\n\", 6);\n}\n";
    write(&root.join("hello.zig"), source);
    let mut asked = request(&root.join("hello.zig"));
    asked.settings.measure = Some(Measure::No);
    let (_store, built) = build(&asked);
    let image = &built.images[0];
    assert!(image.program_bytes <= 5_000, "{}", image.program_bytes);
    assert_eq!(built.reference.to_string(), "hello:latest");

    write(
        &root.join("build.zig"),
        "const std = @import(\"std\");\npub fn build(b: *std.Build) void {\n\
         \x20   const exe = b.addExecutable(.{ .name = \"greeter\", .root_module = b.createModule(.{\n\
         \x20       .root_source_file = b.path(\"hello.zig\"),\n\
         \x20       .target = b.standardTargetOptions(.{}),\n\
         \x20       .optimize = b.standardOptimizeOption(.{}),\n    }) });\n\
         \x20   b.installArtifact(exe);\n}\n",
    );
    let mut asked = request(root);
    asked.settings.platforms = ["linux/amd64", "linux/arm/v6"]
        .map(|p| p.parse().unwrap())
        .into();
    let (_store, built) = build(&asked);
    assert_eq!(built.reference.to_string(), "greeter:latest");
    assert!(
        built
            .images
            .iter()
            .all(|image| image.program_bytes <= 7_000)
    );
    assert!(!root.join(".zig-cache").exists() && !root.join("zig-out").exists());

    write(
        &root.join("hello.zig"),
        "pub fn main() void { nonsense(); }\n",
    );
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let error = execute(&recipe(root).unwrap(), &store, &mut |_| {}).unwrap_err();
    let BuildError::Compile(CompileError::Failed(refusal)) = error else {
        panic!("{error}")
    };
    let said = refusal.last_lines.join("\n");
    assert!(said.contains("undeclared identifier 'nonsense'"), "{said}");
}
