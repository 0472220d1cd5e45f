//! Who is who in the cluster: one authority, a certificate for each part, and the
//! kubeconfig by which that part reaches the API server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::tool::{command, read};

/// Where the API server answers.
const SERVER: &str = "https://10.99.0.1:6443";

/// A folder of keys, certificates and kubeconfigs.
#[derive(Debug)]
pub(super) struct Keys {
    folder: PathBuf,
}

impl Keys {
    /// The authority, and a key by which accounts within the cluster are signed.
    pub(super) fn new(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let keys = Self {
            folder: folder.to_path_buf(),
        };
        let mut authority = keys.openssl(&["req", "-x509", "-days", "2", "-subj", "/CN=cluster"]);
        keys.new_key(&mut authority, "ca");
        read(authority.arg("-out").arg(keys.path("ca.crt")))?;
        let mut accounts = keys.openssl(&["genpkey", "-algorithm", "EC", "-out"]);
        accounts.arg(keys.path("accounts.key"));
        read(accounts.args(["-pkeyopt", "ec_paramgen_curve:P-256"]))?;
        let mut public = keys.openssl(&["pkey", "-pubout", "-in"]);
        public.arg(keys.path("accounts.key"));
        read(public.arg("-out").arg(keys.path("accounts.pub")))?;
        Ok(keys)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A path as an option of a program.
    pub(super) fn option(&self, option: &str, name: &str) -> String {
        format!("--{option}={}", self.path(name).display())
    }

    fn openssl(&self, words: &[&str]) -> std::process::Command {
        let mut openssl = command(&["openssl"]);
        openssl.args(words);
        openssl
    }

    fn new_key(&self, openssl: &mut std::process::Command, name: &str) {
        openssl
            .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
            .arg("-nodes")
            .arg("-keyout")
            .arg(self.path(&format!("{name}.key")));
    }

    /// A certificate for `subject`, who answers by these names, if by any.
    pub(super) fn certify(&self, name: &str, subject: &str, answers_by: &str) -> Result<()> {
        let request = self.path(&format!("{name}.csr"));
        let mut ask = self.openssl(&["req", "-subj", subject]);
        self.new_key(&mut ask, name);
        read(ask.arg("-out").arg(&request))?;
        let extensions = self.path(&format!("{name}.ext"));
        let mut text = "extendedKeyUsage=clientAuth,serverAuth\n".to_owned();
        if !answers_by.is_empty() {
            text.push_str(&format!("subjectAltName={answers_by}\n"));
        }
        fs::write(&extensions, text)?;
        let mut sign = self.openssl(&["x509", "-req", "-days", "2", "-CAcreateserial"]);
        sign.arg("-in").arg(request);
        sign.arg("-CA").arg(self.path("ca.crt"));
        sign.arg("-CAkey").arg(self.path("ca.key"));
        sign.arg("-extfile").arg(extensions);
        let certificate = self.path(&format!("{name}.crt"));
        read(sign.arg("-out").arg(certificate)).map(|_| ())
    }

    /// A certificate for a client, and its kubeconfig.
    pub(super) fn client(&self, name: &str, subject: &str) -> Result<PathBuf> {
        self.certify(name, subject, "")?;
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: cluster\n\
             contexts: [{{name: cluster, context: {{cluster: cluster, user: {name}}}}}]\n\
             clusters: [{{name: cluster, cluster: {{server: '{SERVER}', certificate-authority: ca.crt}}}}]\n\
             users: [{{name: {name}, user: {{client-certificate: {name}.crt, client-key: {name}.key}}}}]\n"
        );
        let path = self.path(&format!("{name}.conf"));
        fs::write(&path, text)?;
        Ok(path)
    }
}
