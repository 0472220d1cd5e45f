//! A JSON micro-service: no libc, no allocation, no unsafe code.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::http::{json, status::Status};
use ounce_httpd::{Program, Request, Response, Route, serve};

ounce_httpd::entry!(main);

static ROUTES: [Route; 3] = [
    Route::get("/", index),
    Route::get("/hello/{name}", hello),
    Route::post("/echo", echo),
];

fn main(program: &Program) -> u8 {
    serve(program, &ROUTES)
}

fn index(_: &Request, response: &mut Response) {
    response.text("Try GET /hello/you or POST /echo.\n");
}

fn hello(request: &Request, response: &mut Response) {
    let mut json = response.json();
    json.object()
        .key("hello")
        .string(request.param("name"))
        .end_object();
}

fn echo(request: &Request, response: &mut Response) {
    if !json::is_valid(request.body) {
        response.error(Status::UnprocessableContent);
        return;
    }
    let mut json = response.json();
    json.object().key("echo").raw(request.body).end_object();
}
