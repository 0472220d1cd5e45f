//! Tags of a repository, page after page (OCI distribution spec, "Listing Tags").

use std::collections::HashSet;

use serde::Deserialize;
use ureq::http::Method;
use ureq::http::header::LINK;

use super::api::{Action, Ask, Registry, Session};
use super::fault::RegistryError;
use super::remote::Remote;
use crate::fetch::url::Url;
use crate::fetch::{Answer, Watch};

/// Tags of a page; most registries give fewer.
const PAGE: &str = "1000";

/// Most bytes of a page.
const MOST_BYTES: u64 = 16 << 20;

/// Most pages: a million tags are more than anybody has.
const MOST_PAGES: usize = 1000;

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl Registry {
    /// Every tag, in the registry's order.
    ///
    /// # Errors
    /// There is no such repository, it may not be read, or its pages do not end.
    pub fn tags(&self, remote: &Remote) -> Result<Vec<String>, RegistryError> {
        let session = self.session(remote, Action::Pull, &[])?;
        let mut tags = Vec::new();
        let mut url = session.url("tags/list")?;
        url = url
            .with_parameter("n", PAGE)
            .map_err(crate::fetch::FetchError::from)?;
        session.pages(url, &remote.name(), |answer, bytes| {
            let page: Page =
                serde_json::from_slice(bytes).map_err(|error| RegistryError::Answer {
                    url: answer.url.to_string(),
                    why: format!("it is no list of tags: {error}"),
                })?;
            tags.extend(page.tags.unwrap_or_default());
            Ok(())
        })?;
        Ok(tags)
    }
}

impl Session<'_> {
    /// Reads page after page, by the `Link` header (RFC 8288).
    pub(super) fn pages(
        &self,
        first: Url,
        what: &str,
        mut read: impl FnMut(&Answer, &[u8]) -> Result<(), RegistryError>,
    ) -> Result<(), RegistryError> {
        let mut seen = HashSet::new();
        let mut next = Some(first);
        while let Some(url) = next.take() {
            if !seen.insert(url.uri().to_string()) || seen.len() > MOST_PAGES {
                return Err(RegistryError::Answer {
                    url: url.to_string(),
                    why: "its pages do not end".to_owned(),
                });
            }
            let ask = Ask::new(Method::GET, url);
            let mut tell = |_| {};
            let (answer, bytes) = self.ask_bytes(&ask, MOST_BYTES, &mut Watch::none(&mut tell))?;
            if !answer.is_good() {
                return Err(self.refusal(answer, what));
            }
            read(&answer, &bytes)?;
            if let Some(link) = answer.header(&LINK).and_then(next_link) {
                next = Some(self.location(&answer.url, link)?);
            }
        }
        Ok(())
    }
}

/// `<…>; rel="next"`
fn next_link(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().replace(['"', ' '], "");
            parameter.eq_ignore_ascii_case("rel=next")
        });
        is_next.then_some(target)
    })
}
