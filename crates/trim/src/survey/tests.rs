use std::collections::BTreeMap;

use ounce_oci::layer::{Content, Entry, EntryKind, LayerOptions};
use ounce_oci::model::MediaType;
use ounce_oci::{Platform, Store};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::cut::{Options, cut};

/// What a layer has at a path; the number tells contents and modes apart.
#[derive(Debug, Clone)]
enum What {
    Nothing,
    Folder(u8),
    File(u8),
    Symlink(usize),
    Hardlink(usize),
    Whiteout,
    Opaque,
}

const PATHS: [&str; 9] = ["a", "a/b", "a/b/c", "a/b/d", "a/e", "f", "f/g", "h", "h/i"];
/// Where links lead, some of them nowhere.
const TARGETS: [&str; 6] = ["a", "../a/b", "/f", "h", "nowhere", "a/b/c"];

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        4 => Just(What::Nothing),
        3 => (0u8..4).prop_map(What::Folder),
        4 => (0u8..4).prop_map(What::File),
        1 => (0..TARGETS.len()).prop_map(What::Symlink),
        2 => (0..PATHS.len()).prop_map(What::Hardlink),
        1 => Just(What::Whiteout),
        1 => Just(What::Opaque),
    ]
}

/// The entries of a layer that some writer could have made.
fn entries(layer: &[What]) -> Vec<Entry> {
    let files: Vec<_> = layer
        .iter()
        .map(|what| matches!(what, What::File(_)))
        .collect();
    let mut entries: Vec<Entry> = Vec::new();
    for (index, what) in layer.iter().enumerate() {
        let path = PATHS[index];
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        let beside = |name: String| match folder {
            "" => name,
            folder => format!("{folder}/{name}"),
        };
        // Something stands at the folder's own path in this layer, and is none.
        let blocked = PATHS.iter().zip(layer).any(|(other, what)| {
            let none = matches!(what, What::File(_) | What::Symlink(_) | What::Hardlink(_));
            none && path.starts_with(&format!("{other}/"))
        });
        let empty = || EntryKind::File(Content::Bytes(Vec::new()));
        let (path, kind, number) = match what {
            _ if blocked => continue,
            What::Nothing => continue,
            What::Folder(number) => (path.to_owned(), EntryKind::Directory, *number),
            What::File(number) => {
                let bytes = vec![*number; usize::from(*number) * 300];
                let kind = EntryKind::File(Content::Bytes(bytes));
                (path.to_owned(), kind, *number)
            }
            What::Symlink(target) => {
                let kind = EntryKind::Symlink(TARGETS[*target].to_owned());
                (path.to_owned(), kind, 0)
            }
            What::Hardlink(target) if files[*target] && *target != index => {
                let kind = EntryKind::Hardlink(PATHS[*target].to_owned());
                (path.to_owned(), kind, 1)
            }
            What::Hardlink(_) => continue,
            What::Whiteout => (beside(format!(".wh.{name}")), empty(), 0),
            What::Opaque => (format!("{path}/.wh..wh..opq"), empty(), 0),
        };
        entries.push(Entry {
            path,
            kind,
            mode: 0o700 + u32::from(number),
            uid: number.into(),
            gid: 7,
        });
    }
    entries
}

fn image(store: &Store, layers: &[Vec<Entry>]) -> Option<Image> {
    let mut writer = store.write().unwrap();
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for (number, layer) in layers.iter().enumerate() {
        let options = LayerOptions {
            mtime: number as u64 + 1,
            ..LayerOptions::default()
        };
        // Not every layer that was thought up can be written.
        let written = writer.layer(layer, options).ok()?;
        descriptors.push(written.descriptor);
        diff_ids.push(written.diff_id.to_string());
    }
    let host = Platform::host();
    let config = json!({
        "architecture": host.architecture,
        "os": host.os,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let config = writer.json(MediaType::ImageConfig, &config).unwrap();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::ImageManifest,
        "config": config,
        "layers": descriptors,
    });
    let manifest = writer.json(MediaType::ImageManifest, &manifest).unwrap();
    let name = "fat".parse().unwrap();
    writer.commit(&name, &manifest).unwrap();
    Some(store.image(&name, &host).unwrap())
}

/// All there is to see of a tree, but for the layers.
fn seen(tree: &Tree) -> BTreeMap<PathBuf, String> {
    let mut first: HashMap<ContentId, &Path> = HashMap::new();
    let mut seen = BTreeMap::new();
    for (path, node) in tree.iter() {
        let kind = match &node.kind {
            NodeKind::File(id) => format!("the file of {:?}", first.entry(*id).or_insert(path)),
            kind => format!("{kind:?}"),
        };
        let owner = (node.uid, node.gid);
        let text = format!("{kind} {:o} {owner:?} {}", node.mode, node.bytes);
        seen.insert(path.to_owned(), text);
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_cut_that_keeps_everything_changes_nothing_but_the_layers(
        layers in prop::collection::vec(prop::collection::vec(what(), PATHS.len()), 1..5),
        drop in prop::collection::vec(any::<bool>(), PATHS.len()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        let layers: Vec<_> = layers.iter().map(|layer| entries(layer)).collect();
        let Some(fat) = image(&store, &layers) else {
            return Ok(());
        };
        // Nor can every one be read, as one that has a file within a file.
        let Ok(survey) = survey(&fat) else {
            return Ok(());
        };
        let cut_to = |places: &[&Path]| -> Image {
            let mut writer = store.write().unwrap();
            let places = places.iter().copied();
            let manifest = cut(&fat, &survey, places, &Options::default(), &mut writer).unwrap();
            let name = "cut".parse().unwrap();
            writer.commit(&name, &manifest).unwrap();
            store.image(&name, &Platform::host()).unwrap()
        };
        let all: Vec<&Path> = survey.tree.iter().map(|(path, _)| path).collect();
        let whole = cut_to(&all);
        prop_assert_eq!(whole.layers.len(), 1);
        prop_assert_eq!(seen(&Tree::of_image(&whole).unwrap()), seen(&survey.tree));
        // And a part is that part: a name that is left brings its file along.
        let away = |path: &Path| {
            let mut gone = PATHS.iter().zip(&drop).filter(|(_, drop)| **drop);
            gone.any(|(other, _)| path.starts_with(other))
        };
        let part: Vec<&Path> = all.iter().copied().filter(|path| !away(path)).collect();
        let tree = Tree::of_image(&cut_to(&part)).unwrap();
        let left: Vec<&Path> = tree.iter().map(|(path, _)| path).collect();
        prop_assert_eq!(&left, &part);
        for path in &part {
            let (before, after) = (survey.tree.get(path).unwrap(), tree.get(path).unwrap());
            prop_assert_eq!((before.mode, before.uid, before.bytes), (after.mode, after.uid, after.bytes));
        }
    }
}

#[test]
fn a_patched_file_has_its_new_start_and_length_under_every_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path().join("store")).unwrap();
    let layer = entries(&[
        What::Folder(0),
        What::File(3),
        What::Nothing,
        What::Nothing,
        What::Hardlink(1),
        What::Nothing,
        What::Nothing,
        What::File(2),
        What::Nothing,
    ]);
    let fat = image(&store, &[layer]).unwrap();
    let survey = survey(&fat).unwrap();
    let NodeKind::File(id) = survey.tree.get("a/b").unwrap().kind else {
        panic!("a file was written there");
    };
    let patch = Patch {
        start: b"new".to_vec(),
        bytes: 700,
    };
    let options = Options {
        patches: HashMap::from([(id, patch)]),
        ..Options::default()
    };
    let mut writer = store.write().unwrap();
    let all = survey.tree.iter().map(|(path, _)| path);
    let manifest = cut(&fat, &survey, all, &options, &mut writer).unwrap();
    let name = "cut".parse().unwrap();
    writer.commit(&name, &manifest).unwrap();
    let cut = store.image(&name, &Platform::host()).unwrap();
    let tree = Tree::of_image(&cut).unwrap();
    let read = |path: &str| {
        let path = Path::new(path);
        ounce_rootfs::content::read_file(&cut, &tree, path, 1 << 20).unwrap()
    };
    let expected = [b"new".to_vec(), vec![3; 697]].concat();
    assert_eq!(read("a/b"), expected);
    assert_eq!(read("a/e"), expected);
    assert_eq!(read("h"), vec![2; 600]);
}
