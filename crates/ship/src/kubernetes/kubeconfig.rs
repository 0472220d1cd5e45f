//! A kubeconfig: which cluster, who we are to it, which namespace.
//!
//! Files are merged as kubectl does it: what the first has, counts. A credential
//! is kept out of every message. A cluster that is not to be verified is refused.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ounce_oci::fetch::Identity;
use serde_json::Value;

use crate::reading::{ReadingError, documents};

/// Where a cluster answers and who we are to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The context's name.
    pub context: String,
    /// Its API server's address.
    pub server: String,
    /// The namespace that the context means.
    pub namespace: Option<String>,
    /// What leads there, in place of what the environment says.
    pub proxy: Option<String>,
    /// The authority of the server's certificate, PEM; the host's where it is absent.
    pub authority: Option<Vec<u8>>,
    /// Who we are, by a certificate.
    pub identity: Option<Identity>,
    /// Who we are, by a header.
    pub authorization: Option<Hidden>,
}

/// A credential; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub(crate) String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// There is no way to a cluster.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    /// There is no file.
    #[error("there is no kubeconfig (looked for {})", looked.display())]
    Missing {
        /// The place of the last.
        looked: PathBuf,
    },
    /// A file cannot be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file is no kubeconfig.
    #[error("{path} is no kubeconfig")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: ReadingError,
    },
    /// No context is chosen.
    #[error("the kubeconfig chooses no context, and none was told")]
    NoContext {
        /// Those there are.
        known: Vec<String>,
    },
    /// A name leads nowhere.
    #[error("the kubeconfig has no {what} {name:?}")]
    Unknown {
        /// `context`, `cluster`, `user`.
        what: &'static str,
        /// What was looked for.
        name: String,
        /// Those there are.
        known: Vec<String>,
    },
    /// A value is of no use.
    #[error("{what} {name:?} of the kubeconfig: {why}")]
    Invalid {
        /// `cluster`, `user`.
        what: &'static str,
        /// Whose.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A program that gives credentials did not.
    #[error("{command} gave no credential: {why}")]
    Program {
        /// The program.
        command: String,
        /// Why not.
        why: String,
    },
}

impl KubeconfigError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let listed = |known: &[String]| match known {
            [] => None,
            known => Some(format!("there are: {}", known.join(", "))),
        };
        match self {
            Self::Missing { .. } => Some(
                "say where with --kubeconfig FILE or $KUBECONFIG; without --apply the manifests \
                 are printed"
                    .to_owned(),
            ),
            Self::NoContext { known } | Self::Unknown { known, .. } => {
                listed(known).map(|list| format!("choose one with --context; {list}"))
            }
            Self::Program { .. } => Some("log in as your cluster's provider says".to_owned()),
            _ => None,
        }
    }
}

/// A part of a kubeconfig, and the folder that its paths start from.
#[derive(Clone)]
struct Part {
    value: Value,
    folder: PathBuf,
}

impl Part {
    fn text(&self, name: &str) -> Option<&str> {
        self.value
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
    }

    /// What stands under `NAME-data` in base64, or in the file of `NAME`.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
        if let Some(text) = self.text(&format!("{name}-data")) {
            let bytes = STANDARD.decode(text.trim());
            return bytes
                .map(Some)
                .map_err(|_| format!("{name}-data is not base64"));
        }
        let Some(path) = self.text(name) else {
            return Ok(None);
        };
        let path = self.folder.join(path);
        fs::read(&path)
            .map(Some)
            .map_err(|error| format!("reading {}: {error}", path.display()))
    }
}

/// Reads files and follows a context: the one told, else the current one.
///
/// # Errors
/// There is no file, it is none, or what it says leads nowhere.
pub fn access(paths: &[PathBuf], context: Option<&str>) -> Result<Access, KubeconfigError> {
    let files = read(paths)?;
    let current = || {
        let mut named = files.iter().map(|file| file.text("current-context"));
        named.find_map(|name| name.map(str::to_owned))
    };
    let chosen = context.map(str::to_owned).or_else(current);
    let chosen = chosen.ok_or_else(|| KubeconfigError::NoContext {
        known: names(&files, "contexts"),
    })?;
    let context = find(&files, "contexts", "context", &chosen)?;
    let missing = |why: &str| KubeconfigError::Invalid {
        what: "context",
        name: chosen.clone(),
        why: why.to_owned(),
    };
    let cluster_name = context
        .text("cluster")
        .ok_or_else(|| missing("it names no cluster"))?;
    let cluster = find(&files, "clusters", "cluster", cluster_name)?;
    let of_cluster = |why: String| KubeconfigError::Invalid {
        what: "cluster",
        name: cluster_name.to_owned(),
        why,
    };
    let server = cluster
        .text("server")
        .ok_or_else(|| of_cluster("it has no server".to_owned()))?;
    if cluster.value.get("insecure-skip-tls-verify") == Some(&Value::Bool(true)) {
        let why = "insecure-skip-tls-verify would give our credential to whoever answers; give \
                   its certificate-authority";
        return Err(of_cluster(why.to_owned()));
    }
    if cluster.text("tls-server-name").is_some() {
        let why = "tls-server-name is not followed: name the server as its certificate does";
        return Err(of_cluster(why.to_owned()));
    }
    let mut access = Access {
        proxy: cluster.text("proxy-url").map(str::to_owned),
        server: server.trim_end_matches('/').to_owned(),
        namespace: context.text("namespace").map(str::to_owned),
        authority: cluster.bytes("certificate-authority").map_err(of_cluster)?,
        identity: None,
        authorization: None,
        context: chosen.clone(),
    };
    if let Some(user_name) = context.text("user") {
        let user = find(&files, "users", "user", user_name)?;
        log_in(&mut access, &user, user_name)?;
    }
    Ok(access)
}

fn read(paths: &[PathBuf]) -> Result<Vec<Part>, KubeconfigError> {
    let mut files = Vec::new();
    for path in paths {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => {
                return Err(KubeconfigError::Read {
                    path: path.clone(),
                    source,
                });
            }
        };
        let text = String::from_utf8_lossy(&bytes);
        let documents = documents(&text).map_err(|source| KubeconfigError::Syntax {
            path: path.clone(),
            source,
        })?;
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        files.extend(documents.into_iter().map(|value| Part {
            value,
            folder: folder.clone(),
        }));
    }
    match files.is_empty() {
        true => Err(KubeconfigError::Missing {
            looked: paths.last().cloned().unwrap_or_default(),
        }),
        false => Ok(files),
    }
}

fn entries<'a>(file: &'a Part, list: &str) -> impl Iterator<Item = &'a Value> {
    let list = file.value.get(list).and_then(Value::as_array);
    list.into_iter().flatten()
}

fn names(files: &[Part], list: &str) -> Vec<String> {
    let all = files.iter().flat_map(|file| entries(file, list));
    let named = all.filter_map(|entry| entry.get("name").and_then(Value::as_str));
    named.map(str::to_owned).collect()
}

fn find(
    files: &[Part],
    list: &str,
    what: &'static str,
    name: &str,
) -> Result<Part, KubeconfigError> {
    for file in files {
        for entry in entries(file, list) {
            if entry.get("name").and_then(Value::as_str) == Some(name) {
                return Ok(Part {
                    value: entry.get(what).cloned().unwrap_or_default(),
                    folder: file.folder.clone(),
                });
            }
        }
    }
    Err(KubeconfigError::Unknown {
        what,
        name: name.to_owned(),
        known: names(files, list),
    })
}

fn log_in(access: &mut Access, user: &Part, name: &str) -> Result<(), KubeconfigError> {
    let invalid = |why: String| KubeconfigError::Invalid {
        what: "user",
        name: name.to_owned(),
        why,
    };
    let certificate = user.bytes("client-certificate").map_err(invalid)?;
    let key = user.bytes("client-key").map_err(invalid)?;
    access.identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (None, None) => None,
        _ => {
            return Err(invalid(
                "it has a certificate or a key, not both".to_owned(),
            ));
        }
    };
    let mut token = user.text("token").map(str::to_owned);
    if token.is_none()
        && let Some(path) = user.text("tokenFile")
    {
        let path = user.folder.join(path);
        let read = fs::read_to_string(&path);
        let read = read.map_err(|error| invalid(format!("reading {}: {error}", path.display())))?;
        token = Some(read.trim().to_owned());
    }
    if let Some(token) = token {
        access.authorization = Some(Hidden(format!("Bearer {token}")));
    } else if let (Some(user), Some(word)) = (user.text("username"), user.text("password")) {
        let both = STANDARD.encode(format!("{user}:{word}"));
        access.authorization = Some(Hidden(format!("Basic {both}")));
    } else if let Some(exec) = user.value.get("exec") {
        by_program(access, exec, &user.folder)?;
    } else if access.identity.is_none() && user.value.get("auth-provider").is_some() {
        return Err(invalid(
            "auth-provider is gone from kubectl, too: use exec".to_owned(),
        ));
    }
    Ok(())
}

/// Asks a program for a credential, as client-go's `exec` does
/// (client.authentication.k8s.io).
fn by_program(access: &mut Access, exec: &Value, folder: &Path) -> Result<(), KubeconfigError> {
    let text = |value: &Value, name: &str| {
        let text = value.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let name = text(exec, "command");
    let failed = |why: String| KubeconfigError::Program {
        command: name.clone(),
        why,
    };
    if name.is_empty() {
        return Err(failed("the kubeconfig names no command".to_owned()));
    }
    // A relative path with a slash starts from the file; a bare name is looked up.
    let program = match name.contains('/') {
        true => folder.join(&name),
        false => PathBuf::from(&name),
    };
    let version = text(exec, "apiVersion");
    let info = serde_json::json!({
        "apiVersion": version, "kind": "ExecCredential", "spec": {"interactive": false}
    });
    let mut command = Command::new(program);
    command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .env("KUBERNETES_EXEC_INFO", info.to_string());
    for word in exec
        .get("args")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        command.arg(word.as_str().unwrap_or_default());
    }
    for pair in exec
        .get("env")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        command.env(text(pair, "name"), text(pair, "value"));
    }
    let output = command
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("it ended with {}", output.status)));
    }
    let said: Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("what it says is not JSON".to_owned()))?;
    let status = said.get("status").cloned().unwrap_or_default();
    let (token, certificate, key) = (
        text(&status, "token"),
        text(&status, "clientCertificateData"),
        text(&status, "clientKeyData"),
    );
    if !token.is_empty() {
        access.authorization = Some(Hidden(format!("Bearer {token}")));
    }
    if !certificate.is_empty() && !key.is_empty() {
        access.identity = Some(Identity {
            certificate: certificate.into_bytes(),
            key: key.into_bytes(),
        });
    }
    match access.authorization.is_some() || access.identity.is_some() {
        true => Ok(()),
        false => Err(failed(
            "there is neither token nor certificate in it".to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn file(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const CONFIG: &str = "\
apiVersion: v1
kind: Config
current-context: home
contexts:
  - name: home
    context: {cluster: home, user: me, namespace: shop}
  - name: work
    context: {cluster: work, user: program}
  - name: nowhere
    context: {cluster: gone}
  - name: open
    context: {cluster: unverified}
  - name: renamed
    context: {cluster: renamed}
clusters:
  - name: home
    cluster: {server: 'https://10.0.0.1:6443/', certificate-authority: ca.pem}
  - name: work
    cluster: {server: https://work.example}
  - name: unverified
    cluster: {server: https://x.example, insecure-skip-tls-verify: true}
  - name: renamed
    cluster: {server: https://x.example, tls-server-name: y.example}
users:
  - name: me
    user: {client-certificate-data: Q0VSVA==, client-key-data: S0VZ}
  - name: program
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: ./login
        args: [a word]
        env: [{name: WHO, value: me}]
";

    #[test]
    fn context_leads_to_a_cluster_and_a_certificate() {
        let folder = Folder::new("kubeconfig-context");
        folder.file("ca.pem", "AUTHORITY");
        let path = folder.file("config", CONFIG);
        let missing = folder.0.join("none");
        let access = access(&[missing, path], None).unwrap();
        assert_eq!(access.server, "https://10.0.0.1:6443");
        assert_eq!(access.namespace.as_deref(), Some("shop"));
        assert_eq!(access.authority.as_deref(), Some(&b"AUTHORITY"[..]));
        let identity = access.identity.clone().unwrap();
        assert_eq!(
            (&identity.certificate[..], &identity.key[..]),
            (&b"CERT"[..], &b"KEY"[..])
        );
        let shown = format!("{access:?}");
        assert!(
            !shown.contains("75, 69, 89") && !shown.contains("KEY"),
            "{shown}"
        );
    }

    #[test]
    fn program_is_asked_for_a_token_that_is_never_shown() {
        let folder = Folder::new("kubeconfig-program");
        let path = folder.file("config", CONFIG);
        let program = folder.file(
            "login",
            "#!/bin/sh\n[ \"$1\" = 'a word' ] && [ \"$WHO\" = me ] || exit 3\n\
             echo '{\"status\": {\"token\": \"hush\"}}'\n",
        );
        // Another process makes it executable: see the workbench of the command line.
        let made = Command::new("chmod")
            .arg("755")
            .arg(&program)
            .status()
            .unwrap();
        assert!(made.success());
        let access = access(&[path], Some("work")).unwrap();
        assert_eq!(access.authorization, Some(Hidden("Bearer hush".to_owned())));
        assert!(!format!("{access:?}").contains("hush"));
    }

    #[test]
    fn what_leads_nowhere_is_told_with_what_there_is() {
        let folder = Folder::new("kubeconfig-nowhere");
        let path = folder.file("config", CONFIG);
        let error = access(std::slice::from_ref(&path), Some("hoem")).unwrap_err();
        assert!(error.hint().unwrap().contains("home, work"), "{error}");
        for (context, part) in [
            ("nowhere", "cluster \"gone\""),
            ("open", "insecure-skip"),
            ("renamed", "tls-server-name"),
        ] {
            let error = access(std::slice::from_ref(&path), Some(context)).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
        let error = access(&[folder.0.join("none")], None).unwrap_err();
        assert!(matches!(error, KubeconfigError::Missing { .. }), "{error}");
        let broken = folder.file("broken", "contexts: [");
        let error = access(&[broken], None).unwrap_err();
        assert!(matches!(error, KubeconfigError::Syntax { .. }), "{error}");
        let empty = folder.file("empty", "a: b");
        let error = access(&[empty], None).unwrap_err();
        assert!(
            matches!(error, KubeconfigError::NoContext { .. }),
            "{error}"
        );
    }
}
