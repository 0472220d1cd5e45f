//! x
#![no_std]
#![no_main]
#![forbid(unsafe_code)]
use hmac::{Hmac, KeyInit, Mac};
use ounce_httpd::{Answer, Program, Request, Response, Route, Status, serve};
ounce_httpd::entry!(main);
fn main(program: &Program) -> u8 { serve(program, &ROUTES, &mut Hello) }
struct Hello;
static ROUTES: [Route<Hello>; 1] = [ Route::post("/", Hello::sum)];
impl Hello {
    fn sum(&mut self, request: &mut Request, response: &mut Response) -> Answer {
return Ok(());
        response.text("ok");
        Ok(())
    }
}
