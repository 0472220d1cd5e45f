//! Rust projects, from the folder to the image.

use std::fs;
use std::path::Path;
use std::process::Command;

use ounce_build::{By, Event, Measure, ProgramSource, execute, plan};
use ounce_oci::Store;
use ounce_oci::layer::Compression;
use ounce_oci::lock::Lock;
use ounce_oci::model::digest_of;

use crate::{build, package, recipe, request, write};

#[test]
fn a_small_project_is_compiled_and_each_flag_measured_and_the_image_adds_little() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "hello", "[profile.release]\nlto = 'thin'\n");
    let (_store, built) = build(&request(folder.path()));
    let image = &built.images[0];
    let by_project: Vec<&str> = image
        .flags
        .iter()
        .filter(|flag| flag.by == By::Project)
        .map(|flag| flag.key.as_str())
        .collect();
    assert_eq!(by_project, ["lto"]);
    let measured: Vec<&str> = image
        .saved
        .iter()
        .map(|saved| saved.flag.as_str())
        .collect();
    assert_eq!(
        measured,
        [
            "strip=true",
            "panic=\"abort\"",
            "codegen-units=1",
            "opt-level=\"s\""
        ]
    );
    for pair in image.saved.windows(2) {
        assert_eq!(pair[0].after_bytes, pair[1].before_bytes);
    }
    assert_eq!(image.saved[3].after_bytes, image.program_bytes);
    assert!(image.saved[0].before_bytes > image.saved[0].after_bytes);

    let program = fs::read_dir(folder.path().join("target/ounce"))
        .unwrap()
        .map(|entry| entry.unwrap().path().join("release/hello"))
        .find(|path| path.exists())
        .unwrap();
    let output = Command::new(&program).output().unwrap();
    assert_eq!(output.stdout, b"hello\n");
    let program = fs::read(program).unwrap();
    assert_eq!(program.len() as u64, image.program_bytes);
    // The level that layers of this size are compressed at.
    let level = libdeflater::CompressionLvl::new(10).unwrap();
    let mut compressor = libdeflater::Compressor::new(level);
    let mut out = vec![0; compressor.gzip_compress_bound(program.len())];
    let alone = compressor.gzip_compress(&program, &mut out).unwrap() as u64;
    let added = image.pulled_bytes - alone;
    println!("the image adds {added} bytes to the compressed program");
    // The label of a program that takes sockets, and a port, come on top.
    assert!(added <= 730, "the image adds {added} bytes");

    let memory = fs::read_dir(folder.path().join("target/ounce"))
        .unwrap()
        .any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().starts_with("sizes-hello-")
        });
    assert!(memory, "what was measured is remembered");
}

#[test]
fn the_same_project_in_two_folders_gives_the_same_digest() {
    let digest = |age: u64, umask: &str| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("project");
        package(&root, "same", "");
        write(&root.join("extra.txt"), "extra");
        write(
            &root.join("ounce.toml"),
            "measure = 'no'\n[image]\ntmp = true\npasswd = true\nenv = { B = '1', A = '2' }\n\
             labels = { z = '1', a = '2', m = '3' }\nports = [80, 70]\n\
             [[file]]\nfrom = 'extra.txt'\nto = '/etc/extra'\nmode = '0644'\n",
        );
        Command::new("chmod")
            .args([umask])
            .arg(root.join("extra.txt"))
            .status()
            .unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(age);
        fs::File::open(root.join("extra.txt"))
            .unwrap()
            .set_modified(time)
            .unwrap();
        let (_store, built) = build(&request(&root));
        digest_of(&built.descriptor).unwrap()
    };
    assert_eq!(digest(1_000_000_000, "600"), digest(1_700_000_000, "644"));
}

/// Two dependencies whose panics name their source files: one by path, one
/// that lies in cargo's home as a registry's do.
fn with_dependencies(root: &Path, home: &Path, configuration: &str) {
    package(
        root,
        "paths",
        "[dependencies]\nnear = { path = 'near' }\nfar = '1.2.3'\n",
    );
    write(
        &root.join("src/main.rs"),
        "fn main() { let n = std::env::args().count(); println!(\"{} {}\", near::it(n), far::it(n)); }\n",
    );
    let vendor = home.join("vendor");
    for (folder, name) in [(root.join("near"), "near"), (vendor.join("far"), "far")] {
        package(&folder, name, "");
        fs::remove_file(folder.join("src/main.rs")).unwrap();
        write(
            &folder.join("src/lib.rs"),
            "#[inline(never)]\npub fn it(n: usize) -> usize { assert!(n < 9, \"too many: {n}\"); \
             std::hint::black_box([1, 2, 3])[n] }\n",
        );
    }
    write(
        &vendor.join("far/.cargo-checksum.json"),
        "{\"files\":{},\"package\":null}",
    );
    write(
        &home.join("config.toml"),
        &format!(
            "[source.crates-io]\nreplace-with = 'near-by'\n[source.near-by]\ndirectory = '{}'\n\
             {configuration}",
            vendor.display()
        ),
    );
}

#[test]
fn folders_of_project_and_cargo_home_leave_no_trace_in_the_program() {
    for configuration in ["", "[build]\nrustflags = ['-Ctarget-cpu=x86-64']\n"] {
        let made = |place: &str| {
            let folder = tempfile::tempdir().unwrap();
            let root = folder.path().join(place).join("project");
            let home = folder.path().join("home").join(place);
            with_dependencies(&root, &home, configuration);
            let mut asked = request(&root);
            asked.settings.measure = Some(Measure::No);
            let environment = &mut asked.toolchain.environment;
            environment.insert("CARGO_HOME".into(), home.into());
            let (store, built) = build(&asked);
            drop(store);
            let program = fs::read_dir(root.join("target/ounce"))
                .unwrap()
                .map(|entry| entry.unwrap().path().join("release/paths"))
                .find(|path| path.exists())
                .unwrap();
            let program = String::from_utf8_lossy(&fs::read(program).unwrap()).into_owned();
            let trace = folder.path().to_str().unwrap();
            assert!(!program.contains(trace), "the program names {trace}");
            assert!(program.contains("/cargo/vendor/far/src/lib.rs"));
            digest_of(&built.descriptor).unwrap()
        };
        assert_eq!(made("one"), made("another/place"), "{configuration}");
    }
}

#[test]
fn a_workspace_member_is_chosen_and_the_root_profile_counts() {
    let folder = tempfile::tempdir().unwrap();
    write(
        &folder.path().join("Cargo.toml"),
        "[workspace]\nmembers = ['a', 'b']\nresolver = '2'\n[profile.release]\nopt-level = 3\n",
    );
    package(&folder.path().join("a"), "a", "");
    package(
        &folder.path().join("b"),
        "b",
        "[[bin]]\nname = 'one'\npath = 'src/main.rs'\n",
    );
    let error = recipe(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 programs here, and an image holds one: a: a, b: one"
    );
    let found = recipe(&folder.path().join("b")).unwrap();
    assert_eq!(found.image.entrypoint, "/one");
    let ProgramSource::Cargo(cargo) = &found.programs[0].from else {
        panic!("not compiled");
    };
    let level = cargo
        .flags
        .iter()
        .find(|flag| flag.key == "opt-level")
        .unwrap();
    assert_eq!((level.value.as_str(), level.by), ("3", By::Project));
    let mut asked = request(folder.path());
    asked.settings.rust.bin = Some("nine".to_owned());
    assert!(
        plan(&asked)
            .unwrap_err()
            .to_string()
            .contains("no program \"nine\"")
    );
    asked.settings.rust.bin = None;
    asked.settings.rust.package = Some("a".to_owned());
    assert_eq!(plan(&asked).unwrap().image.entrypoint, "/a");
}

#[test]
fn two_platforms_give_an_index_and_one_gives_a_manifest() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "both", "");
    let mut asked = request(folder.path());
    asked.settings.measure = Some(Measure::No);
    asked.settings.platforms = ["linux/amd64", "linux/arm64"]
        .map(|platform| platform.parse().unwrap())
        .to_vec();
    match plan(&asked) {
        Ok(_) => {}
        Err(error) if error.to_string().contains("is installed") => {
            eprintln!("SKIPPED: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    }
    let (folder, built) = build(&asked);
    let store = Store::open(folder.path()).unwrap();
    let images = store.images_of(&built.reference).unwrap();
    let platforms: Vec<String> = images
        .iter()
        .map(|image| image.platform.to_string())
        .collect();
    assert_eq!(platforms, ["linux/amd64", "linux/arm64"]);
}

#[test]
fn the_compilers_error_passes_through_and_leaves_no_image() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "broken", "");
    write(
        &folder.path().join("src/main.rs"),
        "fn main() { nonsense }\n",
    );
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path()).unwrap();
    let mut lines = 0;
    let error = execute(&recipe(folder.path()).unwrap(), &store, &mut |_| lines += 1).unwrap_err();
    assert!(
        error.to_string().contains("could not compile broken"),
        "{error}"
    );
    assert!(lines > 3);
    assert!(store.names().unwrap().is_empty());
}

#[test]
fn an_unknown_profile_is_told_before_compiling() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "hello", "");
    let mut asked = request(folder.path());
    asked.settings.rust.profile = Some("tiny".to_owned());
    assert!(
        plan(&asked)
            .unwrap_err()
            .to_string()
            .contains("profile \"tiny\"")
    );
}

#[test]
fn a_recipe_is_data_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "hello", "");
    let mut asked = request(folder.path());
    asked.settings.platforms = vec!["linux/amd64".parse().unwrap()];
    let recipe = match plan(&asked) {
        Ok(recipe) => recipe,
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            return;
        }
    };
    let root = folder.path().canonicalize().unwrap();
    let json = serde_json::to_string_pretty(&recipe).unwrap();
    // Whose folders are renamed differs by machine, to what does not.
    let lines: Vec<String> = json
        .lines()
        .filter(|line| !(line.contains("--remap-path-prefix") && line.contains("/src/..")))
        .map(|line| match line.split_once("--remap-path-prefix=") {
            Some((before, flag)) => {
                let to = flag.rsplit('=').next().unwrap();
                let to = to.split("/rustc/").next().filter(|to| !to.is_empty());
                format!(
                    "{before}--remap-path-prefix=FOLDER={}",
                    to.unwrap_or("/rustc/COMMIT")
                )
            }
            None => line.to_owned(),
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n").replace(root.to_str().unwrap(), "PROJECT"));
}

/// A program without the standard library, linked by its own configuration.
fn freestanding(root: &Path) {
    package(
        root,
        "bare",
        "[profile.release]\npanic = 'abort'\n[profile.dev]\npanic = 'abort'\n",
    );
    write(
        &root.join(".cargo/config.toml"),
        "[target.x86_64-unknown-linux-gnu]\nlinker = 'rust-lld'\nrustflags = ['-Clinker-flavor=ld.lld', \
         '-Crelocation-model=static', '-Ctarget-feature=+crt-static', '-Clink-self-contained=no', \
         '-Clink-arg=-nostdlib', '-Clink-arg=-static', '-Cdefault-linker-libraries=no']\n",
    );
    write(
        &root.join("src/main.rs"),
        "#![no_std]\n#![no_main]\n#[panic_handler]\nfn panic(_: &core::panic::PanicInfo) -> ! { loop {} }\n\
         core::arch::global_asm!(\".globl _start\", \"_start:\", \"mov eax, 60\", \"mov edi, 7\", \"syscall\");\n",
    );
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_program_without_the_standard_library_is_built_by_its_own_configuration() {
    let folder = tempfile::tempdir().unwrap();
    freestanding(folder.path());
    let mut asked = request(folder.path());
    asked.settings.measure = Some(Measure::No);
    let found = plan(&asked).unwrap();
    let ProgramSource::Cargo(cargo) = &found.programs[0].from else {
        panic!("not compiled");
    };
    assert_eq!(cargo.target, "x86_64-unknown-linux-gnu");
    let (_store, built) = build(&asked);
    assert!(
        built.images[0].program_bytes < 4096,
        "{:?}",
        built.images[0]
    );
}

#[test]
fn two_builds_at_once_of_one_project_each_get_their_own_program() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "twice", "[features]\nother = []\n");
    let source = "fn main() { println!(\"{}\", if cfg!(feature = \"other\") { \"other words\" } \
                  else { \"plain words\" }); }\n";
    write(&folder.path().join("src/main.rs"), source);
    let program = |features: &[&str]| {
        let mut request = request(folder.path());
        request.settings.rust.features = features.iter().map(|f| (*f).to_owned()).collect();
        request.settings.measure = Some(Measure::No);
        request.settings.compression = Some(Compression::None);
        let (store, built) = build(&request);
        let digest = built.images[0].manifest.digest().to_string();
        let store = Store::open(store.path()).unwrap();
        let image = store
            .image(&built.reference, &built.images[0].platform)
            .unwrap();
        let layer = image.layers[0].descriptor.digest().to_string();
        let hex = layer.trim_start_matches("sha256:");
        let bytes = fs::read(store.root().join("blobs/sha256").join(hex)).unwrap();
        let has = |text: &str| {
            bytes
                .windows(text.len())
                .any(|part| part == text.as_bytes())
        };
        (digest, has("plain words"), has("other words"))
    };
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| program(&[]));
        let other = scope.spawn(|| program(&["other"]));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!((one.1, one.2), (true, false));
    assert_eq!((other.1, other.2), (false, true));
    // As they are when nobody else builds.
    assert_eq!(program(&[]), one);
}

#[test]
fn who_builds_a_project_that_is_being_built_waits_and_is_told_for_whom() {
    let folder = tempfile::tempdir().unwrap();
    package(folder.path(), "waits", "");
    let recipe = plan(&request(folder.path())).unwrap();
    let held = Lock::wait_for_folder(folder.path(), &mut |_| panic!("nobody builds it"));
    let mut held = held.unwrap();
    let store = tempfile::tempdir().unwrap();
    let mut told = Vec::new();
    let built = execute(&recipe, &Store::open(store.path()).unwrap(), &mut |event| {
        if let Event::Waiting { doing, holder_pid } = event {
            assert!(held.is_some(), "told once");
            told.push((doing, holder_pid));
            drop(held.take());
        }
    });
    built.unwrap();
    assert_eq!(told, [("building this project", Some(std::process::id()))]);
}
