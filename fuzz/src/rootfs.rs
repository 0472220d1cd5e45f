//! What stands in an image's files.

/// An executable, as an image or a user may hold it.
pub fn elf(bytes: &[u8]) {
    let _ = ounce_rootfs::Elf::read(bytes);
}

/// What says where libraries and modules are: the loader's cache, sources of
/// Python and Node, manifests, and the texts of programs.
pub fn references(bytes: &[u8]) {
    use ounce_rootfs::{elf::names, loader, node, python, services};
    if let Ok(cache) = loader::Cache::read(bytes) {
        let least = cache.entries().len() * 12;
        assert!(least <= bytes.len(), "more entries than there is room for");
    }
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
    let source = python::scan(bytes);
    assert!(source.imports.iter().all(|import| import.line <= lines));
    let script = node::scan(bytes);
    assert!(script.requests.iter().all(|request| request.line <= lines));
    if let Some(manifest) = node::Manifest::read(bytes) {
        let _ = (manifest.exported(".", true), manifest.imported("#a", false));
    }
    let _ = (names::libraries(bytes), names::paths(bytes));
    let _ = (names::texts(bytes), names::imports(bytes));
    let text = String::from_utf8_lossy(bytes);
    let _ = (python::pth(&text), python::entry_points(&text));
    let _ = (loader::preload(&text), loader::path_file(&text));
    let _ = services::name_services(&text, |_| true);
    services::Converters::default().add(&text);
}
