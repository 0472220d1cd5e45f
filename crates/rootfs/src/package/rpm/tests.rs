//! Databases put together by hand, whole and damaged. RPM's own are read in the
//! integration tests.

use super::*;
use proptest::prelude::*;

/// A header as RPM writes it: each entry a tag, its type, and its data.
fn header(entries: &[(u32, u32, u32, Vec<u8>)]) -> Vec<u8> {
    let mut index = Vec::new();
    let mut data: Vec<u8> = Vec::new();
    for (tag, kind, count, content) in entries {
        for number in [*tag, *kind, data.len() as u32, *count] {
            index.extend_from_slice(&number.to_be_bytes());
        }
        data.extend_from_slice(content);
    }
    let mut blob = (entries.len() as u32).to_be_bytes().to_vec();
    blob.extend_from_slice(&(data.len() as u32).to_be_bytes());
    blob.extend_from_slice(&index);
    blob.extend_from_slice(&data);
    blob
}

fn text(tag: u32, text: &str) -> (u32, u32, u32, Vec<u8>) {
    (tag, STRING, 1, format!("{text}\0").into_bytes())
}

fn texts(tag: u32, all: &[&str]) -> (u32, u32, u32, Vec<u8>) {
    let content = all.iter().flat_map(|text| format!("{text}\0").into_bytes());
    (tag, STRING_ARRAY, all.len() as u32, content.collect())
}

fn numbers(tag: u32, all: &[u32]) -> (u32, u32, u32, Vec<u8>) {
    let content = all.iter().flat_map(|number| number.to_be_bytes());
    (tag, INT32, all.len() as u32, content.collect())
}

fn bash() -> Vec<u8> {
    header(&[
        text(NAME, "bash"),
        text(VERSION, "5.2"),
        text(RELEASE, "3.fc40"),
        numbers(EPOCH, &[1]),
        text(LICENSE, "GPL-3.0-or-later"),
        text(ARCHITECTURE, "x86_64"),
        numbers(FOLDER_NUMBERS, &[0, 1, 9]),
        texts(BASE_NAMES, &["bash", "skel.sh", "nowhere"]),
        texts(FOLDER_NAMES, &["/usr/bin/", "/etc/"]),
    ])
}

fn key() -> Vec<u8> {
    header(&[text(NAME, "gpg-pubkey"), text(VERSION, "1")])
}

/// A header that takes several pages.
fn large() -> Vec<u8> {
    let names: Vec<String> = (0..200).map(|number| format!("file-{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    header(&[
        text(NAME, "large"),
        text(VERSION, "1"),
        texts(WHOLE_NAMES, &names),
    ])
}

fn varint(number: usize) -> Vec<u8> {
    match number {
        0..128 => vec![number as u8],
        _ => vec![0x80 | (number >> 7) as u8, number as u8 & 0x7f],
    }
}

const PAGE: usize = 512;

/// A leaf page of these rows, and the pages in which they go on, which are
/// numbered from `next`.
fn leaf(head: usize, rows: &[Vec<u8>], next: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut page = vec![0; PAGE];
    let mut more: Vec<Vec<u8>> = Vec::new();
    let mut end = PAGE;
    page[head] = 13;
    page[head + 3..head + 5].copy_from_slice(&(rows.len() as u16).to_be_bytes());
    for (index, row) in rows.iter().enumerate() {
        let here = match row.len() {
            bytes if bytes <= PAGE - 35 => bytes,
            bytes => {
                let least = (PAGE - 12) * 32 / 255 - 23;
                let some = least + (bytes - least) % (PAGE - 4);
                if some <= PAGE - 35 { some } else { least }
            }
        };
        let mut cell = varint(row.len());
        cell.extend(varint(index + 1));
        cell.extend_from_slice(&row[..here]);
        let rest: Vec<&[u8]> = row[here..].chunks(PAGE - 4).collect();
        if !rest.is_empty() {
            cell.extend_from_slice(&((next + more.len()) as u32).to_be_bytes());
        }
        for (index, part) in rest.iter().enumerate() {
            let last = index + 1 == rest.len();
            let follows = if last { 0 } else { next + more.len() + 1 };
            let mut page = (follows as u32).to_be_bytes().to_vec();
            page.extend_from_slice(part);
            page.resize(PAGE, 0);
            more.push(page);
        }
        end -= cell.len();
        page[end..end + cell.len()].copy_from_slice(&cell);
        let at = head + 8 + 2 * index;
        page[at..at + 2].copy_from_slice(&(end as u16).to_be_bytes());
    }
    (page, more)
}

/// A row of a key, which is not kept in the row, and a blob.
fn row(blob: &[u8]) -> Vec<u8> {
    let mut kinds = vec![0];
    kinds.extend(varint(12 + 2 * blob.len()));
    let mut row = varint(kinds.len() + 1);
    row.extend(kinds);
    row.extend_from_slice(blob);
    row
}

/// An SQLite database of three headers in two leaves under a page that names them.
fn sqlite() -> Vec<u8> {
    let schema: Vec<u8> = {
        let texts = ["table", "Packages", "Packages"];
        let mut kinds = Vec::new();
        let mut values = Vec::new();
        for text in texts {
            kinds.extend(varint(13 + 2 * text.len()));
            values.extend_from_slice(text.as_bytes());
        }
        kinds.extend([1, 13 + 2]);
        values.extend([2, b'-']);
        let mut row = varint(kinds.len() + 1);
        row.extend(kinds);
        row.extend(values);
        row
    };
    let (mut first, _) = leaf(100, &[schema], 0);
    first[..16].copy_from_slice(b"SQLite format 3\0");
    first[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    let mut root = vec![0; PAGE];
    root[0] = 5;
    root[3..5].copy_from_slice(&1u16.to_be_bytes());
    root[8..12].copy_from_slice(&4u32.to_be_bytes());
    root[12..14].copy_from_slice(&500u16.to_be_bytes());
    root[500..504].copy_from_slice(&3u32.to_be_bytes());
    let (one, none) = leaf(0, &[row(&bash()), row(&key())], 5);
    assert!(none.is_empty());
    let (two, more) = leaf(0, &[row(&large())], 5);
    assert!(more.len() > 1);
    [vec![first, root, one, two], more].concat().concat()
}

/// RPM's own form, with a slot that is free and blobs not in the slots' order.
fn ndb() -> Vec<u8> {
    let mut file = vec![0; 4096];
    file[..4].copy_from_slice(b"RpmP");
    file[12..16].copy_from_slice(&1u32.to_le_bytes());
    for at in (32..4096).step_by(16) {
        file[at..at + 4].copy_from_slice(b"Slot");
    }
    for (slot, number, blob) in [(3, 1_u32, large()), (2, 7, bash())] {
        let at = file.len();
        let slot = &mut file[32 + slot * 16..][..16];
        slot[4..8].copy_from_slice(&number.to_le_bytes());
        slot[8..12].copy_from_slice(&((at / 16) as u32).to_le_bytes());
        file.extend_from_slice(b"BlbS");
        for word in [number, 1, blob.len() as u32] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(&blob);
        file.resize(file.len().next_multiple_of(16), 0);
    }
    file
}

fn read(file: &[u8]) -> (Vec<Package>, Option<String>) {
    installed(Path::new("var/lib/rpm/rpmdb.sqlite"), file)
}

#[test]
fn both_forms_give_the_packages_with_their_files() {
    for file in [sqlite(), ndb()] {
        let (mut packages, fault) = read(&file);
        assert_eq!(fault, None);
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        let names: Vec<_> = packages.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["bash", "large"]);
        let bash = &packages[0];
        assert_eq!(bash.version, "1:5.2-3.fc40");
        assert_eq!(bash.architecture.as_deref(), Some("x86_64"));
        assert_eq!(bash.license.as_deref(), Some("GPL-3.0-or-later"));
        // A file in a folder that there is not is nowhere.
        let files = ["usr/bin/bash", "etc/skel.sh"].map(PathBuf::from);
        assert_eq!(bash.files, files);
        assert_eq!(packages[1].files.len(), 200);
        assert_eq!(packages[1].files[199], Path::new("file-199"));
    }
}

#[test]
fn what_is_no_database_or_cut_short_is_told() {
    for file in [sqlite(), ndb()] {
        for end in (0..file.len() - 16).step_by(7) {
            let (packages, fault) = read(&file[..end]);
            assert!(packages.len() < 3, "{end}");
            // Of the last blob what follows its end is nobody's.
            assert!(fault.is_some() || end + 512 > file.len(), "{end}");
        }
    }
    assert!(read(b"nonsense").1.unwrap().contains("neither"));
    let (_, fault) = read(&[sqlite::MARK, &[0; 2000]].concat());
    assert!(fault.unwrap().contains("size"));
}

#[test]
fn pages_that_lead_in_circles_end() {
    let mut file = sqlite();
    // The root's child is the root.
    file[PAGE + 500..PAGE + 504].copy_from_slice(&2u32.to_be_bytes());
    assert!(read(&file).1.unwrap().contains("two pages"));
    // The last page goes on in itself, and in none.
    let mut file = sqlite();
    let at = file.len() - PAGE;
    let itself = (file.len() / PAGE) as u32;
    file[at - PAGE..at - PAGE + 4].copy_from_slice(&(itself - 1).to_be_bytes());
    assert!(read(&file).1.unwrap().contains("two pages"));
    file[at - PAGE..at - PAGE + 4].copy_from_slice(&0u32.to_be_bytes());
    assert!(read(&file).1.is_some());
}

#[test]
fn a_header_that_lies_is_counted_and_the_others_are_read() {
    let mut blob = bash();
    // It has more entries than there is room for.
    blob[0] = 0x7f;
    let mut file = ndb();
    let at = file.windows(4).rposition(|four| four == b"BlbS").unwrap() + 16;
    file[at..at + blob.len()].copy_from_slice(&blob);
    let (packages, fault) = read(&file);
    assert_eq!(packages.len(), 1);
    assert_eq!(fault.unwrap(), "1 of RPM's headers are damaged");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_damage_gives_packages_or_a_fault(
        form in any::<bool>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut file = if form { sqlite() } else { ndb() };
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        let (packages, _) = read(&file);
        prop_assert!(packages.len() <= 3);
        prop_assert!(packages.iter().all(|one| one.files.len() <= 1000));
    }
}
