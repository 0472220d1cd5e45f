//! A sans-I/O HTTP/1.1 server library.
#![no_std]
#![forbid(unsafe_code)]
