//! Compressed variants of a body: which are worth having, and those that the
//! folder brings itself.
//!
//! A variant costs its own bytes in every pull of the image (the layer's gzip
//! makes nothing of them), so it has to give something for it:
//!
//! - Bodies below [`LEAST_BYTES`] get none: head and body are two packets of the
//!   first flight with or without.
//! - Kinds that are compressed by nature get none, and nothing beyond
//!   [`MOST_BYTES`] does: such files are downloads, and asked for in ranges.
//! - gzip, which everyone takes, must save 5 % of the plain bytes; br and zstd
//!   must save 5 % of what gzip leaves, since who takes them takes gzip, too.
//! - What stands beside the file as `x.br`, `x.zst` or `x.gz` is used as it is,
//!   whatever it saves, up to [`MOST_BYTES`] of the plain file.

use brotlic::{CompressionMode, Quality, WindowSize};
use libdeflater::{CompressionLvl, Compressor, Decompressor};
use ounce_http::packed::Encoding;

use super::media::media_type;

/// Shorter bodies are sent as they are: head and body are within 1,760 bytes,
/// two packets, and a smaller body would be one of them at best, not a round trip less.
const LEAST_BYTES: u64 = 1_400;
/// Longer ones are, too.
pub(super) const MOST_BYTES: u64 = 64 << 20;
/// Up to this many bytes the best level is worth waiting for: br takes a second a megabyte.
const BEST_BYTES: usize = 4 << 20;
/// Most window that a zstd of the web may need (RFC 9659 section 3).
const ZSTD_WINDOW_LOG: u32 = 23;

/// The codings that compress.
pub(super) const COMPRESSED: [Encoding; 3] = [Encoding::Br, Encoding::Zstd, Encoding::Gzip];

/// In `Content-Encoding`.
pub(super) fn name(coding: Encoding) -> Option<&'static str> {
    match coding {
        Encoding::Br => Some("br"),
        Encoding::Zstd => Some("zstd"),
        Encoding::Gzip => Some("gzip"),
        Encoding::Identity => None,
    }
}

/// Behind the name of a file that stands beside the plain one.
pub(super) fn suffix(coding: Encoding) -> &'static str {
    match coding {
        Encoding::Br => ".br",
        Encoding::Zstd => ".zst",
        Encoding::Gzip => ".gz",
        Encoding::Identity => "",
    }
}

/// Whether trying to compress makes sense, by the path's media type and length.
pub(super) fn is_worth_trying(path: &[u8], bytes: u64) -> bool {
    if !(LEAST_BYTES..=MOST_BYTES).contains(&bytes) {
        return false;
    }
    let dot = path.iter().rposition(|&byte| byte == b'.' || byte == b'/');
    let extension = dot
        .map_or(path, |dot| &path[dot + 1..])
        .to_ascii_lowercase();
    const ARCHIVES: [&[u8]; 12] = [
        b"br", b"gz", b"tgz", b"zst", b"xz", b"bz2", b"7z", b"rar", b"apk", b"jar", b"docx",
        b"xlsx",
    ];
    if ARCHIVES.contains(&&extension[..]) {
        return false;
    }
    let kind = media_type(path);
    let by_nature = [
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "font/woff",
        "font/woff2",
        "application/zip",
        "audio/",
        "video/",
    ];
    // `font/woff` covers both, `image/svg+xml` and icons are none of them.
    !by_nature.iter().any(|nature| kind.starts_with(nature))
}

/// Compresses; `None` where the result is not worth it.
pub(super) fn compress(
    plain: &[u8],
    coding: Encoding,
    gzip_bytes: Option<usize>,
) -> Option<Vec<u8>> {
    let best = plain.len() <= BEST_BYTES;
    let made = match coding {
        Encoding::Br => br(plain, best)?,
        Encoding::Zstd => {
            let level = if best { 19 } else { 12 };
            zstd::bulk::compress(plain, level).ok()?
        }
        Encoding::Gzip => {
            let level = CompressionLvl::new(if best { 12 } else { 9 }).ok()?;
            let mut compressor = Compressor::new(level);
            let mut out = vec![0; compressor.gzip_compress_bound(plain.len())];
            let length = compressor.gzip_compress(plain, &mut out).ok()?;
            out.truncate(length);
            out
        }
        Encoding::Identity => return None,
    };
    let beside = match coding {
        Encoding::Gzip => plain.len(),
        _ => gzip_bytes.unwrap_or(plain.len()),
    };
    // In u64, since on 32-bit machines the product would not fit.
    (made.len() as u64 * 100 <= beside as u64 * 95).then_some(made)
}

fn br(plain: &[u8], best: bool) -> Option<Vec<u8>> {
    let quality = Quality::new(if best { 11 } else { 9 }).ok()?;
    // The largest that every decoder of RFC 7932 has to take is 16 MB; 4 MB is
    // what browsers are used to, and as good up to that length.
    let window = WindowSize::new(if best { 22 } else { 24 }).ok()?;
    let mut out = vec![0; brotlic::compress_bound(plain.len(), quality)?];
    let length =
        brotlic::compress(plain, &mut out, quality, window, CompressionMode::Generic).ok()?;
    out.truncate(length);
    Some(out)
}

/// Whether a file that stands beside another is that one, compressed.
pub(super) fn is_same(plain: &[u8], coded: &[u8], coding: Encoding) -> Result<(), &'static str> {
    const OTHER: &str = "it unpacks to something else";
    const BROKEN: &str = "it does not unpack";
    let mut out = vec![0; plain.len()];
    let length = match coding {
        // One-shot: what is longer than the plain file does not fit and fails.
        Encoding::Br => brotlic::decompress(coded, &mut out).map_err(|_| OTHER)?,
        Encoding::Gzip => Decompressor::new()
            .gzip_decompress(coded, &mut out)
            .map_err(|_| OTHER)?,
        Encoding::Zstd => {
            let mut decoder = zstd::Decoder::new(coded).map_err(|_| BROKEN)?;
            decoder
                .window_log_max(ZSTD_WINDOW_LOG)
                .map_err(|_| BROKEN)?;
            // One byte more than there may be, to see that it is not longer.
            let most = plain.len() as u64 + 1;
            out.clear();
            std::io::Read::read_to_end(&mut std::io::Read::take(decoder, most), &mut out).map_err(
                |_| "it does not unpack with a window of 8 MB, the most that browsers take",
            )?
        }
        Encoding::Identity => return Err(BROKEN),
    };
    match out.get(..length) == Some(plain) {
        true => Ok(()),
        false => Err(OTHER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose(bytes: usize) -> Vec<u8> {
        let words = ["the ", "small ", "server ", "answers ", "whole ", "sites\n"];
        let mut state = 7_u32;
        let mut text = Vec::new();
        while text.len() < bytes {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.extend(words[(state >> 16) as usize % words.len()].bytes());
        }
        text.truncate(bytes);
        text
    }

    #[test]
    fn every_coding_gives_the_bytes_back_and_the_same_ones_each_time() {
        for bytes in [1_400, 50_000] {
            let plain = prose(bytes);
            for coding in COMPRESSED {
                let made = compress(&plain, coding, None).unwrap();
                assert_eq!(is_same(&plain, &made, coding), Ok(()), "{coding:?}");
                assert_eq!(compress(&plain, coding, None).unwrap(), made);
            }
        }
    }

    #[test]
    fn a_variant_that_saves_too_little_is_not_made() {
        let plain = prose(20_000);
        let gzip = compress(&plain, Encoding::Gzip, None).unwrap();
        let br = compress(&plain, Encoding::Br, None).unwrap();
        assert!(compress(&plain, Encoding::Br, Some(br.len())).is_none());
        assert!(compress(&gzip, Encoding::Gzip, None).is_none());
    }

    #[test]
    fn a_file_that_is_not_the_other_compressed_is_seen() {
        let plain = prose(5_000);
        let (mut longer, mut other) = (plain.clone(), plain.clone());
        longer.push(b'x');
        other[17] ^= 1;
        for coding in COMPRESSED {
            for wrong in [&longer[..], &other, &plain[..4_999]] {
                let made = compress(wrong, coding, None).unwrap();
                assert!(is_same(&plain, &made, coding).is_err(), "{coding:?}");
            }
            let made = compress(&plain, coding, None).unwrap();
            assert!(is_same(&plain, &made[..made.len() / 2], coding).is_err());
            assert!(is_same(&plain, b"", coding).is_err());
            assert!(is_same(&plain, &plain, coding).is_err());
        }
    }

    #[test]
    fn a_zstd_that_browsers_refuse_is_refused() {
        let plain = vec![0; 20 << 20];
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(25).unwrap();
        encoder.include_contentsize(false).unwrap();
        std::io::Write::write_all(&mut encoder, &plain).unwrap();
        let made = encoder.finish().unwrap();
        assert!(
            is_same(&plain, &made, Encoding::Zstd)
                .unwrap_err()
                .contains("8 MB")
        );
    }

    #[test]
    fn what_is_compressed_by_nature_or_too_short_is_left_alone() {
        for path in [
            "/a.PNG",
            "/a.woff2",
            "/a.mp4",
            "/x/a.tar.gz",
            "/a.zip",
            "/a.br",
        ] {
            assert!(!is_worth_trying(path.as_bytes(), 10_000), "{path}");
        }
        for path in [
            "/a.html",
            "/a.svg",
            "/a.wasm",
            "/a.ico",
            "/data",
            "/a.b/gz.txt",
        ] {
            assert!(is_worth_trying(path.as_bytes(), 10_000), "{path}");
        }
        assert!(!is_worth_trying(b"/a.html", 1_399));
        assert!(!is_worth_trying(b"/a.html", (64 << 20) + 1));
    }
}
