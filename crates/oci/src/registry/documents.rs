//! Manifests and indexes as they stand in a registry: asked for, read, put, deleted.

use ureq::http::Method;
use ureq::http::header::{ACCEPT, CONTENT_TYPE, HeaderName};

use super::api::{Action, Ask, Registry, Session};
use super::fault::RegistryError;
use super::remote::Remote;
use crate::Digest;
use crate::fetch::{FetchError, Watch};
use crate::model::{DOCUMENT_LIMIT, Descriptor, MediaType, descriptor};

/// What is read, best first. Docker's own are the second and the fourth.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub(super) const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");

/// A manifest or an index: its bytes, and what they are.
#[derive(Debug, Clone)]
pub struct Document {
    /// Media type, digest and size.
    pub descriptor: Descriptor,
    /// The digest, typed.
    pub digest: Digest,
    /// As the registry has them.
    pub bytes: Vec<u8>,
}

impl Registry {
    /// Reads the manifest or the index that `remote` names, verified if it is pinned.
    ///
    /// # Errors
    /// There is none, it may not be read, or it is not what was asked for.
    pub fn manifest(&self, remote: &Remote) -> Result<Document, RegistryError> {
        let session = self.session(remote, Action::Pull, &[])?;
        session.manifest(remote, None, &mut Watch::none(&mut |_| {}))
    }

    /// The digest of what `remote` names, without reading it; `None` where there is none.
    ///
    /// # Errors
    /// It may not be read, or the registry cannot be reached.
    pub fn digest(&self, remote: &Remote) -> Result<Option<Digest>, RegistryError> {
        let session = self.session(remote, Action::Pull, &[])?;
        session.digest(&remote.asked(), &mut Watch::none(&mut |_| {}))
    }

    /// Deletes what `remote` names: the tag, or all that has the digest.
    ///
    /// # Errors
    /// There is none, or the registry does not delete.
    pub fn delete(&self, remote: &Remote) -> Result<(), RegistryError> {
        let session = self.session(remote, Action::Delete, &[])?;
        let mut tell = |_| {};
        let mut watch = Watch::none(&mut tell);
        let mut url = session.url(&format!("manifests/{}", remote.asked()))?;
        let mut answer = session.ask(&Ask::new(Method::DELETE, url), &mut watch)?;
        // Many delete by digest only (the specification lets them).
        if remote.digest().is_none()
            && matches!(answer.status, 400 | 405)
            && let Some(digest) = session.digest(&remote.asked(), &mut watch)?
        {
            url = session.url(&format!("manifests/{digest}"))?;
            answer = session.ask(&Ask::new(Method::DELETE, url), &mut watch)?;
        }
        match answer.status {
            200..=299 => Ok(()),
            _ => Err(session.refusal(answer, &remote.to_string())),
        }
    }
}

impl Session<'_> {
    /// Reads a document; `expected` is what an index says of it.
    pub(super) fn manifest(
        &self,
        remote: &Remote,
        expected: Option<&Descriptor>,
        watch: &mut Watch<'_>,
    ) -> Result<Document, RegistryError> {
        let asked = remote.asked();
        let mut ask = Ask::new(Method::GET, self.url(&format!("manifests/{asked}"))?);
        ask.headers.push((ACCEPT, ACCEPTED.to_owned()));
        if let Some(expected) = expected {
            let media_type = expected.media_type().to_string();
            ask.headers = vec![(ACCEPT, media_type)];
        }
        let limit = expected.map_or(DOCUMENT_LIMIT, |expected| expected.size());
        let (answer, bytes) = self.ask_bytes(&ask, limit.min(DOCUMENT_LIMIT), watch)?;
        if !answer.is_good() {
            return Err(self.refusal(answer, &remote.to_string()));
        }
        let digest = Digest::of(&bytes);
        let url = || answer.url.to_string();
        if let Some(stated) = remote.digest()
            && *stated != digest
        {
            return Err(FetchError::Corrupt {
                url: url(),
                expected: *stated,
                actual: digest,
            }
            .into());
        }
        if let Some(Ok(stated)) = answer.header(&CONTENT_DIGEST).map(str::parse::<Digest>)
            && stated != digest
        {
            return Err(FetchError::Corrupt {
                url: url(),
                expected: stated,
                actual: digest,
            }
            .into());
        }
        let media_type = match expected {
            Some(expected) => expected.media_type().clone(),
            None => media_type(answer.header(&CONTENT_TYPE), &bytes).ok_or_else(|| {
                RegistryError::Answer {
                    url: url(),
                    why: "it is no manifest: it has no media type".to_owned(),
                }
            })?,
        };
        Ok(Document {
            descriptor: descriptor(media_type, &digest, bytes.len() as u64),
            digest,
            bytes,
        })
    }

    /// The digest of what has a name.
    pub(super) fn digest(
        &self,
        name: &str,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Digest>, RegistryError> {
        let mut ask = Ask::new(Method::HEAD, self.url(&format!("manifests/{name}"))?);
        ask.headers.push((ACCEPT, ACCEPTED.to_owned()));
        let answer = self.ask(&ask, watch)?;
        match answer.status {
            200..=299 => {
                let stated = answer.header(&CONTENT_DIGEST);
                if let Some(Ok(digest)) = stated.map(str::parse::<Digest>) {
                    return Ok(Some(digest));
                }
                // Some say it only when asked for the whole.
                ask.method = Method::GET;
                let (_, bytes) = self.ask_bytes(&ask, DOCUMENT_LIMIT, watch)?;
                Ok(Some(Digest::of(&bytes)))
            }
            404 => Ok(None),
            _ => Err(self.refusal(answer, "")),
        }
    }

    /// Puts a document under a tag or its digest, and says whether the registry has
    /// taken notice of its subject.
    pub(super) fn put(
        &self,
        document: &Document,
        name: &str,
        watch: &mut Watch<'_>,
    ) -> Result<bool, RegistryError> {
        let mut ask = Ask::new(Method::PUT, self.url(&format!("manifests/{name}"))?);
        let media_type = document.descriptor.media_type().to_string();
        ask.body = Some((&media_type, &document.bytes));
        let answer = self.ask(&ask, watch)?;
        if !answer.is_good() {
            return Err(self.refusal(answer, ""));
        }
        if let Some(Ok(stated)) = answer.header(&CONTENT_DIGEST).map(str::parse::<Digest>)
            && stated != document.digest
        {
            return Err(RegistryError::Mismatch {
                what: answer.url.to_string(),
                stated: document.digest.to_string(),
                actual: stated.to_string(),
            });
        }
        Ok(answer.header(&OCI_SUBJECT).is_some())
    }
}

/// What the header says, unless it says nothing of use: then what the document
/// says of itself. Whether the two agree is looked at where it is read.
fn media_type(header: Option<&str>, bytes: &[u8]) -> Option<MediaType> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Own {
        media_type: Option<String>,
    }
    let header = header.map(|text| text.split(';').next().unwrap_or_default().trim());
    let useful = header.filter(|kind| kind.contains("vnd."));
    let text = match useful {
        Some(kind) => Some(kind.to_owned()),
        None => serde_json::from_slice::<Own>(bytes).ok()?.media_type,
    };
    text.map(|text| MediaType::from(text.as_str()))
}
