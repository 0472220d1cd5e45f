//! A small Alpine as packages: the same names, scripts and ties between them
//! as the true one has, with a few bytes in place of its programs.

use super::repository::{Package, Repository};

pub(crate) const BUSYBOX: &str = "1.37.0-r18";

/// A program that is not there is this.
const PROGRAM: &[u8] = b"\x7fELF not a program";

/// All packages of the base, with `busybox` as the one program that may run.
pub(crate) fn packages(busybox: &[u8]) -> Vec<Package> {
    let all_busybox = format!("busybox={BUSYBOX}");
    vec![
        Package::new("musl", "1.2.5-r10")
            .provides("so:libc.musl-x86_64.so.1=1")
            .folder("lib")
            .program("lib/ld-musl-x86_64.so.1", PROGRAM)
            .link("lib/libc.musl-x86_64.so.1", "ld-musl-x86_64.so.1"),
        Package::new("busybox", BUSYBOX)
            .depends("so:libc.musl-x86_64.so.1")
            .provides("cmd:busybox=1.37.0-r18")
            .info("replaces", "busybox-initscripts")
            .line("triggers", "/bin /usr/bin /sbin /usr/sbin /lib/modules/*")
            .script("post-install", "#!/bin/sh\n/bin/busybox --install -s\n")
            .script("trigger", "#!/bin/sh\nfor i in \"$@\"; do\n\ttrue\ndone\n")
            .script("post-upgrade", "#!/bin/sh\nfor i in a; do true; done\n")
            .folder("bin")
            .program("bin/busybox", busybox)
            .folder("etc")
            .folder("etc/busybox-paths.d")
            .file(
                "etc/busybox-paths.d/busybox",
                "bin/ash\nbin/cat\nbin/echo\nbin/ls\nbin/ln\nbin/sh\nbin/true\nsbin/init\n\
                 usr/bin/[\nusr/bin/env\nusr/bin/id\nusr/bin/test\nusr/sbin/adduser\n",
            )
            .folder_of("tmp", 0o1777)
            .folder("usr")
            .folder("usr/share")
            .folder("usr/share/udhcpc")
            .program("usr/share/udhcpc/default.script", "#!/bin/sh\n"),
        Package::new("busybox-binsh", BUSYBOX)
            .line("origin", "busybox")
            .depends(&all_busybox)
            .provides("/bin/sh cmd:sh=1.37.0-r18")
            .info("provider_priority", "100")
            .folder("bin")
            .link("bin/sh", "/bin/busybox"),
        // Another that nobody should be given unasked.
        Package::new("dash-binsh", "0.5.12-r3")
            .provides("/bin/sh cmd:sh=0.5.12-r3")
            .info("provider_priority", "60")
            .folder("bin")
            .link("bin/sh", "/usr/bin/dash"),
        Package::new("alpine-baselayout-data", "3.7.0-r0")
            .line("origin", "alpine-baselayout")
            .folder("etc")
            .file(
                "etc/group",
                "root:x:0:root\nbin:x:1:root\nshadow:x:42:\nnogroup:x:65533:\n",
            )
            .file("etc/hosts", "127.0.0.1\tlocalhost\n")
            .file(
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n",
            )
            .file("etc/shadow", "root:*::0:::::\nnobody:!::0:::::\n")
            .last(|file| (file.mode, file.owner) = (0o640, (0, 42))),
        Package::new("alpine-baselayout", "3.7.0-r0")
            .depends("alpine-baselayout-data=3.7.0-r0 /bin/sh")
            .script(
                "pre-install",
                "#!/bin/sh\n\nif [ -e /etc/shadow ]; then\n\ttrue\nfi\n",
            )
            .script(
                "post-install",
                "#!/bin/sh\nchown root:shadow etc/shadow\nexit 0\n",
            )
            .folder("dev")
            .folder("etc")
            .folder("etc/apk")
            .folder("etc/profile.d")
            .file("etc/profile.d/README", "read me\n")
            .folder_of("proc", 0o555)
            .folder_of("root", 0o700)
            .folder("run")
            .folder("sbin")
            .folder_of("sys", 0o555)
            .folder_of("tmp", 0o1777)
            .folder("usr")
            .folder("usr/bin")
            .folder("usr/sbin")
            .folder("var")
            .folder_of("var/empty", 0o555)
            .link("var/run", "../run")
            .folder_of("var/tmp", 0o1777),
        Package::new("alpine-keys", "2.5-r0")
            .info("replaces", "alpine-base")
            .folder("etc")
            .folder("etc/apk")
            .folder("etc/apk/keys")
            .file("etc/apk/keys/alpine@example.org-1.rsa.pub", "a key\n"),
        Package::new("alpine-release", "3.22.0-r0")
            .line("origin", "alpine-base")
            .depends("alpine-keys")
            .info("replaces", "alpine-base")
            .folder("etc")
            .file("etc/alpine-release", "3.22.0\n")
            .link("etc/os-release", "../usr/lib/os-release")
            .folder("usr")
            .folder("usr/lib")
            .file(
                "usr/lib/os-release",
                "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.22.0\n",
            ),
        Package::new("apk-tools", "2.14.9-r2")
            .depends(
                "musl>=1.2.3 ca-certificates-bundle so:libc.musl-x86_64.so.1 so:libcrypto.so.3",
            )
            .provides("so:libapk.so.2.14.9=2.14.9 cmd:apk=2.14.9-r2")
            .folder("lib")
            .folder("lib/apk")
            .folder("lib/apk/exec")
            .file("lib/libapk.so.2.14.9", PROGRAM)
            .folder("sbin")
            .program("sbin/apk", PROGRAM)
            .folder("etc")
            .folder("etc/apk")
            .folder("etc/apk/protected_paths.d")
            .folder("var")
            .folder("var/cache")
            .folder("var/cache/apk"),
        Package::new("ca-certificates-bundle", "20241121-r2")
            .line("origin", "ca-certificates")
            .folder("etc")
            .folder("etc/ssl")
            .folder("etc/ssl/certs")
            .file("etc/ssl/certs/ca-certificates.crt", "certificates\n")
            .link("etc/ssl/cert.pem", "certs/ca-certificates.crt"),
        Package::new("libcrypto3", "3.5.1-r0")
            .line("origin", "openssl")
            .depends("so:libc.musl-x86_64.so.1")
            .provides("so:libcrypto.so.3=3")
            .folder("usr")
            .folder("usr/lib")
            .file("usr/lib/libcrypto.so.3", PROGRAM),
        Package::new("libssl3", "3.5.1-r0")
            .line("origin", "openssl")
            .depends("so:libcrypto.so.3 so:libc.musl-x86_64.so.1")
            .provides("so:libssl.so.3=3")
            .folder("usr")
            .folder("usr/lib")
            .file("usr/lib/libssl.so.3", PROGRAM),
        Package::new("ssl_client", BUSYBOX)
            .line("origin", "busybox")
            .depends("so:libssl.so.3")
            .info("install_if", &format!("{all_busybox} libcrypto3"))
            .folder("usr")
            .folder("usr/bin")
            .program("usr/bin/ssl_client", PROGRAM),
        Package::new("musl-utils", "1.2.5-r10")
            .line("origin", "musl")
            .depends("scanelf so:libc.musl-x86_64.so.1")
            .provides("cmd:ldd=1.2.5-r10")
            .folder("usr")
            .folder("usr/bin")
            .program("usr/bin/ldd", "#!/bin/sh\n")
            .hard_link("usr/bin/ldd-again", "usr/bin/ldd"),
        Package::new("scanelf", "1.3.8-r1")
            .line("origin", "pax-utils")
            .folder("usr")
            .folder("usr/bin")
            .program("usr/bin/scanelf", PROGRAM),
        Package::new("libc-utils", "0.7.2-r5")
            .line("size", "0")
            .depends("musl-utils"),
        Package::new("redis", "8.0.1-r0")
            .depends("so:libc.musl-x86_64.so.1 /bin/sh")
            .script(
                "pre-install",
                "#!/bin/sh\naddgroup -S redis 2>/dev/null\nadduser -S -D -H -h /var/lib/redis \
                 -s /sbin/nologin -G redis -g redis redis 2>/dev/null\nexit 0\n",
            )
            .script("post-install", "#!/bin/sh\nrc-update add redis default\n")
            .folder("usr")
            .folder("usr/bin")
            .program("usr/bin/redis-server", PROGRAM)
            .folder("var")
            .folder("var/lib")
            .folder_of("var/lib/redis", 0o750)
            .last(|file| file.owner = (100, 100)),
    ]
}

/// Their repository, published.
pub(crate) fn repository(folder: &std::path::Path, busybox: &[u8]) -> Repository {
    let mut repository = Repository::new(folder);
    for package in packages(busybox) {
        repository.add(&package);
    }
    repository.publish();
    repository
}
