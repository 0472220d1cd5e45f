//! A key-value store in memory, within bounds, with conditional writes.
//!
//! `GET|PUT|DELETE /keys/{key}`, `GET /keys` lists, `GET /metrics` counts.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::http::utf8;
use ounce_httpd::{
    Answer, Piece, Problem, Program, Request, Response, Route, Service, State, Status, Tag, serve,
};

ounce_httpd::entry!(main);

fn main(program: &Program) -> u8 {
    serve(program, STORE.take())
}

const MAX_KEY_BYTES: usize = 64;
const MAX_VALUE_BYTES: usize = 8_192;
const MAX_TOTAL_BYTES: usize = 512 * 1_024;
const TOO_LONG: &Problem = &Problem::new(Status::BadRequest, "Keys have at most 64 bytes.");
const FULL: &Problem = &Problem::new(Status::InsufficientStorage, "The store is full.");
const NO_KEY: &Problem = &Problem::new(Status::NotFound, "No such key.");

impl Service for Store {
    const ROUTES: &'static [Route<Self>] = &[
        Route::get("/keys", Self::list).pieces(Self::list_piece),
        Route::get("/keys/{key}", Self::get),
        Route::put("/keys/{key}", Self::put).limit(MAX_VALUE_BYTES as u64),
        Route::delete("/keys/{key}", Self::delete),
        Route::get("/metrics", Self::metrics),
    ];
}

static STORE: State<Store> = State::new(Store {
    bytes: [0; MAX_TOTAL_BYTES],
    end: 0,
    keys: 0,
    version: 0,
    hits: 0,
    misses: 0,
});

/// Records stand one behind another, oldest first; what is dropped closes its gap.
struct Store {
    bytes: [u8; MAX_TOTAL_BYTES],
    end: usize,
    keys: u64,
    version: u32,
    hits: u64,
    misses: u64,
}

/// On four bytes of version, one of the key's length and two of the value's
/// follow the key and the value.
#[derive(Clone, Copy)]
struct Record<'a> {
    start: usize,
    version: u32,
    key: &'a [u8],
    value: &'a [u8],
}

const RECORD_BYTES: usize = 7;

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8], start: usize) -> Option<Self> {
        let (&[a, b, c, d, key, low, high], rest) = bytes.get(start..)?.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(key.into())?;
        Some(Self {
            start,
            version: u32::from_le_bytes([a, b, c, d]),
            key,
            value: rest.get(..u16::from_le_bytes([low, high]).into())?,
        })
    }

    fn length(&self) -> usize {
        RECORD_BYTES + self.key.len() + self.value.len()
    }

    fn tag(&self) -> Tag {
        Tag::of(self.version.into())
    }
}

impl Store {
    fn records(&self) -> impl Iterator<Item = Record<'_>> {
        let bytes = self.bytes.get(..self.end).unwrap_or_default();
        let mut at = 0;
        core::iter::from_fn(move || {
            let record = Record::read(bytes, at)?;
            at += record.length();
            Some(record)
        })
    }

    fn find(&self, key: &str) -> Option<Record<'_>> {
        self.records().find(|record| record.key == key.as_bytes())
    }

    fn remove(&mut self, start: usize, length: usize) {
        self.bytes.copy_within(start + length..self.end, start);
        self.end -= length;
        self.keys -= 1;
    }

    fn insert(&mut self, key: &str, value: &[u8]) {
        let [a, b, c, d] = self.version.to_le_bytes();
        let [low, high] = (value.len() as u16).to_le_bytes();
        let head = [a, b, c, d, key.len() as u8, low, high];
        for part in [&head, key.as_bytes(), value] {
            let end = self.end + part.len();
            if let Some(place) = self.bytes.get_mut(self.end..end) {
                place.copy_from_slice(part);
            }
            self.end = end;
        }
        self.keys += 1;
    }

    fn get(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        let Some(record) = self.find(request.param("key")) else {
            self.misses += 1;
            return Err(NO_KEY);
        };
        let tag = record.tag();
        response.tag(&tag).content_type("application/octet-stream");
        if request.has(tag.as_bytes()) {
            response.status(Status::NotModified);
        } else {
            response.write(record.value);
        }
        self.hits += 1;
        Ok(())
    }

    fn put(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        let key = request.param("key");
        if key.len() > MAX_KEY_BYTES {
            return Err(TOO_LONG);
        }
        let old = self.find(key);
        request.may_change(old.map(|old| old.tag()).as_ref())?;
        let old = old.map(|old| (old.start, old.length()));
        let freed = old.map_or(0, |(_, length)| length);
        let needed = RECORD_BYTES + key.len() + request.body.len();
        if self.end - freed + needed > MAX_TOTAL_BYTES {
            return Err(FULL);
        }
        self.version = self.version.checked_add(1).ok_or(FULL)?;
        match old {
            Some((start, length)) => {
                self.remove(start, length);
                response.status(Status::NoContent);
            }
            None => {
                response.status(Status::Created);
            }
        }
        self.insert(key, request.body);
        response.tag(&Tag::of(self.version.into()));
        Ok(())
    }

    fn delete(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        let old = self.find(request.param("key")).ok_or(NO_KEY)?;
        request.may_change(Some(&old.tag()))?;
        self.remove(old.start, old.length());
        response.status(Status::NoContent);
        Ok(())
    }

    /// Newer records stand behind older ones: a place in the list is the version
    /// to go on with, and above it that which is the last.
    fn list(&mut self, _: &mut Request, response: &mut Response) -> Answer {
        let last = u64::from(self.version);
        response.content_type("application/json").stream(last << 32);
        Ok(())
    }

    fn list_piece(&mut self, at: u64, piece: &mut Piece) -> Option<u64> {
        let (next, last) = (at as u32, (at >> 32) as u32);
        if next == 0 {
            piece.text("[");
        }
        let mut is_first = next == 0;
        for record in self.records() {
            if record.version < next || record.version > last {
                continue;
            }
            if piece.room() < 8 * MAX_KEY_BYTES {
                return Some(at & !0xffff_ffff | u64::from(record.version));
            }
            let mut json = piece.json(!is_first);
            is_first = false;
            json.object()
                .key("key")
                .string(utf8(record.key).unwrap_or_default());
            json.key("bytes").number(record.value.len() as u64);
            json.key("version").number(record.version.into());
            json.end_object();
        }
        piece.text("]\n");
        None
    }

    fn metrics(&mut self, _: &mut Request, response: &mut Response) -> Answer {
        let numbers = [
            self.keys,
            self.end as u64,
            MAX_TOTAL_BYTES as u64,
            self.version.into(),
            self.hits,
            self.misses,
        ];
        response.numbers(
            "kv_keys %\nkv_bytes %\nkv_bytes_limit %\nkv_writes_total %\nkv_hits_total %\n\
            kv_misses_total %\n",
            &numbers,
        );
        Ok(())
    }
}
