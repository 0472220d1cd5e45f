//! `package.json`: where a package's modules are.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// How deep conditions may stand in conditions.
const DEEPEST: usize = 32;
/// Most keys or elements that are kept of one table or list.
const MOST: usize = 100_000;

/// Modules that come with Node itself, without their prefix `node:`.
const BUILT_IN: [&str; 46] = [
    "assert",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "constants",
    "crypto",
    "dgram",
    "diagnostics_channel",
    "dns",
    "domain",
    "events",
    "fs",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "punycode",
    "querystring",
    "readline",
    "repl",
    "sea",
    "sqlite",
    "stream",
    "string_decoder",
    "sys",
    "test",
    "timers",
    "tls",
    "trace_events",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "wasi",
    "worker_threads",
    "zlib",
    "_http_agent",
];

/// Whether Node has this module itself.
pub fn is_builtin(name: &str) -> bool {
    if name.starts_with("node:") {
        return true;
    }
    let first = name.split('/').next().unwrap_or(name);
    BUILT_IN.contains(&first) || first.starts_with("_stream_") || first.starts_with("_tls_")
}

/// A JSON value whose keys keep their order: the first condition that holds wins.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Text(String),
    List(Vec<Value>),
    Table(Vec<(String, Value)>),
    /// `null`, or what has no meaning here.
    Other,
}

impl Value {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn table(&self) -> Option<&[(String, Value)]> {
        match self {
            Self::Table(table) => Some(table),
            _ => None,
        }
    }

    /// The value of a key; of several, the last, as JavaScript takes it.
    fn get(&self, key: &str) -> Option<&Value> {
        let table = self.table()?;
        table
            .iter()
            .rev()
            .find(|(own, _)| own == key)
            .map(|one| &one.1)
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = from.next_element()? {
            if all.len() < MOST {
                all.push(one);
            }
        }
        Ok(Value::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(key) = from.next_key()? {
            if all.len() < MOST {
                all.push((key, from.next_value()?));
            } else {
                from.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Value::Table(all))
    }
}

/// A `package.json`, as far as it says where modules are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    /// Its name, by which it may ask for itself.
    pub name: Option<String>,
    /// What `require` of the folder gives.
    pub main: Option<String>,
    /// Programs, relative to the folder.
    pub programs: Vec<String>,
    exports: Option<Value>,
    imports: Option<Value>,
}

impl Manifest {
    /// Reads one; none where it is no JSON object.
    pub fn read(data: &[u8]) -> Option<Self> {
        let object: Value = serde_json::from_slice(data).ok()?;
        object.table()?;
        let text = |key: &str| object.get(key)?.text().map(str::to_owned);
        let programs = match object.get("bin") {
            Some(Value::Text(one)) => vec![one.clone()],
            Some(Value::Table(all)) => {
                let texts = all.iter().filter_map(|(_, value)| value.text());
                texts.map(str::to_owned).collect()
            }
            _ => Vec::new(),
        };
        Some(Self {
            name: text("name"),
            main: text("main"),
            programs,
            exports: object
                .get("exports")
                .filter(|it| **it != Value::Other)
                .cloned(),
            imports: object.get("imports").cloned(),
        })
    }

    /// Whether it says itself which modules may be asked for.
    pub fn has_exports(&self) -> bool {
        self.exports.is_some()
    }

    /// Files, relative to the folder, that `name` or `name/subpath` may be:
    /// `.` or `./subpath`, by `import` or by `require`.
    pub fn exported(&self, subpath: &str, import: bool) -> Vec<String> {
        let Some(exports) = &self.exports else {
            return Vec::new();
        };
        let table = exports
            .table()
            .filter(|table| table.iter().any(|(key, _)| key.starts_with('.')));
        match table {
            None if subpath == "." => targets(exports, None, import, 0),
            None => Vec::new(),
            Some(table) => matched(table, subpath, import),
        }
    }

    /// What `#name` stands for: files (`./x`) or modules.
    pub fn imported(&self, name: &str, import: bool) -> Vec<String> {
        match &self.imports {
            Some(Value::Table(table)) => matched(table, name, import),
            _ => Vec::new(),
        }
    }
}

/// The entry for a key: itself, else the pattern with the longest beginning.
fn matched(table: &[(String, Value)], key: &str, import: bool) -> Vec<String> {
    if let Some((_, value)) = table.iter().find(|(own, _)| own == key) {
        return targets(value, None, import, 0);
    }
    let best = table
        .iter()
        .filter_map(|(pattern, value)| {
            let (begin, end) = pattern.split_once('*')?;
            let star = key.strip_prefix(begin)?.strip_suffix(end)?;
            (!star.is_empty()).then_some((begin.len(), star, value))
        })
        .max_by_key(|(length, ..)| *length);
    best.map_or_else(Vec::new, |(_, star, value)| {
        targets(value, Some(star), import, 0)
    })
}

/// The first condition that holds decides; of lists, all: Node takes the first
/// that is valid.
fn targets(value: &Value, star: Option<&str>, import: bool, depth: usize) -> Vec<String> {
    if depth > DEEPEST {
        return Vec::new();
    }
    match value {
        Value::Text(path) => vec![match star {
            Some(star) => path.replace('*', star),
            None => path.clone(),
        }],
        Value::List(all) => all
            .iter()
            .flat_map(|one| targets(one, star, import, depth + 1))
            .collect(),
        Value::Table(conditions) => {
            for (name, value) in conditions {
                let holds = match name.as_str() {
                    "node" | "default" | "node-addons" | "module-sync" => true,
                    "import" => import,
                    "require" => !import,
                    _ => false,
                };
                if holds {
                    let found = targets(value, star, import, depth + 1);
                    if !found.is_empty() {
                        return found;
                    }
                }
            }
            Vec::new()
        }
        Value::Other => Vec::new(),
    }
}
