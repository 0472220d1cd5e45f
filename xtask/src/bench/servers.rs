//! The web servers that are measured beside ours: how each is found, its
//! version, its settings and the command that starts it in the foreground.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::host;
use super::options::Options;
use super::peers;
use super::rounds::{Absent, Row};

/// The command that serves on a port.
pub(crate) type Start = Box<dyn Fn(u16) -> Result<Command>>;

/// Finds out about a server and adds it.
type Join = fn(&mut Servers, &Ground<'_>, PathBuf) -> Result<()>;

/// A server with its settings.
pub(crate) struct Server {
    pub(crate) row: Row,
    /// Whether it takes part in every table, or only in the first and that of memory.
    pub(crate) is_variant: bool,
    /// Whether it keeps connections open.
    pub(crate) keeps_alive: bool,
    /// Whether it answers requests that were sent together.
    pub(crate) pipelines: bool,
    pub(crate) start: Start,
    /// The same with the packed site on disk, where its pages are clean, as they
    /// are in an image: pages in memory that are mapped count as dirty.
    pub(crate) start_from_disk: Option<Start>,
}

/// The same packed site twice.
#[derive(Debug, Clone)]
pub(crate) struct PackedSite {
    /// Where the folder is, too.
    pub(crate) beside: PathBuf,
    /// On disk, written back.
    pub(crate) on_disk: PathBuf,
    /// The server that stands beside it in the image.
    pub(crate) server: PathBuf,
}

/// Everybody who could be had, ours first.
#[derive(Default)]
pub(crate) struct Servers {
    pub(crate) all: Vec<Server>,
    pub(crate) absent: Vec<Absent>,
    pub(crate) versions: Vec<(String, String)>,
}

/// What the servers are made from.
pub(crate) struct Ground<'a> {
    pub(crate) options: &'a Options,
    /// Our server.
    pub(crate) httpd: &'a Path,
    /// The folder that all of them serve.
    pub(crate) site: &'a Path,
    /// The same folder as one packed file, or why there is none.
    pub(crate) packed: Result<PackedSite>,
    /// Where settings and what servers must write are kept.
    pub(crate) folder: &'a Path,
}

impl Servers {
    /// Finds everybody.
    pub(crate) fn gather(ground: Ground<'_>) -> Result<Servers> {
        let mut servers = Servers::default();
        servers.ours(&ground)?;
        let joins: [(&str, Join); 5] = [
            ("nginx", Servers::nginx),
            ("lighttpd", Servers::lighttpd),
            ("busybox", Servers::busybox),
            ("darkhttpd", Servers::darkhttpd),
            ("static-web-server", Servers::static_web_server),
        ];
        for (name, join) in joins {
            if !ground.options.wants(name) {
                continue;
            }
            let given = ground.options.program(name);
            let joined = given
                .map_or_else(|| peers::find(name), Ok)
                .and_then(|program| join(&mut servers, &ground, program));
            if let Err(error) = joined {
                servers.absent.push(Absent::new(name, format!("{error:#}")));
            }
        }
        Ok(servers)
    }

    fn version(&mut self, name: &str, version: Option<String>) {
        let version = version.unwrap_or_else(|| "version unknown".to_owned());
        self.versions.push((name.to_owned(), version));
    }

    fn ours(&mut self, ground: &Ground<'_>) -> Result<()> {
        let bytes = fs::metadata(ground.httpd)?.len();
        self.version("ounce httpd", Some(format!("{bytes} bytes")));
        let help = peers::run(Command::new(ground.httpd).arg("--help")).unwrap_or_default();
        let mut add = |key: &str, remark: &str, flags: &[&'static str], packed| {
            let title = ["ounce httpd"].into_iter().chain(flags.iter().copied());
            let title = title.collect::<Vec<_>>().join(" ");
            let site: Option<&PackedSite> = packed;
            let title = format!("{title}{}", site.map_or("", |_| ", packed site"));
            if let Some(flag) = flags.iter().find(|flag| !help.contains(**flag)) {
                let reason = format!("this httpd has no {flag}");
                self.absent.push(Absent::new(title, reason));
                return;
            }
            let start = |root: &Path| -> Start {
                let program = site.map_or(ground.httpd, |site| &site.server).to_owned();
                let (flags, root) = (flags.to_vec(), root.to_owned());
                Box::new(move |port| {
                    let mut command = Command::new(&program);
                    command.arg("--port").arg(port.to_string());
                    command.args(&flags).arg(&root);
                    Ok(command)
                })
            };
            self.all.push(Server {
                row: Row::new(key, title, remark),
                is_variant: !flags.is_empty(),
                keeps_alive: true,
                pipelines: true,
                start: start(site.map_or(ground.site, |site| &site.beside)),
                start_from_disk: site.map(|site| start(&site.on_disk)),
            });
        };
        add("ounce", "no log; looks at the file each time", &[], None);
        add("ounce-log", "access log, discarded", &["--log"], None);
        add(
            "ounce-tiny",
            "no log; one page of memory",
            &["--tiny"],
            None,
        );
        match &ground.packed {
            Ok(site) => {
                let remark = "no log; heads made beforehand";
                add("packed", remark, &[], Some(site));
            }
            Err(error) => {
                let absent = Absent::new("ounce httpd, packed site", format!("{error:#}"));
                self.absent.push(absent);
            }
        }
        Ok(())
    }

    fn nginx(&mut self, ground: &Ground<'_>, program: PathBuf) -> Result<()> {
        self.version("nginx", said(&program, "-v"));
        let site = ground.site.display();
        // What Debian's file says, with one worker and a root of our own.
        let common = "access_log off;";
        for (key, title, remark, extra, is_variant) in [
            (
                "nginx",
                "nginx as installed",
                "Debian's settings (sendfile, tcp_nopush, gzip), one worker, log off; ETag",
                common,
                false,
            ),
            (
                "nginx-log",
                "nginx as installed, log on",
                "the same with Debian's access log, to a file in memory",
                "",
                true,
            ),
            (
                "nginx-tuned",
                "nginx with open_file_cache",
                "the same, log off, open files and errors kept for 60 s: a change is seen late; keepalive_requests 1000000",
                "access_log off; open_file_cache max=1000; open_file_cache_errors on; keepalive_requests 1000000;",
                false,
            ),
        ] {
            let folder = ground.folder.join(key);
            fs::create_dir_all(&folder)?;
            let (program, extra, site) = (program.clone(), extra.to_owned(), site.to_string());
            self.all.push(Server {
                row: Row::new(key, title, remark),
                is_variant,
                keeps_alive: true, pipelines: true,
                start: Box::new(move |port| {
                    let at = folder.display();
                    let log = if extra.is_empty() {
                        format!("access_log {at}/access.log;")
                    } else {
                        extra.clone()
                    };
                    let text = format!(
                        "user {user};\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/error.log;\ndaemon off;\n\
                         events {{ worker_connections 4096; }}\n\
                         http {{\nsendfile on;\ntcp_nopush on;\ntypes_hash_max_size 2048;\n\
                         include /etc/nginx/mime.types;\ndefault_type application/octet-stream;\ngzip on;\n{log}\n\
                         client_body_temp_path {at}/body;\nproxy_temp_path {at}/proxy;\nfastcgi_temp_path {at}/fastcgi;\n\
                         uwsgi_temp_path {at}/uwsgi;\nscgi_temp_path {at}/scgi;\n\
                         server {{\nlisten {port} default_server;\nlisten [::]:{port} default_server;\nroot {site};\n\
                         index index.html index.htm;\nserver_name _;\n\
                         location / {{ try_files $uri $uri/ =404; }}\n}}\n}}\n",
                        user = if rustix::process::geteuid().is_root() { "www-data" } else { "nobody" },
                    );
                    let file = folder.join(format!("{port}.conf"));
                    fs::write(&file, text)?;
                    let mut command = Command::new(&program);
                    command.arg("-e").arg(folder.join("error.log"));
                    command.arg("-p").arg(&folder).arg("-c").arg(&file);
                    Ok(command)
                }),
                start_from_disk: None,
            });
        }
        Ok(())
    }

    fn lighttpd(&mut self, ground: &Ground<'_>, program: PathBuf) -> Result<()> {
        self.version("lighttpd", host::version(&program, &["-v"]));
        let (folder, site) = (ground.folder.join("lighttpd"), ground.site.to_owned());
        fs::create_dir_all(&folder)?;
        self.all.push(Server {
            row: Row::new(
                "lighttpd",
                "lighttpd",
                "Debian's settings, root and port changed (no access log); files' facts kept 2 s; ETag",
            ),
            is_variant: false,
            keeps_alive: true, pipelines: true,
            start: Box::new(move |port| {
                let text = format!(
                    "server.modules = (\"mod_indexfile\", \"mod_access\", \"mod_alias\", \"mod_redirect\")\n\
                     server.document-root = \"{site}\"\nserver.errorlog = \"{at}/error.log\"\n\
                     server.pid-file = \"{at}/pid\"\nserver.port = {port}\n\
                     server.feature-flags += (\"server.h2proto\" => \"enable\", \"server.h2c\" => \"enable\", \
                     \"server.graceful-shutdown-timeout\" => 5)\n\
                     server.http-parseopts = (\"header-strict\" => \"enable\", \"host-strict\" => \"enable\", \
                     \"host-normalize\" => \"enable\", \"url-normalize-unreserved\" => \"enable\", \
                     \"url-normalize-required\" => \"enable\", \"url-ctrls-reject\" => \"enable\", \
                     \"url-path-2f-decode\" => \"enable\", \"url-path-dotseg-remove\" => \"enable\")\n\
                     index-file.names = (\"index.php\", \"index.html\")\n\
                     url.access-deny = (\"~\", \".inc\")\n\
                     static-file.exclude-extensions = (\".php\", \".pl\", \".fcgi\")\n\
                     mimetype.assign = (\".html\" => \"text/html\", \".bin\" => \"application/octet-stream\")\n\
                     server.modules += (\"mod_dirlisting\", \"mod_staticfile\")\n",
                    site = site.display(),
                    at = folder.display()
                );
                let file = folder.join(format!("{port}.conf"));
                fs::write(&file, text)?;
                let mut command = Command::new(&program);
                command.arg("-D").arg("-f").arg(&file);
                Ok(command)
            }),
            start_from_disk: None,
        });
        Ok(())
    }

    fn busybox(&mut self, ground: &Ground<'_>, program: PathBuf) -> Result<()> {
        let words = Command::new(&program).arg("--list").output();
        let list = words.context("starting busybox")?.stdout;
        anyhow::ensure!(
            String::from_utf8_lossy(&list)
                .lines()
                .any(|word| word == "httpd"),
            "this busybox has no httpd (busybox-static has)"
        );
        let about = Command::new(&program)
            .output()
            .context("starting busybox")?;
        let about = String::from_utf8_lossy(&about.stdout).into_owned();
        self.version("busybox", about.lines().next().map(str::to_owned));
        let site = ground.site.to_owned();
        self.all.push(Server {
            row: Row::new(
                "busybox",
                "busybox httpd",
                "a process a request, no keep-alive, no log; its children's processor time is not counted",
            ),
            is_variant: false,
            keeps_alive: false, pipelines: false,
            start: Box::new(move |port| {
                let mut command = Command::new(&program);
                command.args(["httpd", "-f", "-p"]).arg(port.to_string());
                command.arg("-h").arg(&site);
                Ok(command)
            }),
            start_from_disk: None,
        });
        Ok(())
    }

    fn darkhttpd(&mut self, ground: &Ground<'_>, program: PathBuf) -> Result<()> {
        // Without arguments it tells its name and the usage.
        let about = Command::new(&program)
            .output()
            .context("starting darkhttpd")?;
        let about = String::from_utf8_lossy(&about.stdout).into_owned();
        self.version("darkhttpd", about.lines().next().map(str::to_owned));
        let site = ground.site.to_owned();
        self.all.push(Server {
            row: Row::new(
                "darkhttpd",
                "darkhttpd",
                "writes a log that cannot be turned off, discarded; no ETag; forgets all but the first of requests sent together",
            ),
            is_variant: false,
            keeps_alive: true, pipelines: false,
            start: Box::new(move |port| {
                let mut command = Command::new(&program);
                command.arg(&site).arg("--port").arg(port.to_string());
                Ok(command)
            }),
            start_from_disk: None,
        });
        Ok(())
    }

    fn static_web_server(&mut self, ground: &Ground<'_>, program: PathBuf) -> Result<()> {
        self.version("static-web-server", host::version(&program, &["--version"]));
        let site = ground.site.to_owned();
        self.all.push(Server {
            row: Row::new(
                "static-web-server",
                "static-web-server",
                "its defaults, one worker thread, log level error; no ETag",
            ),
            is_variant: false,
            keeps_alive: true,
            pipelines: true,
            start: Box::new(move |port| {
                let mut command = Command::new(&program);
                command.arg("--port").arg(port.to_string());
                command.arg("--root").arg(&site);
                command.args(["--log-level", "error", "--threads-multiplier", "1"]);
                Ok(command)
            }),
            start_from_disk: None,
        });
        Ok(())
    }
}

/// The first line a program says on stderr.
fn said(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).output().ok()?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines().next().map(str::to_owned)
}
