//! A function on AWS Lambda: JSON in, JSON out; no libc, no allocation, no unsafe
//! code. `{"name": "you"}` is answered by `{"hello":"you"}`.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_bootstrap::{Function, Invocation, Outcome, Program, Reply, run};

ounce_bootstrap::entry!(main);

fn main(program: &Program) -> u8 {
    run(program, &mut Hello)
}

struct Hello;

impl Function for Hello {
    fn call(&mut self, invocation: &mut Invocation, reply: &mut Reply) -> Outcome {
        let mut name = "world";
        let mut json = invocation.json();
        json.object();
        while let Some(key) = json.key() {
            match key {
                "name" => name = json.string(),
                _ => json.skip(),
            }
        }
        json.end()?;
        reply.json().object().key("hello").string(name).end_object();
        Ok(())
    }
}
