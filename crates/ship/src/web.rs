//! Images for browser pages: a static folder that any web server can serve, with the host
//! (`@ounce/web`) that shows them.
//!
//! Manifests stand under their names and may change; modules stand under their digests and never
//! do. A bundle has all of them in one file. What is in a module is the host's to check.

use std::collections::BTreeMap;

use ounce_oci::Digest;
use serde::Serialize;

use crate::shipment::{Created, File, Shipment};

/// What the module's layer is called (CNCF wasm OCI artifact layout).
pub const MODULE_TYPE: &str = "application/wasm";
const CONFIG_TYPE: &str = "application/vnd.wasm.config.v0+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// All that a page of components needs, and nothing more.
pub const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
/// The folder whose files never change under their names.
pub const IMMUTABLE: &str = "blobs/";

/// The host's files, as `web/` builds them.
const HOST: [(&str, &[u8]); 8] = [
    ("ounce.js", include_bytes!("../../../web/dist/ounce.js")),
    ("more.js", include_bytes!("../../../web/dist/more.js")),
    ("grants.js", include_bytes!("../../../web/dist/grants.js")),
    ("levels.js", include_bytes!("../../../web/dist/levels.js")),
    ("shell.js", include_bytes!("../../../web/dist/shell.js")),
    ("worker.js", include_bytes!("../../../web/dist/worker.js")),
    ("frame.js", include_bytes!("../../../web/dist/frame.js")),
    ("frame.html", include_bytes!("../../../web/dist/frame.html")),
];

/// An image for pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageImage {
    /// What pages call it: `NAME.json`.
    pub name: String,
    /// The manifest, as its digest has it.
    pub manifest: Vec<u8>,
    /// The module.
    pub module: Vec<u8>,
    /// The module's digest, which the manifest names.
    pub digest: Digest,
    /// What it shows first, as HTML that a server has drawn.
    pub first_view: Option<String>,
}

/// What is no image for pages.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum WebError {
    /// Not WebAssembly.
    #[error("{0} is no WebAssembly: it does not begin with its magic number")]
    NoModule(String),
    /// It cannot stand in a folder under its name.
    #[error("{0:?} is no name of a file that pages can ask for: letters, digits, -, _ and .")]
    Name(String),
    /// Two of one name.
    #[error("two images are called {0:?}")]
    Twice(String),
}

impl WebError {
    /// What to do about it.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self {
            Self::NoModule(_) => "a page runs wasm images: docs/web.md shows one of 20 lines",
            Self::Name(_) | Self::Twice(_) => "name it by --name",
        };
        vec![hint.to_owned()]
    }
}

impl PageImage {
    /// An image as it is.
    ///
    /// # Errors
    /// Not WebAssembly, or the name is none for a file.
    pub fn new(
        name: impl Into<String>,
        manifest: Vec<u8>,
        module: Vec<u8>,
    ) -> Result<Self, WebError> {
        let name = name.into();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
            return Err(WebError::Name(name));
        }
        if !module.starts_with(b"\0asm") {
            return Err(WebError::NoModule(name));
        }
        let digest = Digest::of(&module);
        Ok(Self {
            name,
            manifest,
            module,
            digest,
            first_view: None,
        })
    }

    /// A module that is in no image yet.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_module(name: impl Into<String>, module: Vec<u8>) -> Result<Self, WebError> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Manifest {
            schema_version: u8,
            media_type: &'static str,
            config: Blob,
            layers: [Blob; 1],
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Blob {
            media_type: &'static str,
            digest: String,
            size: usize,
        }
        let blob = |media_type, bytes: &[u8]| Blob {
            media_type,
            digest: Digest::of(bytes).to_string(),
            size: bytes.len(),
        };
        let module_blob = blob(MODULE_TYPE, &module);
        let config = format!(
            "{{\"architecture\":\"wasm\",\"os\":\"wasip1\",\"layerDigests\":[\"{}\"]}}",
            module_blob.digest
        );
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE,
            config: blob(CONFIG_TYPE, config.as_bytes()),
            layers: [module_blob],
        };
        // Strings and numbers always become JSON.
        let manifest = serde_json::to_vec(&manifest).unwrap_or_default();
        Self::new(name, manifest, module)
    }

    /// `blobs/sha256/HEX.wasm`, where the host looks for it.
    pub fn blob_path(&self) -> String {
        format!("blobs/{}.wasm", self.digest.to_string().replace(':', "/"))
    }
}

/// The folder, with a page of its own unless `has_page`.
///
/// # Errors
/// Two images of one name.
pub fn ship(title: &str, images: &[PageImage], has_page: bool) -> Result<Shipment, WebError> {
    let mut shipment = Shipment::default();
    for (at, image) in images.iter().enumerate() {
        if images[..at].iter().any(|other| other.name == image.name) {
            return Err(WebError::Twice(image.name.clone()));
        }
        let manifest = format!("{}.json", image.name);
        let digest = Digest::of(&image.manifest);
        shipment.creates.push(Created::new(
            "component",
            &manifest,
            format!("pinned as {manifest}#{digest}"),
        ));
        shipment.files.push(file(manifest, &image.manifest));
        shipment.files.push(file(image.blob_path(), &image.module));
    }
    // One module is as soon fetched alone.
    if images.len() > 1 {
        shipment.files.push(file("page.bundle", &bundle(images)));
    }
    for (name, bytes) in HOST {
        shipment.files.push(file(name, bytes));
    }
    if !has_page {
        let page = File::text("index.html", index(title, images));
        shipment.files.push(page);
    }
    let headers = format!(
        "/*\n  Content-Security-Policy: {POLICY}\n/{IMMUTABLE}*\n  Cache-Control: public, max-age=31536000, immutable\n"
    );
    shipment.files.push(File::beside("_headers", headers));
    shipment.notes.push(
        "_headers is what pages need of their server, in the form that static hosts read"
            .to_owned(),
    );
    shipment
        .next
        .push("ounce up .    (or any web server; components need https, or localhost)".to_owned());
    Ok(shipment)
}

fn file(path: impl Into<String>, bytes: &[u8]) -> File {
    File {
        path: path.into(),
        contents: bytes.to_vec(),
        is_program: false,
        is_shown: false,
    }
}

/// All manifests and modules as one file: the length of the index in four bytes, little-endian;
/// the index, `{name: [digest, offset, size]}`; the pieces. A module's name is its digest.
pub fn bundle(images: &[PageImage]) -> Vec<u8> {
    let mut index = BTreeMap::new();
    let mut pieces: Vec<u8> = Vec::new();
    let mut add = |name: String, bytes: &[u8]| {
        index.entry(name).or_insert_with(|| {
            let offset = pieces.len();
            pieces.extend_from_slice(bytes);
            (Digest::of(bytes).to_string(), offset, bytes.len())
        });
    };
    for image in images {
        add(format!("{}.json", image.name), &image.manifest);
        add(image.digest.to_string(), &image.module);
    }
    let index = serde_json::to_vec(&index).unwrap_or_default();
    let length = u32::try_from(index.len()).unwrap_or(u32::MAX);
    [&length.to_le_bytes()[..], &index, &pieces].concat()
}

/// What shows an image on a page, over what a server has drawn of it.
pub fn element(image: &PageImage, source: &str, attributes: &str) -> String {
    let space = if attributes.is_empty() { "" } else { " " };
    let (status, view) = match &image.first_view {
        Some(view) => (" status=\"rendered\"", view.as_str()),
        None => ("", ""),
    };
    format!("<ounce-component src=\"{source}\"{space}{attributes}{status}>{view}</ounce-component>")
}

/// A page that shows each of them.
fn index(title: &str, images: &[PageImage]) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    let title = escaped(title);
    let components: String = images
        .iter()
        .map(|image| {
            let name = &image.name;
            let attributes = format!("name=\"{name}\" grant=\"storage route\"");
            element(image, &format!("{name}.json"), &attributes) + "\n"
        })
        .collect();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n\
         <script type=\"module\" src=\"ounce.js\"></script>\n{components}</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, module: &[u8]) -> PageImage {
        PageImage::of_module(name, module.to_vec()).unwrap()
    }

    #[test]
    fn a_module_stands_where_its_manifest_says() {
        let image = image("counter", b"\0asm\x01\0\0\0");
        let manifest: serde_json::Value = serde_json::from_slice(&image.manifest).unwrap();
        let digest = manifest["layers"][0]["digest"].as_str().unwrap();
        assert_eq!(digest, Digest::of(&image.module).to_string());
        let shipment = ship("Counter", std::slice::from_ref(&image), false).unwrap();
        let path = format!("blobs/{}.wasm", digest.replace(':', "/"));
        assert_eq!(shipment.file(&path).unwrap().contents, image.module);
        let page = shipment.file("index.html").unwrap().as_text().unwrap();
        assert!(page.contains("src=\"counter.json\""), "{page}");
    }

    #[test]
    fn a_bundle_has_a_shared_module_once() {
        let module = [b"\0asm\x01\0\0\0".as_slice(), &[7; 1000]].concat();
        let images = [image("a", &module), image("b", &module)];
        let bundle = bundle(&images);
        let copies = bundle.windows(module.len()).filter(|part| *part == module);
        assert_eq!(copies.count(), 1);
        let length = u32::from_le_bytes(bundle[..4].try_into().unwrap()) as usize;
        let index: BTreeMap<String, (String, usize, usize)> =
            serde_json::from_slice(&bundle[4..4 + length]).unwrap();
        assert_eq!(index.len(), 3);
        for (digest, offset, size) in index.values() {
            let piece = &bundle[4 + length + offset..][..*size];
            assert_eq!(*digest, Digest::of(piece).to_string());
        }
    }

    #[test]
    fn what_is_no_module_or_has_no_name_for_a_file_is_refused() {
        let of = |name: &str, module: &[u8]| PageImage::of_module(name, module.to_vec());
        assert_eq!(of("x", b"\x7fELF"), Err(WebError::NoModule("x".to_owned())));
        for name in ["", "..", "a/b", "a b", ".hidden", "é"] {
            assert_eq!(
                of(name, b"\0asm"),
                Err(WebError::Name(name.to_owned())),
                "{name}"
            );
        }
        let twice = [image("a", b"\0asm1"), image("a", b"\0asm2")];
        assert!(matches!(ship("", &twice, true), Err(WebError::Twice(_))));
    }

    #[test]
    fn what_a_server_has_drawn_stands_in_its_element() {
        let mut image = image("counter", b"\0asm\x01\0\0\0");
        assert_eq!(
            element(&image, "a.json", ""),
            "<ounce-component src=\"a.json\"></ounce-component>"
        );
        image.first_view = Some("<button>0</button>".to_owned());
        let shipment = ship("Counter", &[image], false).unwrap();
        let page = shipment.file("index.html").unwrap().as_text().unwrap();
        assert!(
            page.contains(" status=\"rendered\"><button>0</button></ounce-component>"),
            "{page}"
        );
    }

    #[test]
    fn a_title_is_no_markup() {
        let page = index("<script>", &[]);
        assert!(page.contains("<title>&lt;script></title>"), "{page}");
    }
}
