//! Serves a packed site over HTTP: with only what that needs.
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use ounce_httpd::packed::start;

ounce_httpd::entry!(start);
