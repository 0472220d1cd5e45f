//! WebAssembly as an image: one module or component as the only layer, as it
//! is, and a configuration that says what it is for.
//!
//! The layout is that of the CNCF's "Wasm OCI Artifact" (tag-runtime.cncf.io,
//! wgs/wasm, deliverables): media types [`CONFIG`] and [`MODULE`], a layer that
//! is no archive. For all readers of images the layer is an archive of one file,
//! [`MODULE_NAME`]; what is in that file is `rootfs`' to read.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};

use serde::Serialize;
use serde_json::Value;

use crate::compression::read::Stream;
use crate::model::{Descriptor, ImageConfiguration, from_json};
pub use crate::model::{WASM_CONFIG as CONFIG, WASM_MODULE as MODULE};
pub use crate::platform::WASM as ARCHITECTURE;
use crate::tar::{BLOCK, Fields, emit, padding};

/// The file that the layer is, for readers of images.
pub const MODULE_NAME: &str = "module.wasm";

/// A configuration to be written. Keys that the layout does not have stand in
/// `config`, as in other images; readers of the layout pass over them.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WasmConfig {
    /// RFC 3339; some readers insist on it.
    pub created: String,
    /// [`ARCHITECTURE`].
    pub architecture: &'static str,
    /// `wasip1` of core modules, `wasip2` of components.
    pub os: String,
    /// Digests of the layers.
    pub layer_digests: Vec<String>,
    /// What a component gives and asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component: Option<World>,
    /// What a core module gives and asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<World>,
    /// Arguments, environment, ports and labels, as other images have them.
    pub config: RunConfig,
}

/// What a module gives and asks for.
#[derive(Debug, Clone, Default, Serialize)]
pub struct World {
    /// Names of what it gives, in its order.
    pub exports: Vec<String>,
    /// Names of what it asks for, in its order.
    pub imports: Vec<String>,
    /// The world it was made for, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

/// How it is started.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct RunConfig {
    /// Arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// `UID:GID`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// `NAME=VALUE`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// `8080/tcp`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Empty>,
    /// Where it starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Labels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// `{}`, where JSON has objects for sets.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Empty {}

/// A configuration as images have it: of the layout's own keys the digests
/// become the diff IDs, since nothing is compressed.
pub(crate) fn image_config(
    bytes: &[u8],
    layers: &[Descriptor],
) -> Result<ImageConfiguration, ConfigFault> {
    let mut document: Value = from_json(bytes)?;
    let root = document.as_object_mut().ok_or(ConfigFault::NoObject)?;
    let digests: Vec<String> = layers
        .iter()
        .map(|layer| layer.digest().to_string())
        .collect();
    if let Some(stated) = root.get("layerDigests") {
        let same = stated.as_array().is_some_and(|stated| {
            let stated = stated.iter().map(|one| one.as_str().unwrap_or_default());
            stated.eq(digests.iter().map(String::as_str))
        });
        if !same {
            return Err(ConfigFault::Digests);
        }
    }
    root.insert(
        "rootfs".to_owned(),
        serde_json::json!({ "type": "layers", "diff_ids": digests }),
    );
    let config = root
        .entry("config")
        .or_insert_with(|| serde_json::json!({}))
        .as_object_mut()
        .ok_or(ConfigFault::NoObject)?;
    // What is started is the module, whatever else is said.
    let module = format!("/{MODULE_NAME}");
    config.insert("Entrypoint".to_owned(), serde_json::json!([module]));
    Ok(serde_json::from_value(document)?)
}

/// Why a configuration is not followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFault {
    #[error("not of the layout's form")]
    Json(#[from] serde_json::Error),
    #[error("it, or its `config`, is no object")]
    NoObject,
    #[error("its layerDigests are not those of the manifest's layers")]
    Digests,
}

/// Whether the configuration's world exports this, in any version: the names of
/// a configuration are its writer's word, good for a choice and not for trust.
pub fn exports(config: &[u8], interface: &str) -> bool {
    let document: Value = from_json(config).unwrap_or_default();
    let names = document.pointer("/component/exports");
    let names = names.and_then(Value::as_array);
    names.into_iter().flatten().any(|name| {
        let name = name.as_str().unwrap_or_default();
        name.strip_prefix(interface)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
    })
}

/// The archive that a layer of `size` bytes is read as.
pub(crate) fn archive(blob: Stream, size: u64) -> Stream {
    let fields = Fields {
        path: MODULE_NAME,
        kind: b'0',
        mode: 0o644,
        uid: 0,
        gid: 0,
        size,
        mtime: 0,
        link: "",
    };
    let mut head = Vec::with_capacity(BLOCK);
    emit(&fields, &mut head);
    // Two empty blocks end an archive.
    let tail = vec![0; padding(size) + 2 * BLOCK];
    // A blob that is longer than it says is told at its end, which has to be asked for.
    Box::new(Cursor::new(head).chain(blob).chain(Cursor::new(tail)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;
    use crate::model::{MediaType, descriptor};

    fn layer(bytes: &[u8]) -> Descriptor {
        descriptor(
            MediaType::Other(MODULE.to_owned()),
            &Digest::of(bytes),
            bytes.len() as u64,
        )
    }

    #[test]
    fn the_layouts_digests_become_diff_ids_and_the_module_is_what_is_started() {
        let layers = [layer(b"m")];
        let text = format!(
            r#"{{"created":"1970-01-01T00:00:00Z","architecture":"wasm","os":"wasip1",
                "layerDigests":["{}"],"config":{{"Cmd":["a"],"Entrypoint":["/etc/passwd"]}}}}"#,
            layers[0].digest()
        );
        let config = image_config(text.as_bytes(), &layers).unwrap();
        assert_eq!(
            config.rootfs().diff_ids(),
            &[layers[0].digest().to_string()]
        );
        let run = config.config().as_ref().unwrap();
        assert_eq!(run.entrypoint().as_ref().unwrap(), &["/module.wasm"]);
        assert_eq!(run.cmd().as_ref().unwrap(), &["a"]);
    }

    #[test]
    fn digests_of_another_module_are_refused() {
        let text = br#"{"architecture":"wasm","os":"wasip1","layerDigests":["sha256:00"]}"#;
        let error = image_config(text, &[layer(b"m")]).unwrap_err();
        assert!(matches!(error, ConfigFault::Digests));
        for text in [
            &b"[]"[..],
            b"{",
            b"{}",
            br#"{"architecture":"wasm","os":"w","config":3}"#,
        ] {
            assert!(image_config(text, &[layer(b"m")]).is_err());
        }
    }

    #[test]
    fn an_export_is_found_in_any_version_but_not_by_its_beginning() {
        let config = br#"{"component":{"exports":["wasi:http/incoming-handler@0.2.3"]}}"#;
        assert!(exports(config, "wasi:http/incoming-handler"));
        assert!(!exports(config, "wasi:http/incoming"));
        assert!(!exports(b"{", "wasi:http/incoming-handler"));
    }
}
