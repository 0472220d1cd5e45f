//! The files of an image as a tree with sums: what the screen walks through.

use ounce_weigh::Inventory;
use ounce_weigh::kind::FileKind;

/// A folder or file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) parent: usize,
    /// Empty for a file.
    pub(super) children: Vec<usize>,
    /// With all beneath.
    pub(super) bytes: u64,
    /// With all beneath.
    pub(super) compressed: u64,
    /// Files beneath, or 1.
    pub(super) files: u64,
    /// What a file is; `None` for a folder.
    pub(super) kind: Option<FileKind>,
    pub(super) layer: usize,
}

/// By what siblings are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Compressed,
    Bytes,
    Files,
    Name,
}

impl Order {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Compressed => Self::Bytes,
            Self::Bytes => Self::Files,
            Self::Files => Self::Name,
            Self::Name => Self::Compressed,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Compressed => "pulled bytes",
            Self::Bytes => "unpacked bytes",
            Self::Files => "files",
            Self::Name => "name",
        }
    }
}

/// All of them; the root is number 0.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    /// The tree of the files of one layer, or of all.
    pub(super) fn of(inventory: &Inventory, layer: Option<usize>) -> Self {
        let mut tree = Self {
            nodes: vec![Node {
                name: "/".to_owned(),
                parent: 0,
                children: Vec::new(),
                bytes: 0,
                compressed: 0,
                files: 0,
                kind: None,
                layer: 0,
            }],
        };
        // Files are sorted by path, so the way to the last one is mostly the way to the next.
        let mut way: Vec<(usize, String)> = Vec::new();
        let wanted = |one: &usize| layer.is_none_or(|layer| layer == *one);
        for item in inventory.files.iter().filter(|item| wanted(&item.layer)) {
            let mut parts = item.path.split('/').filter(|part| !part.is_empty());
            let name = parts.next_back().unwrap_or_default().to_owned();
            let mut depth = 0;
            let mut at = 0;
            for part in parts {
                if way.get(depth).is_some_and(|(_, known)| known == part) {
                    at = way[depth].0;
                } else {
                    way.truncate(depth);
                    at = tree.child(at, part);
                    way.push((at, part.to_owned()));
                }
                depth += 1;
            }
            way.truncate(depth);
            let number = tree.nodes.len();
            tree.nodes.push(Node {
                name,
                parent: at,
                children: Vec::new(),
                bytes: item.bytes,
                compressed: item.compressed_bytes,
                files: 1,
                kind: Some(item.kind),
                layer: item.layer,
            });
            tree.nodes[at].children.push(number);
            loop {
                let node = &mut tree.nodes[at];
                node.bytes += item.bytes;
                node.compressed += item.compressed_bytes;
                node.files += 1;
                if at == 0 {
                    break;
                }
                at = node.parent;
            }
        }
        tree
    }

    fn child(&mut self, parent: usize, name: &str) -> usize {
        let known = self.nodes[parent].children.iter().rev().copied();
        // Between two files of a folder, sorted by path, may lie those of folders
        // whose names begin as the folder's does ("a", "a-b/x", "a/y").
        let found = known
            .filter(|&one| self.nodes[one].kind.is_none())
            .find(|&one| self.nodes[one].name == name);
        found.unwrap_or_else(|| {
            let number = self.nodes.len();
            self.nodes.push(Node {
                name: name.to_owned(),
                parent,
                children: Vec::new(),
                bytes: 0,
                compressed: 0,
                files: 0,
                kind: None,
                layer: 0,
            });
            self.nodes[parent].children.push(number);
            number
        })
    }

    pub(super) fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// The whole path of a node.
    pub(super) fn path(&self, mut number: usize) -> String {
        let mut parts = Vec::new();
        while number != 0 {
            parts.push(self.nodes[number].name.as_str());
            number = self.nodes[number].parent;
        }
        parts.reverse();
        format!("/{}", parts.join("/"))
    }

    /// Children in order.
    pub(super) fn sorted(&self, number: usize, order: Order) -> Vec<usize> {
        let mut children = self.nodes[number].children.clone();
        self.sort(&mut children, order);
        children
    }

    fn sort(&self, numbers: &mut [usize], order: Order) {
        let key = |number: usize| {
            let node = &self.nodes[number];
            let weight = match order {
                Order::Compressed => node.compressed,
                Order::Bytes => node.bytes,
                Order::Files => node.files,
                Order::Name => 0,
            };
            (std::cmp::Reverse(weight), &node.name)
        };
        numbers.sort_by(|&a, &b| key(a).cmp(&key(b)));
    }

    /// Nodes whose names hold `text`, whatever the case, in order; with all
    /// beneath a folder that is found only where it is found itself.
    pub(super) fn search(&self, text: &str, order: Order) -> Vec<usize> {
        let text = text.to_lowercase();
        let mut found: Vec<usize> = (1..self.nodes.len())
            .filter(|&number| self.nodes[number].name.to_lowercase().contains(&text))
            .collect();
        self.sort(&mut found, order);
        found
    }
}

#[cfg(test)]
pub(super) mod tests {
    use ounce_oci::Digest;
    use ounce_weigh::inventory::Item;

    use super::*;

    pub(in super::super) fn inventory(files: &[(&str, u64, usize)]) -> Inventory {
        let item = |&(path, bytes, layer): &(&str, u64, usize)| Item {
            path: path.to_owned(),
            bytes,
            compressed_bytes: bytes / 2,
            kind: FileKind::Text,
            layer,
            mode: 0o644,
            package: None,
            digest: Digest::of(b""),
        };
        Inventory {
            files: files.iter().map(item).collect(),
        }
    }

    #[test]
    fn folders_sum_up_what_lies_beneath_each_once() {
        let files = inventory(&[
            ("/a-b/x", 10, 0),
            ("/a/c/y", 20, 1),
            ("/a/z", 40, 0),
            ("/top", 4, 0),
        ]);
        let tree = Tree::of(&files, None);
        assert_eq!((tree.node(0).bytes, tree.node(0).files), (74, 4));
        let names: Vec<String> = tree
            .sorted(0, Order::Bytes)
            .into_iter()
            .map(|number| format!("{} {}", tree.path(number), tree.node(number).bytes))
            .collect();
        assert_eq!(names, ["/a 60", "/a-b 10", "/top 4"]);
        let one = Tree::of(&files, Some(1));
        assert_eq!((one.node(0).bytes, one.node(0).files), (20, 1));
    }

    #[test]
    fn search_finds_names_whatever_their_case() {
        let tree = Tree::of(
            &inventory(&[("/Lib/readme", 1, 0), ("/x/LIBC", 9, 0)]),
            None,
        );
        let found = tree.search("lib", Order::Name);
        let paths: Vec<String> = found.into_iter().map(|one| tree.path(one)).collect();
        assert_eq!(paths, ["/x/LIBC", "/Lib"]);
    }
}
