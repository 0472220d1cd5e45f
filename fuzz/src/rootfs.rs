//! What stands in an image's files.

/// An executable, as an image or a user may hold it.
pub fn elf(bytes: &[u8]) {
    let _ = ounce_rootfs::Elf::read(bytes);
}

/// The system calls in the code of a program, every place of which is in it.
pub fn system_calls(bytes: &[u8]) {
    if let Some(found) = ounce_rootfs::elf::calls::system_calls(bytes) {
        let names = found.names();
        assert!(names.iter().all(|name| !name.is_empty()));
    }
}

/// Compiled Python without its docstrings: less, of the same header, and done at once.
pub fn bytecode(bytes: &[u8]) {
    use ounce_rootfs::python::bytecode::without_docstrings;
    if let Some(less) = without_docstrings(bytes) {
        assert!(less.len() < bytes.len() && less[..16] == bytes[..16]);
        assert_eq!(without_docstrings(&less), None);
    }
}

/// A database of RPM's packages, of either form, as it stands in an image.
pub fn rpm_database(bytes: &[u8]) {
    use ounce_oci::layer::{ReadEntry, ReadKind};
    use ounce_rootfs::package::Catalogue;
    use ounce_rootfs::tree::Builder;
    let name = match bytes.starts_with(b"SQLite") {
        true => "var/lib/rpm/rpmdb.sqlite",
        false => "usr/lib/sysimage/rpm/Packages.db",
    };
    let entry = ReadEntry {
        path: name.into(),
        kind: ReadKind::File,
        mode: 0o644,
        uid: 0,
        gid: 0,
        mtime: 0,
        size: bytes.len() as u64,
        xattrs: Vec::new(),
    };
    let mut builder = Builder::default();
    builder.begin_layer();
    let id = builder.entry(&entry).expect("a plain path");
    let mut catalogue = Catalogue::default();
    assert!(catalogue.wants(name.as_ref(), entry.size));
    catalogue.keep(id.expect("a file"), bytes.to_vec());
    let found = catalogue.finish(&builder.finish());
    assert!(found.packages.iter().all(|one| one.files.len() <= 1));
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
