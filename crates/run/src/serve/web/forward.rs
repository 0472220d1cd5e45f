//! What a proxy changes of heads on their way (RFC 9110 section 7.6): fields of
//! the one connection are left behind, and who asked is told.

use std::net::IpAddr;

use ounce_http::head::Framing;

use super::head::{Answer, Ends, Request, is_same, options};

/// Fields that are of the connection they came on, whether it says so or not.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
];
/// What tells who asked.
const FORWARDED: [&str; 4] = [
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "forwarded",
];
/// What stands in Via (RFC 9110 section 7.6.3).
const PSEUDONYM: &str = "ounce";

fn put(bytes: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    bytes.extend(name);
    bytes.extend(b": ");
    bytes.extend(value);
    bytes.extend(b"\r\n");
}

fn framing(bytes: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Length(length) => {
            put(bytes, b"Content-Length", length.to_string().as_bytes());
        }
        Framing::Chunked => put(bytes, b"Transfer-Encoding", b"chunked"),
    }
}

/// Whether a field goes no further.
fn stays(name: &[u8], named: &[&[u8]]) -> bool {
    HOP_BY_HOP.iter().any(|hop| is_same(name, hop))
        || is_same(name, "content-length")
        || named.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The head of a request as a service gets it. Who is asked for, and by whom,
/// is believed of a proxy on this machine (as one that ends TLS), and of nobody else.
pub(super) fn request(head: &Request<'_>, peer: IpAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(head.length + 256);
    bytes.extend(head.method);
    bytes.push(b' ');
    bytes.extend(head.target);
    // To an old client nothing may be sent in chunks, so none are asked for.
    bytes.extend(match head.is_http11 {
        true => &b" HTTP/1.1\r\n"[..],
        false => &b" HTTP/1.0\r\n"[..],
    });
    let named = options(&head.fields);
    let believed = peer.to_canonical().is_loopback();
    let mut chain = Vec::new();
    let mut via = Vec::new();
    let mut known = [false; FORWARDED.len()];
    for (name, value) in &head.fields {
        let forwarded = FORWARDED.iter().position(|other| is_same(name, other));
        // Whoever lists one of these in Connection wants it gone.
        if let (Some(place), true) = (forwarded, believed) {
            known[place] = true;
            if place == 0 {
                join(&mut chain, value);
                continue;
            }
        }
        let dropped = forwarded.is_some() && !believed;
        if is_same(name, "via") {
            join(&mut via, value);
        } else if !dropped && (is_same(name, "host") || !stays(name, &named)) {
            put(&mut bytes, name, value);
        }
    }
    join(&mut chain, peer.to_canonical().to_string().as_bytes());
    put(&mut bytes, b"X-Forwarded-For", &chain);
    if !known[1] && !head.host.is_empty() {
        let host = head.fields.iter().find(|(name, _)| is_same(name, "host"));
        put(
            &mut bytes,
            b"X-Forwarded-Host",
            host.map_or(&head.host[..], |(_, value)| value),
        );
    }
    if !known[2] {
        put(&mut bytes, b"X-Forwarded-Proto", b"http");
    }
    let version = if head.is_http11 { "1.1" } else { "1.0" };
    join(&mut via, format!("{version} {PSEUDONYM}").as_bytes());
    put(&mut bytes, b"Via", &via);
    let has_length = head
        .fields
        .iter()
        .any(|(name, _)| is_same(name, "content-length"));
    if head.framing != Framing::Length(0) || has_length {
        framing(&mut bytes, head.framing);
    }
    match head.upgrade {
        Some(protocol) => {
            put(&mut bytes, b"Upgrade", protocol);
            put(&mut bytes, b"Connection", b"upgrade");
        }
        None => put(&mut bytes, b"Connection", b"close"),
    }
    bytes.extend(b"\r\n");
    bytes
}

fn join(list: &mut Vec<u8>, value: &[u8]) {
    if !list.is_empty() {
        list.extend(b", ");
    }
    list.extend(value);
}

/// The head of an answer as the client gets it.
pub(super) fn answer(head: &Answer<'_>, keep_alive: bool) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(head.length + 128);
    bytes.extend(b"HTTP/1.1 ");
    bytes.extend(head.line);
    bytes.extend(b"\r\n");
    let named = options(&head.fields);
    let mut via = Vec::new();
    for (name, value) in &head.fields {
        if is_same(name, "via") {
            join(&mut via, value);
        } else if is_same(name, "content-length") {
            // One without a body (to HEAD, or 304) tells a length all the same.
            if head.ends == Ends::Framed(Framing::Length(0))
                && head.status >= 200
                && head.status != 204
            {
                put(&mut bytes, name, value);
            }
        } else if !stays(name, &named) {
            put(&mut bytes, name, value);
        }
    }
    if head.status >= 200 {
        join(&mut via, format!("1.1 {PSEUDONYM}").as_bytes());
        put(&mut bytes, b"Via", &via);
        match head.ends {
            Ends::Framed(Framing::Length(0)) | Ends::AtClose => {}
            Ends::Framed(other) => framing(&mut bytes, other),
        }
        put(
            &mut bytes,
            b"Connection",
            match keep_alive {
                true => b"keep-alive",
                false => b"close",
            },
        );
    } else if head.status == 101 {
        let upgrade = head
            .fields
            .iter()
            .filter(|(name, _)| is_same(name, "upgrade"));
        for (_, value) in upgrade {
            put(&mut bytes, b"Upgrade", value);
        }
        put(&mut bytes, b"Connection", b"upgrade");
    }
    bytes.extend(b"\r\n");
    bytes
}

/// An answer of our own.
pub(super) fn own(status: u16, text: &str, more: &str, keep_alive: bool, is_head: bool) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    };
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let kind = match more.contains("Content-Type") {
        true => "",
        false => "Content-Type: text/plain; charset=utf-8\r\n",
    };
    let mut bytes = format!(
        "HTTP/1.1 {status} {reason}\r\n{kind}Content-Length: {}\r\n{more}Connection: {connection}\r\n\r\n",
        text.len()
    )
    .into_bytes();
    if !is_head {
        bytes.extend(text.as_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::web::head;

    fn forwarded(text: &str, peer: &str) -> String {
        let head = head::request(text.as_bytes()).unwrap().unwrap();
        String::from_utf8(request(&head, peer.parse().unwrap())).unwrap()
    }

    #[test]
    fn fields_of_the_connection_are_left_behind() {
        let text = forwarded(
            "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n\
             Keep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: x\r\n\
             Transfer-Encoding: chunked\r\nAccept: */*\r\nX-Forwarded-For: 6.6.6.6\r\n\
             Forwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\n\r\n",
            "192.0.2.7",
        );
        assert_eq!(
            text,
            "POST /x HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nX-Forwarded-For: 192.0.2.7\r\n\
             X-Forwarded-Host: a\r\nX-Forwarded-Proto: http\r\nVia: 1.1 ounce\r\n\
             Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn a_proxy_on_this_machine_is_believed() {
        let text = forwarded(
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.7\r\nVia: 2 tls\r\n\
             X-Forwarded-Proto: https\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "::ffff:127.0.0.1",
        );
        assert_eq!(
            text,
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\n\
             X-Forwarded-For: 192.0.2.7, 127.0.0.1\r\nX-Forwarded-Host: a\r\n\
             Via: 2 tls, 1.1 ounce\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
        );
    }

    #[test]
    fn an_answer_keeps_its_framing_and_loses_its_connection() {
        let text = "HTTP/1.1 200 Fine\r\nConnection: close\r\nContent-Length: 5\r\nETag: x\r\n\r\n";
        let head = head::answer(text.as_bytes(), b"GET").unwrap().unwrap();
        assert_eq!(
            String::from_utf8(answer(&head, true)).unwrap(),
            "HTTP/1.1 200 Fine\r\nETag: x\r\nVia: 1.1 ounce\r\nContent-Length: 5\r\n\
             Connection: keep-alive\r\n\r\n"
        );
        let head = head::answer(text.as_bytes(), b"HEAD").unwrap().unwrap();
        let bytes = String::from_utf8(answer(&head, false)).unwrap();
        assert_eq!(bytes.matches("Content-Length: 5\r\n").count(), 1);
        let text = "HTTP/1.1 204 No\r\n\r\n";
        let head = head::answer(text.as_bytes(), b"GET").unwrap().unwrap();
        let bytes = String::from_utf8(answer(&head, true)).unwrap();
        assert!(!bytes.contains("Content-Length"), "{bytes}");
    }
}
