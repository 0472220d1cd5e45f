//! Bodies of any length in constant memory, in and out.
//!
//! `PUT /sha256` hashes up to 1 GiB, `GET /numbers/{n}` counts to `n`, and the
//! page is part of the program.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::http::{method::Method, parse_decimal};
use ounce_httpd::{
    Answer, Asset, Body, MAX_STREAMS, Piece, Problem, Program, Request, Response, Route, Service,
    serve,
};
use sha2::{Digest, Sha256};

ounce_httpd::entry!(main);

fn main(program: &Program) -> u8 {
    let mut digests = Digests {
        states: core::array::from_fn(|_| Sha256::new()),
    };
    serve(program, &mut digests)
}

static INDEX: Asset = Asset::new("text/html; charset=utf-8", include_bytes!("index.html"));

impl Service for Digests {
    const ROUTES: &'static [Route<Self>] = &[
        Route::asset("/", &INDEX),
        Route::receive(Method::Put, "/sha256", 1 << 30, Self::receive),
        Route::get("/numbers/{n}", Self::numbers).pieces(Self::numbers_piece),
    ];
}

/// A state for each body that is under way.
struct Digests {
    states: [Sha256; MAX_STREAMS],
}

impl Digests {
    fn receive(&mut self, stream: usize, body: Body, response: &mut Response) -> Answer {
        let Some(state) = self.states.get_mut(stream) else {
            return Ok(());
        };
        match body {
            Body::Begins(_) => *state = Sha256::new(),
            Body::Piece(bytes) => state.update(bytes),
            Body::Ends => {
                for byte in state.finalize_reset() {
                    response.write(&[digit(byte >> 4), digit(byte & 15)]);
                }
                response.text("\n");
            }
            Body::Breaks => {}
        }
        Ok(())
    }

    fn numbers(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        // A place is how far to go, and above it how far it has come.
        let last = parse_decimal(request.param("n").as_bytes());
        let last = last.filter(|last| *last <= u32::MAX.into());
        let last = last.ok_or(Problem::NOT_FOUND)?;
        response.content_type("text/plain").stream(last);
        Ok(())
    }

    fn numbers_piece(&mut self, at: u64, piece: &mut Piece) -> Option<u64> {
        let (mut number, last) = (at >> 32, at & 0xffff_ffff);
        while number < last && piece.room() > 16 {
            number += 1;
            piece.number(number).text("\n");
        }
        (number < last).then_some(number << 32 | last)
    }
}

fn digit(value: u8) -> u8 {
    value + if value < 10 { b'0' } else { b'a' - 10 }
}
