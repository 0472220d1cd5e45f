//! Receives webhooks: signed, each once, remembered within a bound.
//!
//! `POST /hook` wants `X-Hub-Signature-256: sha256=…` (HMAC-SHA256 of the body
//! with the key `SECRET`, as GitHub sends it), a delivery's id in
//! `X-GitHub-Delivery`, and JSON. `GET /deliveries` lists the last 20.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::http::{secret, utf8};
use ounce_httpd::{
    Answer, Problem, Program, Request, Response, Route, Service, State, Status, Text, serve,
};
use sha2::{Digest, Sha256};

ounce_httpd::entry!(main);

fn main(program: &Program) -> u8 {
    let hooks = HOOKS.take();
    hooks.secret = program.variable("SECRET");
    if hooks.secret.unwrap_or_default().is_empty() {
        program.complain(b"error: SECRET is not set\nhint: the key that the sender signs with\n");
        return 2;
    }
    serve(program, hooks)
}

/// So many are told in one answer, of 16 KB, though every character be escaped.
const LAST: usize = 20;
const MAX_BYTES: u64 = 15_360;
const UNSIGNED: &Problem = &Problem::new(Status::Unauthorized, "The signature is not ours.");
const NO_ID: &Problem = &Problem::new(
    Status::BadRequest,
    "X-GitHub-Delivery is to name the delivery, in at most 48 bytes.",
);

impl Service for Hooks {
    const ROUTES: &'static [Route<Self>] = &[
        Route::post("/hook", Self::receive).limit(MAX_BYTES),
        Route::get("/deliveries", Self::list),
    ];
}

static HOOKS: State<Hooks> = State::new(Hooks {
    secret: None,
    count: 0,
    last: [Delivery::EMPTY; LAST],
});

/// The delivery of number `n` stands at `n % LAST`.
struct Hooks {
    secret: Option<&'static [u8]>,
    count: u32,
    last: [Delivery; LAST],
}

#[derive(Clone, Copy)]
struct Delivery {
    id: Text<48>,
    event: Text<24>,
    action: Text<24>,
    repository: Text<64>,
}

impl Delivery {
    const EMPTY: Self = Self {
        id: Text::EMPTY,
        event: Text::EMPTY,
        action: Text::EMPTY,
        repository: Text::EMPTY,
    };
}

impl Hooks {
    fn receive(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        let signature = request.field("X-Hub-Signature-256").unwrap_or_default();
        if !is_signed(self.secret.unwrap_or_default(), request.body, signature) {
            return Err(UNSIGNED);
        }
        let text = |name| request.field(name).and_then(utf8).unwrap_or_default();
        let id = text("X-GitHub-Delivery");
        let mut delivery = Delivery::EMPTY;
        if id.is_empty() || !delivery.id.set(id) {
            return Err(NO_ID);
        }
        delivery.event.cut(text("X-GitHub-Event"));
        if self.last.iter().any(|known| known.id.as_str() == id) {
            // Senders try again where an answer was lost.
            response.text("known already\n");
            return Ok(());
        }
        let mut json = request.json()?;
        json.object();
        while let Some(key) = json.key() {
            match key {
                "action" => delivery.action.cut(json.string()),
                "repository" => {
                    json.object();
                    while let Some(key) = json.key() {
                        match key {
                            "full_name" => delivery.repository.cut(json.string()),
                            _ => json.skip(),
                        }
                    }
                }
                _ => json.skip(),
            }
        }
        json.end()?;
        if let Some(place) = self.last.get_mut(self.count as usize % LAST) {
            *place = delivery;
        }
        self.count += 1;
        response.status(Status::Accepted).text("taken\n");
        Ok(())
    }

    /// From the newest back.
    fn list(&mut self, _: &mut Request, response: &mut Response) -> Answer {
        let mut json = response.json();
        json.array();
        let oldest = self.count.saturating_sub(LAST as u32);
        for number in (oldest..self.count).rev() {
            if let Some(delivery) = self.last.get(number as usize % LAST) {
                json.object().key("number").number(number.into());
                json.key("id").string(delivery.id.as_str());
                json.key("event").string(delivery.event.as_str());
                json.key("action").string(delivery.action.as_str());
                json.key("repository").string(delivery.repository.as_str());
                json.end_object();
            }
        }
        json.end_array();
        Ok(())
    }
}

/// `sha256=` and the code in hexadecimal; compared in constant time.
fn is_signed(secret: &[u8], body: &[u8], signature: &[u8]) -> bool {
    let mut text = *b"sha256=0000000000000000000000000000000000000000000000000000000000000000";
    let digits = text.iter_mut().skip(7);
    let code = code(secret, body);
    let halves = code.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (place, half) in digits.zip(halves) {
        *place = half + if half < 10 { b'0' } else { b'a' - 10 };
    }
    secret::is_same(&text, signature)
}

/// HMAC (RFC 2104, section 2) with SHA-256, whose blocks have 64 bytes.
fn code(secret: &[u8], body: &[u8]) -> [u8; 32] {
    let hashed;
    let mut key = secret;
    if key.len() > 64 {
        hashed = digest(key, b"");
        key = &hashed;
    }
    let (mut inner, mut outer) = ([0x36; 64], [0x5c; 64]);
    for ((inner, outer), byte) in inner.iter_mut().zip(&mut outer).zip(key) {
        *inner ^= byte;
        *outer ^= byte;
    }
    digest(&outer, &digest(&inner, body))
}

/// Of both, one behind the other.
#[inline(never)]
fn digest(first: &[u8], second: &[u8]) -> [u8; 32] {
    let mut state = Sha256::new();
    for part in [first, second] {
        state.update(part);
    }
    state.finalize().into()
}
