//! What a container must not be able to do.

use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use ounce_run::pool::Pool;
use ounce_run::spec::{Limits, Network, Socket, SystemCalls, Tmpfs, User, Volume};
use ounce_run::syscalls::Calls;
use ounce_run::{Beginning, Errno, Exit, Spec, StartError, Threads};

use crate::program::{begin, in_folder, read, rootfs, run, spec, words};

fn check_escapes(output: &str) {
    assert!(!output.contains("DONE"), "{output}");
    assert!(output.contains("\nprocesses: 1\n"), "{output}");
    // 0, 1, 2 and the listing's own.
    assert!(output.contains("/proc/self/fd: 4\n"), "{output}");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert!(
            output.contains(&format!("{set}:\t0000000000000000")),
            "{output}"
        );
    }
    assert!(output.contains("NoNewPrivs:\t1"), "{output}");
    assert!(output.contains("Seccomp:\t2"), "{output}");
    assert!(output.contains("SigBlk:\t0000000000000000"), "{output}");
    assert!(output.contains("SigIgn:\t0000000000000000"), "{output}");
    assert!(output.contains("host name: ounce\n"), "{output}");
    assert!(output.contains("mounts over 30: no"), "{output}");
    assert!(!output.contains("without nosuid"), "{output}");
}

#[test]
fn a_program_alone_can_do_none_of_what_it_must_not() {
    check_escapes(&run(&spec(&["escape"])).output);
}

fn check_published(spec: &Spec) {
    let output = run(spec).output;
    assert!(!output.contains("DONE"), "{output}");
    assert!(output.ends_with("tried\n"), "{output}");
}

#[test]
fn what_was_published_on_other_runtimes_does_not_lead_out_of_this_one() {
    let root = rootfs();
    for uid in [0, 65532] {
        for mut spec in [spec(&["published"]), in_folder(root.path(), &["published"])] {
            spec.user = User { uid, gid: uid };
            check_published(&spec);
            spec.network = Network::None;
            check_published(&spec);
        }
    }
}

#[test]
fn an_image_whose_folders_are_links_gets_no_further() {
    // CVE-2021-30465, CVE-2025-31133: what is mounted over is a link.
    for (name, target) in [
        ("proc", "/tmp"),
        ("dev", "../../../../tmp"),
        ("sys", "/proc/self/cwd"),
    ] {
        let root = rootfs();
        std::fs::remove_dir(root.path().join(name)).unwrap();
        std::os::unix::fs::symlink(target, root.path().join(name)).unwrap();
        match begin(&in_folder(root.path(), &["published"])) {
            Ok((mut container, output)) => {
                container.wait().unwrap();
                let output = read(&output);
                let found: Vec<_> = output
                    .lines()
                    .filter(|line| line.ends_with("DONE"))
                    .collect();
                // Without a /dev or /proc in its place there is less to be found there.
                assert!(found.is_empty(), "{name}: {found:?}");
            }
            // A link of /proc is not followed at all.
            Err(error) => assert_eq!(name, "sys", "{error}"),
        }
    }
}

#[test]
fn a_working_folder_behind_a_descriptor_is_refused() {
    // CVE-2024-21626: the runtime's own descriptors are open until exec.
    let root = rootfs();
    let host = std::fs::File::open("/etc").unwrap();
    for fd in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, host.as_raw_fd()] {
        for folder in [
            "/proc/self/fd",
            "/proc/1/fd",
            "/dev/fd",
            "/proc/thread-self/fd",
        ] {
            let mut spec = in_folder(root.path(), &["published"]);
            spec.workdir = format!("{folder}/{fd}").into();
            match begin(&spec) {
                Err(error) => assert_eq!(error.exit_code(), 125, "{error}"),
                Ok(_) => panic!("{} was entered", spec.workdir.display()),
            }
        }
    }
    drop(host);
}

#[test]
fn a_program_makes_only_the_calls_that_its_image_lists() {
    let mut spec = spec(&["hello"]);
    let list = "write,exit_group,arch_prctl,set_tid_address,set_robust_list,rseq,prlimit64,mprotect,brk,\
                newfstatat,fstat,getrandom,readlink,readlinkat,uname,mmap,munmap,set_thread_area";
    spec.system_calls = SystemCalls::Only(Calls::named(list).unwrap());
    assert_eq!(run(&spec).output, "hello\n");
    spec.system_calls = SystemCalls::Only(Calls::named(&list.replace("write,", "")).unwrap());
    assert_eq!(run(&spec).output, "");
}

#[test]
fn abstract_sockets_of_the_host_are_out_of_reach_on_its_network_too() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    // CVE-2020-15257: a daemon that trusts who can connect.
    let name = format!("ounce-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _listener = UnixListener::bind_addr(&address).unwrap();
    let mut spec = spec(&["abstract", &name]);
    assert_eq!(run(&spec).output, "connect: refused\n");
    spec.network = Network::Host;
    let scopes = std::thread::spawn(|| {
        rustix::thread::set_no_new_privs(true).unwrap();
        ounce_linux::landlock::scope().unwrap()
    });
    match scopes.join().unwrap() {
        true => assert_eq!(run(&spec).output, "connect: refused\n"),
        false => eprintln!("skipped: this kernel's Landlock has no scopes"),
    }
}

#[test]
fn a_set_id_file_of_an_image_gives_nobody_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let root = rootfs();
    let mode = std::fs::Permissions::from_mode(0o6755);
    std::fs::set_permissions(root.path().join("probe"), mode).unwrap();
    let mut spec = in_folder(root.path(), &["id"]);
    spec.user = User { uid: 7, gid: 8 };
    assert_eq!(run(&spec).output, "7 8\n");
}

#[test]
fn a_start_is_the_same_with_one_thread_with_two_and_from_a_pool() {
    let root = rootfs();
    let null = std::fs::File::open("/dev/null").unwrap();
    for mut spec in [spec(&["escape"]), in_folder(root.path(), &["escape"])] {
        spec.limits.pids = rustix::process::geteuid().is_root().then_some(100);
        let pool = Pool::new(spec.network, spec.limits, 2).unwrap();
        for way in 0..5 {
            let output = tempfile::tempfile().unwrap();
            let stdio = [null.as_fd(), output.as_fd(), output.as_fd()];
            let begin = |threads| Beginning::with_threads(spec.network, &spec.limits, threads);
            let container = loop {
                let started = match way {
                    0 => begin(Threads::One).start(&spec, stdio),
                    1 => begin(Threads::Two).start(&spec, stdio),
                    _ => pool.start(&spec, stdio),
                };
                match started {
                    // As in `program::begin`.
                    Err(StartError::Execute { source, .. }) if source == Errno::TXTBSY => {}
                    other => break other,
                }
            };
            let exit = container.unwrap().wait().unwrap();
            assert_eq!(exit, Exit::Code(0));
            check_escapes(&read(&output));
        }
    }
}

#[test]
fn a_program_of_a_folder_can_do_none_of_what_it_must_not() {
    let root = rootfs();
    check_escapes(&run(&in_folder(root.path(), &["escape"])).output);
}

#[test]
fn user_0_of_a_container_can_do_no_more_than_others() {
    let root = rootfs();
    let mut spec = in_folder(root.path(), &["escape"]);
    spec.user = User { uid: 0, gid: 0 };
    let output = run(&spec).output;
    assert!(output.contains("Uid:\t0\t0\t0\t0"), "{output}");
    check_escapes(&output);
}

#[test]
fn the_hosts_network_gives_nothing_else_away() {
    let mut spec = spec(&["escape"]);
    spec.network = Network::Host;
    check_escapes(&run(&spec).output);
}

#[test]
fn leaked_descriptors_stay_outside_and_passed_sockets_come_from_3_on() {
    // Not to be closed on exec: dup without the flag.
    let _leaked = rustix::io::dup(std::io::stdin().as_fd()).unwrap();
    let socket = |name: &str| Socket {
        name: name.into(),
        file: Arc::new(TcpListener::bind("127.0.0.1:0").unwrap().into()),
    };
    let mut spec = spec(&["sockets"]);
    spec.sockets = vec![socket("http"), socket("admin")];
    let expected = "2 1 http:admin\n3 socket\n4 socket\n5 closed\n";
    assert_eq!(run(&spec).output, expected);
}

#[test]
fn a_private_network_has_a_loopback_with_ports_for_all() {
    assert_eq!(
        run(&spec(&["loopback"])).output,
        "bind port 80: DONE\nconnect: DONE\n"
    );
    let mut none = spec(&["loopback"]);
    none.network = Network::None;
    assert!(run(&none).output.contains("connect: refused"));
}

#[test]
fn a_fork_bomb_ends_at_the_limit_or_the_limit_is_refused() {
    let mut spec = spec(&["bomb"]);
    spec.limits = Limits {
        pids: Some(20),
        ..Limits::default()
    };
    match begin(&spec) {
        Ok((mut container, output)) => {
            assert_eq!(container.wait().unwrap(), Exit::Code(0));
            assert_eq!(read(&output), "forks: 19\n");
        }
        Err(error) => {
            assert!(!rustix::process::geteuid().is_root(), "{error}");
            assert_eq!(
                error.to_string(),
                "the limit on processes cannot be enforced here"
            );
            assert!(error.hint().is_some());
        }
    }
}

#[test]
fn a_fork_bomb_ends_without_a_limit_of_its_own_too() {
    let output = run(&spec(&["bomb"])).output;
    let forks = output.strip_prefix("forks: ").map(str::trim);
    let forks: u32 = forks.and_then(|forks| forks.parse().ok()).expect(&output);
    assert!(forks < Limits::PIDS, "{forks}");
}

#[test]
fn only_tmpfs_and_writable_volumes_can_be_written() {
    let root = rootfs();
    let host = tempfile::tempdir_in("/tmp").unwrap();
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(host.path(), all).unwrap();
    let write = |file: &str, read_only: bool| {
        let mut spec = in_folder(root.path(), &["write", file]);
        spec.volumes = vec![Volume {
            host: host.path().to_owned(),
            target: "/data".into(),
            read_only,
        }];
        run(&spec).output
    };
    assert_eq!(write("/tmp/a", false), "/tmp/a: DONE\n");
    assert_eq!(write("/dev/shm/a", false), "/dev/shm/a: DONE\n");
    assert_eq!(write("/dev/null", false), "/dev/null: DONE\n");
    assert_eq!(write("/data/a", false), "/data/a: DONE\n");
    assert_eq!(std::fs::read(host.path().join("a")).unwrap(), b"x");
    assert_eq!(write("/data/b", true), "/data/b: refused\n");
    assert_eq!(write("/probe", false), "/probe: refused\n");
}

#[test]
fn volumes_and_tmpfs_go_where_the_image_has_nothing() {
    let root = rootfs();
    std::fs::create_dir_all(root.path().join("srv/app")).unwrap();
    std::fs::write(root.path().join("srv/app/old"), "").unwrap();
    std::os::unix::fs::symlink("/srv", root.path().join("link")).unwrap();
    let list = |folder: &str| {
        let mut names: Vec<_> = std::fs::read_dir(root.path().join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = (list(""), list("srv"), list("srv/app"));
    let host = tempfile::tempdir_in("/tmp").unwrap();
    let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(host.path(), all).unwrap();
    for place in [
        "/new",
        "/new/deep",
        "/srv/new",
        "/srv/app/new/er",
        "/link/new",
        "/tmp/in/it",
    ] {
        let mut spec = in_folder(root.path(), &["write", &format!("{place}/a")]);
        spec.volumes = vec![Volume {
            host: host.path().to_owned(),
            target: place.into(),
            read_only: false,
        }];
        assert_eq!(run(&spec).output, format!("{place}/a: DONE\n"));
        assert_eq!(std::fs::read(host.path().join("a")).unwrap(), b"x");
        std::fs::remove_file(host.path().join("a")).unwrap();
        // What was there still is, and is as little to be written as before.
        spec.arguments[2] = "/srv/app/old".into();
        assert_eq!(run(&spec).output, "/srv/app/old: refused\n");
        spec.arguments[2] = "/srv/app/more".into();
        assert_eq!(run(&spec).output, "/srv/app/more: refused\n");
        spec.arguments[2] = format!("{place}/a").into();
        spec.volumes.clear();
        spec.tmpfs.push(Tmpfs {
            target: place.into(),
            size_bytes: 1 << 20,
            mode: 0o1777,
            executable: false,
        });
        if !place.starts_with("/tmp") {
            assert_eq!(run(&spec).output, format!("{place}/a: DONE\n"));
        }
    }
    let file = host.path().join("file");
    std::fs::write(&file, "").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let mut spec = in_folder(root.path(), &["write", "/srv/app/file"]);
    spec.volumes = vec![Volume {
        host: file.clone(),
        target: "/srv/app/file".into(),
        read_only: false,
    }];
    assert_eq!(run(&spec).output, "/srv/app/file: DONE\n");
    assert_eq!((list(""), list("srv"), list("srv/app")), before);
}

#[test]
fn a_mount_point_that_is_a_link_leads_nowhere_outside() {
    let root = rootfs();
    std::fs::remove_dir(root.path().join("data")).unwrap();
    std::os::unix::fs::symlink("../../../../../tmp", root.path().join("data")).unwrap();
    std::fs::remove_dir(root.path().join("sys")).unwrap();
    std::os::unix::fs::symlink("/proc/1/root", root.path().join("sys")).unwrap();
    let mut spec = in_folder(root.path(), &["write", "/tmp/a"]);
    spec.tmpfs.push(Tmpfs {
        target: "/data".into(),
        size_bytes: 4096,
        mode: 0o1777,
        executable: false,
    });
    // The one over /data covers the container's own /tmp; /sys has no place.
    let error = begin(&spec).err().map(|error| error.to_string());
    assert_eq!(
        error.as_deref(),
        Some("mounting /sys: too many levels of symbolic links")
    );
}

#[test]
fn a_program_behind_a_link_of_proc_is_refused() {
    // It would be ounce itself (CVE-2019-5736).
    let mut spec = spec(&[]);
    spec.arguments = words(&["/proc/self/exe"]);
    let error = begin(&spec).unwrap_err();
    assert_eq!(error.exit_code(), 126);
    assert_eq!(
        error.to_string(),
        "executing /proc/self/exe: too many levels of symbolic links"
    );
}
