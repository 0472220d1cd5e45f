use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use proptest::prelude::*;

use super::*;

/// A folder as an image.
struct Folder(tempfile::TempDir);

impl Files for &Folder {
    fn read(&mut self, place: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut data = Vec::new();
        let file = fs::File::open(self.0.path().join(place))?;
        file.take(limit).read_to_end(&mut data)?;
        Ok(data)
    }
}

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (path, content) in files {
            folder.write(path, content);
        }
        folder
    }

    fn write(&self, path: &str, content: &[u8]) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn link(&self, path: &str, target: &str) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn reach(&self, command: &[&str], environment: &[&str], options: &Options) -> Found {
        let tree = Tree::of_folder(self.0.path()).unwrap();
        let seeds = Seeds {
            commands: vec![command.iter().map(OsString::from).collect()],
            environment: environment.iter().map(OsString::from).collect(),
            workdir: "/".into(),
            ..Seeds::default()
        };
        let mut files = self;
        Found(reach(&tree, &mut files, &seeds, options))
    }

    fn run(&self, command: &[&str]) -> Found {
        self.reach(command, &[], &Options::default())
    }
}

struct Found(Reached);

impl Found {
    /// Files and links that are kept, without folders that only hold others.
    fn kept(&self) -> Vec<String> {
        let kept = self.0.kept.iter();
        kept.filter(|(_, reason)| **reason != Reason::Parent)
            .map(|(path, _)| path.to_string_lossy().into_owned())
            .collect()
    }

    fn told(&self) -> Vec<String> {
        let all = self.0.unresolved.iter();
        all.map(|one| format!("{}: {}", one.at.display(), one.what))
            .collect()
    }

    fn why(&self, path: &str) -> (String, String) {
        match self.0.kept.reason(Path::new(path)) {
            Some(Reason::Needed { by, how }) => (by.display().to_string(), how.clone()),
            other => panic!("{path}: {other:?}"),
        }
    }
}

/// What goes into a program made for a test.
#[derive(Default, Clone)]
struct Program<'a> {
    machine: u16,
    interpreter: &'a str,
    needed: &'a [&'a str],
    soname: &'a str,
    rpath: &'a str,
    runpath: &'a str,
    texts: &'a [&'a str],
}

impl Program<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut strings = vec![0];
        let mut entries: Vec<(u64, u64)> = Vec::new();
        let tags = [(14, self.soname), (15, self.rpath), (29, self.runpath)];
        let needed = self.needed.iter().map(|name| (1, *name));
        for (tag, text) in needed.chain(tags) {
            if !text.is_empty() {
                entries.push((tag, strings.len() as u64));
                strings.extend(text.as_bytes());
                strings.push(0);
            }
        }
        let (base, at) = (0x40_0000_u64, 0x200_u64);
        let table = (entries.len() as u64 + 3) * 16;
        let interpreter = at + table + strings.len() as u64;
        entries.push((5, base + at + table));
        entries.push((10, strings.len() as u64));
        entries.push((0, 0));
        let mut tail: Vec<u8> = Vec::new();
        for (tag, value) in entries {
            tail.extend(tag.to_le_bytes());
            tail.extend(value.to_le_bytes());
        }
        tail.extend(strings);
        tail.extend(self.interpreter.as_bytes());
        tail.push(0);
        for text in self.texts {
            tail.push(0);
            tail.extend(text.as_bytes());
            tail.push(0);
        }
        let all = at + tail.len() as u64;
        let mut programs = vec![(1_u32, 5_u32, 0, all), (2, 6, at, table)];
        if !self.interpreter.is_empty() {
            programs.push((3, 4, interpreter, self.interpreter.len() as u64 + 1));
        }
        let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        let machine = if self.machine == 0 { 62 } else { self.machine };
        out.extend(machine.to_le_bytes());
        out.extend(1_u32.to_le_bytes());
        for field in [base, 64, 0] {
            out.extend(field.to_le_bytes());
        }
        out.extend(0_u32.to_le_bytes());
        for field in [64, 56, programs.len() as u16, 64, 0, 0] {
            out.extend(u16::to_le_bytes(field));
        }
        for (kind, flags, offset, bytes) in programs {
            out.extend(kind.to_le_bytes());
            out.extend(flags.to_le_bytes());
            for field in [offset, base + offset, base + offset, bytes, bytes, 0x1000] {
                out.extend(u64::to_le_bytes(field));
            }
        }
        out.resize(at as usize, 0);
        out.extend(tail);
        out
    }
}

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

#[test]
fn libraries_are_followed_through_links_and_rpaths_to_the_last() {
    let folder = Folder::new(&[
        (
            "opt/app/bin/app",
            &Program {
                interpreter: LOADER,
                needed: &["libone.so.1"],
                runpath: "$ORIGIN/../lib",
                ..Program::default()
            }
            .bytes(),
        ),
        (
            "opt/app/lib/libone.so.1.2",
            &Program {
                soname: "libone.so.1",
                needed: &["libtwo.so"],
                rpath: "/opt/more",
                ..Program::default()
            }
            .bytes(),
        ),
        (
            "opt/more/libtwo.so",
            &Program {
                soname: "libtwo.so",
                needed: &["libthree.so"],
                ..Program::default()
            }
            .bytes(),
        ),
        // It inherits the rpath of the library that loads it.
        (
            "opt/more/libthree.so",
            &Program {
                soname: "libthree.so",
                needed: &["libone.so.1", "libgone.so"],
                ..Program::default()
            }
            .bytes(),
        ),
        ("lib64/ld-linux-x86-64.so.2", &Program::default().bytes()),
        ("lib/libother.so", b"x"),
    ]);
    folder.link("opt/app/lib/libone.so.1", "libone.so.1.2");
    let found = folder.run(&["/opt/app/bin/app"]);
    assert_eq!(
        found.kept(),
        [
            "lib64/ld-linux-x86-64.so.2",
            "opt/app/bin/app",
            "opt/app/lib/libone.so.1",
            "opt/app/lib/libone.so.1.2",
            "opt/more",
            "opt/more/libthree.so",
            "opt/more/libtwo.so",
        ]
    );
    assert_eq!(
        found.why("opt/more/libtwo.so"),
        (
            "opt/app/lib/libone.so.1.2".into(),
            "library (DT_NEEDED)".into()
        )
    );
    assert_eq!(
        found.told(),
        ["opt/more/libthree.so: the library libgone.so that it needs is not in the image"]
    );
}

#[test]
fn library_of_another_machine_is_passed_over_and_every_variant_is_kept() {
    let library = |machine| {
        Program {
            machine,
            soname: "libz.so.1",
            ..Program::default()
        }
        .bytes()
    };
    let folder = Folder::new(&[
        (
            "bin/app",
            &Program {
                needed: &["libz.so.1"],
                ..Program::default()
            }
            .bytes(),
        ),
        ("lib/x86_64-linux-gnu/libz.so.1", &library(183)),
        (
            "usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libz.so.1",
            &library(62),
        ),
        ("usr/lib/x86_64-linux-gnu/libz.so.1", &library(62)),
        ("lib64/libz.so.1", &library(62)),
    ]);
    assert_eq!(
        folder.run(&["app"]).kept(),
        [
            "bin/app",
            "usr/lib/x86_64-linux-gnu/glibc-hwcaps/x86-64-v3/libz.so.1",
            "usr/lib/x86_64-linux-gnu/libz.so.1",
        ]
    );
}

#[test]
fn libraries_and_files_that_a_program_names_are_kept_where_asked() {
    let program = Program {
        texts: &[
            "libplug.so.2",
            "/etc/app/app.conf",
            "/usr/share/gone",
            "%s/libx_%s.so",
            "/var/lib/app",
        ],
        ..Program::default()
    };
    let folder = Folder::new(&[
        ("bin/app", &program.bytes()),
        ("usr/lib/libplug.so.2", &Program::default().bytes()),
        (
            "etc/app/app.conf",
            b"# /etc/not\ninclude extra.d/*.conf;\ndata \"/srv/data.bin\"; ../up",
        ),
        ("etc/app/extra.d/a.conf", b""),
        ("etc/app/extra.d/b.txt", b""),
        ("etc/not", b""),
        ("srv/data.bin", b""),
        ("var/lib/app/inner", b""),
    ]);
    let found = folder.run(&["app"]);
    assert_eq!(
        found.kept(),
        [
            "bin/app",
            "etc/app/app.conf",
            "etc/app/extra.d",
            "etc/app/extra.d/a.conf",
            "srv/data.bin",
            "usr/lib/libplug.so.2",
            "var/lib/app",
        ]
    );
    assert_eq!(
        found.told(),
        ["bin/app: puts names of libraries together: \"%s/libx_%s.so\""]
    );
    let linked = folder.reach(&["app"], &[], &Options::linked());
    assert_eq!(linked.kept(), ["bin/app"]);
}

#[test]
fn configuration_full_of_patterns_is_told_and_left() {
    let program = Program {
        texts: &["/etc/app.conf"],
        ..Program::default()
    };
    let folder = Folder::new(&[
        ("bin/app", &program.bytes()),
        ("etc/app.conf", "/usr/*.conf\n".repeat(1000).as_bytes()),
    ]);
    assert_eq!(
        folder.run(&["app"]).told(),
        ["etc/app.conf: has more than 100 patterns of files; the rest is left"]
    );
}

#[test]
fn interpreters_are_followed_in_chains_and_by_env() {
    let folder = Folder::new(&[
        ("bin/env", &Program::default().bytes()),
        (
            "bin/sh",
            &Program {
                interpreter: "/lib/ld-musl-x86_64.so.1",
                needed: &["libc.musl-x86_64.so.1"],
                ..Program::default()
            }
            .bytes(),
        ),
        ("lib/ld-musl-x86_64.so.1", &Program::default().bytes()),
        (
            "opt/run",
            b"#!/bin/sh\nexec tool --x /etc/hosts # no\necho ruby",
        ),
        ("usr/bin/one", b"#!/opt/run -a\n"),
        ("usr/bin/two", b"#!/usr/bin/env -S one\n"),
        ("usr/bin/tool", b"#!/missing/interpreter\n"),
        ("usr/bin/ruby", b"x"),
        ("etc/hosts", b""),
    ]);
    folder.link("usr/bin/env", "/bin/env");
    let found = folder.run(&["two"]);
    let kept = found.kept();
    for path in [
        "bin/env",
        "usr/bin/one",
        "opt/run",
        "bin/sh",
        "lib/ld-musl-x86_64.so.1",
        "usr/bin/tool",
        "etc/hosts",
    ] {
        assert!(kept.contains(&path.to_owned()), "{path}: {kept:?}");
    }
    assert_eq!(
        found.told(),
        ["usr/bin/tool: its interpreter /missing/interpreter is not in the image"]
    );
}

/// A Python that is no program but enough of one.
fn python(files: &[(&str, &[u8])]) -> Folder {
    let folder = Folder::new(&[
        (
            "usr/bin/python3.11",
            &Program {
                texts: &["sys", "cmath"],
                ..Program::default()
            }
            .bytes(),
        ),
        ("usr/lib/python3.11/os.py", b"import stat, sys, math\n"),
        ("usr/lib/python3.11/stat.py", b""),
        ("usr/lib/python3.11/site.py", b"import os\n"),
        ("usr/lib/python3.11/unused.py", b""),
        ("usr/lib/python3.11/importlib/__init__.py", b""),
        ("usr/lib/python3.11/encodings/__init__.py", b""),
        ("usr/lib/python3.11/encodings/idna.py", b""),
        ("usr/lib/python3.11/encodings/big5.py", b""),
    ]);
    folder.link("usr/bin/python3", "python3.11");
    for (path, content) in files {
        folder.write(path, content);
    }
    folder
}

#[test]
fn python_imports_are_followed_with_their_partners_and_data() {
    let site = "usr/local/lib/python3.11/dist-packages";
    let at = |path: &str| format!("{site}/{path}");
    let extension = Program {
        texts: &["pkg.late"],
        needed: &["libvendor.so"],
        runpath: "$ORIGIN/../pkg.libs",
        ..Program::default()
    };
    let folder = python(&[
        ("app/main.py", b"import pkg.sub, helper\nfrom pkg import other as o\nx.encode('idna')\n"),
        ("app/helper.py", b"import main, helper\n"),
        (&at("pkg/__init__.py"), b"from .deep import *\nfrom ...out import of\n"),
        (&at("pkg/sub.py"), b"import importlib; importlib.import_module('.rel', 'pkg')\nimportlib.import_module(name)"),
        (&at("pkg/rel.py"), b""),
        (&at("pkg/other.cpython-311-x86_64-linux-gnu.so"), &extension.bytes()),
        (&at("pkg/late.py"), b""),
        (&at("pkg/deep/__init__.py"), b"__all__ = ['star']\n"),
        (&at("pkg/deep/star.py"), b""),
        (&at("pkg/deep/dark.py"), b""),
        (&at("pkg/__pycache__/sub.cpython-311.pyc"), b"x"),
        (&at("pkg/__pycache__/dark.cpython-311.pyc"), b"x"),
        (&at("pkg/templates/a.html"), b"x"),
        (&at("pkg/unused/__init__.py"), b""),
        (&at("pkg/unused/data.txt"), b"x"),
        (&at("pkg/tests/data.txt"), b"x"),
        (&at("pkg.libs/libvendor.so"), &Program::default().bytes()),
        (&at("more.pth"), b"../elsewhere\nimport hook; hook.run()\n"),
        (&at("hook.py"), b""),
        ("usr/local/lib/python3.11/elsewhere/x.py", b""),
    ]);
    let found = folder.run(&["python3", "/app/main.py"]);
    let kept = found.kept();
    let wanted = [
        "app/main.py",
        "app/helper.py",
        "usr/lib/python3.11/stat.py",
        "usr/lib/python3.11/encodings/idna.py",
        "usr/bin/python3",
        "usr/bin/python3.11",
    ];
    let packages = [
        "pkg/__init__.py",
        "pkg/sub.py",
        "pkg/rel.py",
        "pkg/late.py",
        "pkg/deep/star.py",
        "pkg/other.cpython-311-x86_64-linux-gnu.so",
        "pkg/__pycache__/sub.cpython-311.pyc",
        "pkg/templates/a.html",
        "pkg.libs/libvendor.so",
        "more.pth",
        "hook.py",
    ];
    for path in wanted
        .map(str::to_owned)
        .into_iter()
        .chain(packages.map(at))
    {
        assert!(kept.contains(&path), "{path} is missing: {kept:?}");
    }
    let away = [
        "pkg/deep/dark.py",
        "pkg/__pycache__/dark.cpython-311.pyc",
        "pkg/unused/data.txt",
        "pkg/tests/data.txt",
    ];
    let others = [
        "usr/lib/python3.11/unused.py",
        "usr/lib/python3.11/encodings/big5.py",
    ];
    for path in others.map(str::to_owned).into_iter().chain(away.map(at)) {
        assert!(!kept.contains(&path), "{path} is kept");
    }
    assert_eq!(
        found.told(),
        [
            format!(
                "{}: line 2: ...out leaves its package",
                at("pkg/__init__.py")
            ),
            format!(
                "{}: line 2: import_module() of a computed name",
                at("pkg/sub.py")
            ),
        ]
    );
    assert_eq!(found.why(&at("pkg/sub.py")).1, "import pkg.sub, line 1");
}

#[test]
fn virtual_environment_has_its_own_packages_and_the_bases_library() {
    let folder = python(&[
        (
            "venv/pyvenv.cfg",
            b"home = /usr/bin\ninclude-system-site-packages = false\n",
        ),
        ("venv/lib/python3.11/site-packages/web.py", b""),
        (
            "venv/bin/serve",
            b"#!/venv/bin/python3\nimport web, system\n",
        ),
        ("usr/lib/python3/dist-packages/system.py", b""),
    ]);
    folder.link("venv/bin/python3", "/usr/bin/python3");
    let found = folder.run(&["/venv/bin/serve"]);
    let kept = found.kept();
    assert!(kept.contains(&"venv/lib/python3.11/site-packages/web.py".to_owned()));
    assert!(kept.contains(&"venv/pyvenv.cfg".to_owned()));
    assert!(!kept.contains(&"usr/lib/python3/dist-packages/system.py".to_owned()));
    assert_eq!(
        found.told(),
        ["venv/bin/serve: line 2: imports system, which is not in the image"]
    );
}

#[test]
fn circular_and_very_deep_imports_end() {
    let mut files: Vec<(String, String)> = Vec::new();
    for index in 0..3000 {
        let next = (index + 1) % 3000;
        files.push((
            format!("app/m{index}.py"),
            format!("import m{next}, m{index}, main\n"),
        ));
    }
    let folder = python(&[("app/main.py", b"import m0\nfrom . import main\n")]);
    for (path, content) in &files {
        folder.write(path, content.as_bytes());
    }
    let found = folder.run(&["python3", "/app/main.py"]);
    assert!(found.0.kept.contains(Path::new("app/m2999.py")));
}

#[test]
fn node_modules_are_found_as_node_finds_them() {
    let folder = Folder::new(&[
        ("usr/bin/node", &Program::default().bytes()),
        ("app/package.json", b"{\"name\":\"app\",\"imports\":{\"#in\":\"./in.js\"}}"),
        ("app/server.js", b"require('fs'); require('./lib'); require('a'); require('#in');\n\
            require(which); require('./views/' + name); fs.read(path.join(__dirname, 'page.html'))\n\
            try { require('optional') } catch {}"),
        ("app/in.js", b""),
        ("app/page.html", b""),
        ("app/lib/index.js", b"require('../data'); require('b/sub'); require('../server')"),
        ("app/data.json", b"{}"),
        ("app/views/x.js", b"require('only-view')"),
        ("app/views/node_modules/away.js", b""),
        ("app/node_modules/a/package.json", b"{\"main\":\"dist\",\"x\":1}"),
        ("app/node_modules/a/dist/index.js", b"require('b')"),
        ("app/node_modules/a/node_modules/b/package.json", b"{}"),
        ("app/node_modules/a/node_modules/b/index.js", b"require('native.node')"),
        ("app/node_modules/b/package.json", b"{\"exports\":{\"./sub\":{\"import\":\"./i.mjs\",\"default\":\"./s.cjs\"}}}"),
        ("app/node_modules/b/s.cjs", b""),
        ("app/node_modules/b/i.mjs", b""),
        ("app/node_modules/unused/index.js", b""),
        ("node_modules/only-view.js", b""),
    ]);
    folder.link("app/node_modules/native.node", "../../usr/bin/node");
    let found = folder.run(&["node", "--harmony", "/app/server.js"]);
    assert_eq!(
        found.kept(),
        [
            "app/data.json",
            "app/in.js",
            "app/lib/index.js",
            "app/node_modules/a/dist/index.js",
            "app/node_modules/a/node_modules/b/index.js",
            "app/node_modules/a/node_modules/b/package.json",
            "app/node_modules/a/package.json",
            "app/node_modules/b/package.json",
            "app/node_modules/b/s.cjs",
            "app/node_modules/native.node",
            "app/package.json",
            "app/page.html",
            "app/server.js",
            "app/views",
            "app/views/x.js",
            "node_modules/only-view.js",
            "usr/bin/node",
        ]
    );
    assert_eq!(
        found.told(),
        [
            "app/server.js: line 2: loads a module of a computed name",
            "app/server.js: line 3: asks for optional, which is not in the image",
        ]
    );
}

#[test]
fn what_the_c_library_opens_is_kept_for_those_who_ask() {
    // This test's own program takes functions of the C library.
    let own = fs::read(std::env::current_exe().unwrap()).unwrap();
    let folder = Folder::new(&[
        ("bin/app", &own),
        ("etc/ssl/certs/ca-certificates.crt", b"x"),
        (
            "usr/lib/libssl.so.3",
            &Program {
                soname: "libssl.so.3",
                ..Program::default()
            }
            .bytes(),
        ),
        (
            "bin/tls",
            &Program {
                needed: &["libssl.so.3"],
                ..Program::default()
            }
            .bytes(),
        ),
        ("etc/passwd", b"root:x:0:0::/:/bin/sh\n"),
    ]);
    let kept = folder.run(&["tls"]).kept();
    assert!(kept.contains(&"etc/ssl/certs/ca-certificates.crt".to_owned()));
    assert!(!kept.contains(&"etc/passwd".to_owned()));
    let found = folder.run(&["app"]);
    assert!(
        found
            .told()
            .iter()
            .any(|line| line.contains("ELF interpreter"))
    );
}

#[test]
fn user_with_a_name_needs_the_account_files_and_a_number_does_not() {
    let folder = Folder::new(&[("etc/passwd", b""), ("etc/group", b""), ("app", b"")]);
    let tree = Tree::of_folder(folder.0.path()).unwrap();
    let kept = |user: &str| {
        let seeds = Seeds {
            paths: vec!["/app".into()],
            user: user.to_owned(),
            ..Seeds::default()
        };
        Found(reach(&tree, &mut &folder, &seeds, &Options::default())).kept()
    };
    assert_eq!(kept("1000:100"), ["app"]);
    assert_eq!(kept("web"), ["app", "etc/group", "etc/passwd"]);
}

#[test]
fn links_in_circles_absent_programs_and_odd_names_are_told() {
    let folder = Folder::new(&[(
        "bin/cut",
        &Program {
            needed: &["x"],
            ..Program::default()
        }
        .bytes()[..300],
    )]);
    folder.link("bin/loop", "/bin/loop2");
    folder.link("bin/loop2", "loop");
    let odd = std::ffi::OsStr::from_bytes(b"bin/\xff\xfe");
    fs::write(folder.0.path().join(odd), "#!/bin/loop\n").unwrap();
    assert_eq!(
        folder.run(&["/bin/loop"]).told(),
        ["/bin/loop: is not in the image"]
    );
    assert_eq!(folder.run(&["gone"]).told(), ["gone: is not in the image"]);
    let told = folder.run(&["/bin/cut"]).told();
    assert!(told[0].starts_with("bin/cut: ELF"), "{told:?}");
    let tree = Tree::of_folder(folder.0.path()).unwrap();
    let seeds = Seeds {
        paths: vec![Path::new("/").join(odd)],
        ..Seeds::default()
    };
    let found = reach(&tree, &mut &folder, &seeds, &Options::default());
    assert!(found.kept.contains(Path::new(odd)));
    assert!(
        found.unresolved[0]
            .what
            .contains("/bin/loop is not in the image")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn corrupt_programs_and_sources_never_stop_the_walk(
        changes in prop::collection::vec((0_usize..0x400, any::<u8>()), 0..20),
        source in prop::collection::vec(any::<u8>(), 0..200),
        line in "[ -~]{0,40}",
    ) {
        let mut program = Program {
            interpreter: LOADER, needed: &["a.so", "b.so"], rpath: "/x:$ORIGIN", soname: "a.so",
            texts: &["/etc/x", "b.so"], ..Program::default()
        }.bytes();
        let length = program.len();
        for (at, value) in changes {
            program[at % length] = value;
        }
        let folder = python(&[
            ("bin/a.so", &program), ("x/b.so", &program), ("etc/x", &source),
            ("app/main.py", &source), ("app/s", format!("#!{line}").as_bytes()),
        ]);
        for command in [["/bin/a.so", ""], ["python3", "/app/main.py"], ["/app/s", "-c"]] {
            folder.run(&command);
        }
    }
}
