//! A database that RPM wrote. Debian's is built without its other form, which
//! is read from databases put together by hand.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use ounce_rootfs::package::{Catalogue, Manager, Packages};
use ounce_rootfs::tree::{NodeKind, Tree};

/// A package that takes nothing to build; the second has enough files that its
/// header does not fit into a page.
const SPEC: &str = "\
Name: ounce-test-NUMBER
Version: 1.NUMBER
Release: 2%{?dist}
Epoch: NUMBER
Summary: A test
License: MIT
BuildArch: noarch
%description
A test.
%install
mkdir -p %{buildroot}/opt/test-NUMBER/deep %{buildroot}/etc
for number in $(seq 1 COUNT); do echo $number > %{buildroot}/opt/test-NUMBER/deep/file-$number; done
echo x > %{buildroot}/etc/test-NUMBER.conf
ln -s deep/file-1 %{buildroot}/opt/test-NUMBER/link
%files
/opt/test-NUMBER
/etc/test-NUMBER.conf
";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{error}: apt-get install rpm");
    });
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What the catalogue makes of a folder that holds an image's files.
fn packages(root: &Path) -> Packages {
    let tree = Tree::of_folder(root).unwrap();
    let mut catalogue = Catalogue::default();
    for (path, node) in tree.iter() {
        if let NodeKind::File(id) = node.kind
            && catalogue.wants(path, node.bytes)
        {
            catalogue.keep(id, fs::read(root.join(path)).unwrap());
        }
    }
    catalogue.finish(&tree)
}

#[test]
fn a_database_that_rpm_wrote_is_read_as_rpm_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let top = format!("_topdir {}", at("build").display());
    for (number, count) in [(1, 3), (2, 700)] {
        let spec = SPEC.replace("NUMBER", &number.to_string());
        let spec = spec.replace("COUNT", &count.to_string());
        let path = at(&format!("{number}.spec"));
        fs::write(&path, spec).unwrap();
        run(Command::new("rpmbuild")
            .args(["-bb", "--quiet", "--define", &top])
            .arg(&path)
            .env("HOME", folder.path()));
    }
    let built = fs::read_dir(at("build/RPMS/noarch")).unwrap();
    let built: Vec<_> = built.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(built.len(), 2);
    let root = at("root");
    fs::create_dir_all(root.join("var/lib/rpm")).unwrap();
    let rpm = |arguments: &[&str]| {
        let mut command = Command::new("rpm");
        command
            .arg("--root")
            .arg(&root)
            .args(["--dbpath", "/var/lib/rpm"])
            .args(arguments)
            .env("HOME", folder.path());
        command
    };
    run(rpm(&["-i", "--nodeps", "--noscripts"]).args(&built));
    assert!(root.join("var/lib/rpm").join("rpmdb.sqlite").exists());
    let found = packages(&root);
    assert_eq!(found.faults, Vec::<String>::new());
    let format = "%{NAME} %{EPOCH}:%{VERSION}-%{RELEASE} %{ARCH} %{LICENSE}\\n";
    let expected = run(&mut rpm(&["-qa", "--qf", format]));
    let expected: BTreeSet<&str> = expected.lines().collect();
    let shown = found.packages.iter().map(|one| {
        assert_eq!(one.manager, Manager::Rpm);
        let [architecture, license] = [&one.architecture, &one.license];
        let known = |text: &Option<String>| text.clone().unwrap_or_default();
        let (architecture, license) = (known(architecture), known(license));
        format!("{} {} {architecture} {license}", one.name, one.version)
    });
    let shown: BTreeSet<String> = shown.collect();
    assert_eq!(
        shown.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        expected
    );
    for package in &found.packages {
        // RPM lists folders too, which belong to nobody here.
        let listed = run(&mut rpm(&["-ql", &package.name]));
        let listed: BTreeSet<&Path> = listed
            .lines()
            .map(|line| Path::new(line.trim_start_matches('/')))
            .filter(|path| !root.join(path).symlink_metadata().unwrap().is_dir())
            .collect();
        let files: BTreeSet<&Path> = package.files.iter().map(|path| path.as_path()).collect();
        assert_eq!(files, listed, "{}", package.name);
        assert!(listed.len() > 4);
    }
}
