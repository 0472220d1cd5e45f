//! A JSON micro-service: no libc, no allocation, no unsafe code.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::{Answer, Program, Request, Response, Route, Service, serve};

ounce_httpd::entry!(main);

fn main(program: &Program) -> u8 {
    serve(program, &mut Hello)
}

struct Hello;

impl Service for Hello {
    const ROUTES: &'static [Route<Self>] = &[
        Route::get("/", Self::index),
        Route::get("/hello/{name}", Self::hello),
        Route::post("/sum", Self::sum),
    ];
}

impl Hello {
    fn index(&mut self, _: &mut Request, response: &mut Response) -> Answer {
        response.text("Try GET /hello/you or POST /sum with [1, 2, 3].\n");
        Ok(())
    }

    fn hello(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        let mut json = response.json();
        json.object().key("hello").string(request.param("name"));
        json.end_object();
        Ok(())
    }

    fn sum(&mut self, request: &mut Request, response: &mut Response) -> Answer {
        let mut sum = 0_u64;
        let mut json = request.json()?;
        json.array();
        while json.element() {
            sum = sum.saturating_add(json.u64());
        }
        json.end()?;
        response.json().object().key("sum").number(sum).end_object();
        Ok(())
    }
}
