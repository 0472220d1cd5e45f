//! What a registry says about an error.

use serde::Deserialize;
use ureq::http::header::CONTENT_TYPE;

use crate::fetch::Answer;

/// Most bytes of an answer that tells of an error.
const MOST_BYTES: u64 = 64 << 10;

#[derive(Deserialize)]
struct Errors {
    #[serde(default)]
    errors: Vec<OneError>,
}

#[derive(Deserialize)]
struct OneError {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// The first error's message (OCI distribution spec, "Error Codes"), or a line of
/// text; nothing where it shows a page.
pub(super) fn said(answer: &mut Answer) -> String {
    let is_html = answer
        .header(&CONTENT_TYPE)
        .is_some_and(|kind| kind.contains("html"));
    let bytes = answer.bytes(MOST_BYTES).unwrap_or_default();
    let text = match serde_json::from_slice::<Errors>(&bytes) {
        Ok(Errors { errors }) => errors
            .into_iter()
            .next()
            .map(|first| match first.message.is_empty() {
                true => first.code,
                false => first.message,
            })
            .unwrap_or_default(),
        Err(_) if is_html => String::new(),
        Err(_) => {
            let text = String::from_utf8_lossy(&bytes);
            text.trim().lines().next().unwrap_or_default().to_owned()
        }
    };
    text.chars().take(200).collect()
}
