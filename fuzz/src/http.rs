//! What a client sends, and a packed site that may be damaged.

use ounce_http::condition::{Facts, decide};
use ounce_http::connection::{Next, next};
use ounce_http::head::{Framing, Head, Limits, Stop, parse};
use ounce_http::packed::{self, Encoding, Site};
use ounce_http::{date, encoding, path};

/// A request head: the same result however it is cut, nothing accepted that is
/// ambiguous, and all that is accepted read as httparse reads it.
pub fn head(bytes: &[u8]) {
    let whole = parse(bytes, &Limits::DEFAULT);
    // Cut at places that the bytes themselves choose.
    for &byte in bytes.iter().rev().take(3) {
        let cut = usize::from(byte) * bytes.len() / 256;
        match (parse(&bytes[..cut], &Limits::DEFAULT), &whole) {
            (Err(Stop::Partial), _) => {}
            (Err(early), Err(late)) => assert_eq!(early, *late, "cut at {cut}"),
            (Ok(early), Ok(late)) => assert_eq!(early.length, late.length, "cut at {cut}"),
            (early, late) => panic!("cut at {cut}: {early:?}, then {late:?}"),
        }
    }
    let Ok(head) = whole else { return };
    judge_head(bytes, &head);
}

fn judge_head(bytes: &[u8], head: &Head<'_>) {
    let wire = &bytes[..head.length];
    assert!(
        wire.ends_with(b"\r\n\r\n"),
        "a head ends with an empty line"
    );
    let bare = wire
        .windows(2)
        .any(|two| (two[1] == b'\n') != (two[0] == b'\r'));
    assert!(
        !bare && !wire.contains(&0),
        "a bare line end or NUL is let through"
    );
    assert!(head.path.starts_with(b"/") || head.path == b"*", "{head:?}");
    let count = |name: &str| {
        let same = |known: &[u8]| known.eq_ignore_ascii_case(name.as_bytes());
        head.fields().filter(|(known, _)| same(known)).count()
    };
    assert!(count("host") == 1 || !head.is_http11 && count("host") == 0);
    assert!(
        count("content-length") + count("transfer-encoding") <= 1,
        "two lengths"
    );
    match head.framing {
        Framing::Chunked => assert!(head.is_http11 && count("transfer-encoding") == 1),
        Framing::Length(length) => {
            assert_eq!(count("transfer-encoding"), 0);
            assert!(length == 0 || count("content-length") == 1);
        }
    }
    for (name, value) in head.fields() {
        assert!(!name.is_empty() && name.is_ascii() && !name.contains(&b' '));
        assert!(!value.contains(&b'\r') && !value.contains(&b'\n'));
        assert!(!value.starts_with(b" ") && !value.ends_with(b"\t"));
    }
    let mut places = [httparse::EMPTY_HEADER; 128];
    let mut other = httparse::Request::new(&mut places);
    let status = other
        .parse(bytes)
        .expect("httparse refuses what was accepted");
    assert_eq!(status, httparse::Status::Complete(head.length));
    assert_eq!(other.version, Some(u8::from(head.is_http11)));
    let theirs = other
        .headers
        .iter()
        .map(|field| (field.name.as_bytes(), field.value));
    assert!(
        theirs.eq(head.fields()),
        "the fields are read in another way"
    );
}

const SMALL: Limits = Limits {
    head_bytes: 1_024,
    body_bytes: 64,
};

/// What a connection came to: each request, and how it ended.
type Course = (Vec<(Vec<u8>, Vec<u8>, bool)>, Option<u16>);

/// Plays a connection as a server does: `step` bytes come at a time, and what
/// is whole is taken off.
fn play(bytes: &[u8], step: usize) -> Course {
    let mut requests = Vec::new();
    let mut buffer = Vec::new();
    for piece in bytes.chunks(step) {
        buffer.extend_from_slice(piece);
        loop {
            let before = buffer.clone();
            let length = match next(&mut buffer, false, &SMALL) {
                Next::Idle => break assert!(before.is_empty()),
                Next::More { .. } => {
                    assert_eq!(buffer, before, "what is not whole was changed");
                    break;
                }
                Next::Refuse(status) => return (requests, Some(status.code())),
                Next::Request(message) => {
                    assert!(message.length > 0 && message.length <= before.len());
                    assert!(message.body.len() <= SMALL.body_bytes);
                    assert!(message.head.length + message.body.len() <= message.length);
                    let path = message.head.path.to_vec();
                    requests.push((path, message.body.to_vec(), message.head.keep_alive));
                    message.length
                }
            };
            buffer.drain(..length);
        }
    }
    (requests, None)
}

/// A connection's bytes: the same requests and the same end however they come.
pub fn connection(bytes: &[u8]) {
    let whole = play(bytes, bytes.len().max(1));
    let step = bytes.first().map_or(1, |&byte| usize::from(byte % 16) + 1);
    for step in [1, step] {
        let pieces = play(bytes, step);
        // Fewer bytes may be enough to refuse, never to answer differently.
        assert_eq!(pieces, whole, "{step} bytes at a time");
    }
    // A full buffer comes to an end: it is refused, or something is taken off.
    let mut full = bytes.to_vec();
    let is_more = matches!(next(&mut full, true, &SMALL), Next::More { .. });
    assert!(!is_more, "a full buffer waits for ever");
}

/// Conditions, ranges, codings, dates and paths, as fields of a good request.
pub fn condition(bytes: &[u8]) {
    let request = [b"GET / HTTP/1.1\r\nHost: a\r\n", bytes, b"\r\n\r\n"].concat();
    if let Ok(head) = parse(&request, &Limits::DEFAULT) {
        for length_bytes in [0, 1, 36, 1 << 40, u64::MAX] {
            for (etag, modified_seconds) in [(&b"\"tag\""[..], 1_704_112_496), (b"", 0)] {
                let facts = Facts {
                    etag,
                    modified_seconds,
                    length_bytes,
                };
                judge_decision(&head, &facts);
            }
        }
        let accepted = head.field("accept-encoding");
        let weights = encoding::weights(accepted);
        for available in 0..16 {
            let number = encoding::choose(&weights, available | 1);
            assert!(
                number < 4 && (available | 1) >> number & 1 == 1,
                "what is not there"
            );
        }
    }
    if let Some(seconds) = date::parse(bytes) {
        let mut text = [0; date::DATE_BYTES];
        date::imf_fixdate(seconds, &mut text);
        assert_eq!(
            date::parse(&text),
            Some(seconds),
            "{seconds} is not read back"
        );
    }
    let mut place = [0; 512];
    if let Ok(path) = path::decode(bytes, &mut place) {
        assert!(path.starts_with(b"/") && path.len() <= bytes.len());
        assert!(
            path.iter()
                .all(|&byte| byte >= b' ' && byte != 0x7f && byte != b'\\')
        );
        let mut segments = path.split(|&byte| byte == b'/');
        assert!(segments.all(|segment| segment != b"." && segment != b".."));
    }
}

fn judge_decision(head: &Head<'_>, facts: &Facts<'_>) {
    let decision = decide(head, facts);
    let (start, end, length) = (decision.start, decision.end, facts.length_bytes);
    assert!(start <= end && end <= length, "{decision:?} of {length}");
    match decision.status.code() {
        200 => assert_eq!((start, end), (0, length)),
        206 => assert!(start < end, "an empty part: {decision:?}"),
        304 | 412 | 416 => assert_eq!(start, end),
        other => panic!("{other}"),
    }
    let is_conditional = head
        .fields()
        .any(|(name, _)| name.to_ascii_lowercase().starts_with(b"if-"));
    let has_range = head.field("range").is_some();
    assert!(is_conditional || has_range || decision.status.code() == 200);
}

/// A packed site: no bytes make the reader panic, and what it gives lies within.
pub fn packed_site(bytes: &[u8]) {
    judge_site(bytes);
    // Damage behind the header is what gets far: mend magic and length.
    let mut mended = bytes.to_vec();
    if mended.len() >= packed::HEADER_BYTES {
        mended[..12].copy_from_slice(&packed::MAGIC);
        let length = u32::try_from(mended.len()).unwrap_or(u32::MAX);
        mended[16..20].copy_from_slice(&length.to_le_bytes());
        judge_site(&mended);
    }
}

fn judge_site(bytes: &[u8]) {
    let Some(site) = Site::new(bytes) else { return };
    assert!(site.count() * packed::ENTRY_BYTES <= bytes.len());
    let tail = &bytes[bytes.len().saturating_sub(8)..];
    for path in [
        b"/".as_slice(),
        b"/a",
        b"/a.txt",
        b"/docs/",
        b"",
        b"*",
        b"/\xff\xff",
        tail,
    ] {
        for entry in [site.find(path), site.lookup(path)].into_iter().flatten() {
            let _ = entry.kind();
            for weights in [
                [0, 0, 0, 0],
                [0, 0, 0, 1],
                [1_000; 4],
                [1, 2, 3, 4],
                [4, 3, 2, 0],
            ] {
                let variant = entry.choose(&weights);
                let _ = variant.etag();
                let start = variant.body_offset as usize;
                assert!(variant.body.is_empty() || bytes[start..].starts_with(variant.body));
                assert!(variant.fields.len() <= usize::from(u16::MAX));
            }
            let _ = [
                Encoding::Br,
                Encoding::Zstd,
                Encoding::Gzip,
                Encoding::Identity,
            ]
            .map(|encoding| entry.has(encoding));
        }
    }
}
