//! A function with the standard library: greets who is named, as
//! `examples/lambda-hello` does without.

use std::process::ExitCode;

use ounce_lambda::host::{Event, Failure, Settings, run};
use ounce_lambda::http::json::{Json, Reader, Sink};

fn main() -> ExitCode {
    let stop = match Settings::of(|name| std::env::var(name).ok()) {
        Ok(settings) => run(&settings, hello),
        Err(stop) => stop,
    };
    eprintln!("error: {stop}");
    ExitCode::FAILURE
}

fn hello(mut event: Event) -> Result<Vec<u8>, Failure> {
    let mut name = "world";
    let mut json = Reader::new(&mut event.bytes);
    json.object();
    while let Some(key) = json.key() {
        match key {
            "name" => name = json.string(),
            _ => json.skip(),
        }
    }
    let mut answer = Bytes(Vec::new());
    Json::new(&mut answer)
        .object()
        .key("hello")
        .string(name)
        .end_object();
    if let Err(fault) = json.end() {
        return Err(Failure::new("Function.BadEvent", format_args!("{fault:?}")));
    }
    Ok(answer.0)
}

struct Bytes(Vec<u8>);

impl Sink for &mut Bytes {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
