//! What is sent to the collector, and what it orders: CBOR.

use core::fmt;

use minicbor::encode::write::Cursor;
use minicbor::{Decode, Encode};

use crate::routes::State;
use crate::settings::Settings;

#[derive(Encode)]
struct Report<'a> {
    #[n(0)]
    name: &'a str,
    #[n(1)]
    uptime_ms: i64,
    #[n(2)]
    temperature: Option<i32>,
    #[n(3)]
    humidity: Option<u32>,
    #[n(4)]
    requests: u32,
    #[n(5)]
    address: [u8; 4],
}

#[derive(Decode)]
pub(crate) enum Order {
    #[n(0)]
    Measure,
    #[n(1)]
    Silence {
        #[n(0)]
        seconds: u32,
    },
    #[n(2)]
    Blink {
        #[n(0)]
        count: u8,
        #[n(1)]
        pause_ms: u16,
    },
}

#[derive(Debug)]
pub(crate) enum Fault {
    Full,
    Order(minicbor::decode::Error),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => out.write_str("the telegram is too long"),
            Self::Order(error) => write!(out, "not an order: {error}"),
        }
    }
}

#[inline(never)]
pub(crate) fn encode(state: &State, settings: &Settings<'_>, into: &mut [u8]) -> Result<usize, Fault> {
    let report = Report {
        name: settings.name,
        uptime_ms: state.now_ms,
        temperature: state.climate.map(|(temperature, _)| temperature + settings.offset_hundredths),
        humidity: state.climate.map(|(_, humidity)| humidity),
        requests: state.requests,
        address: state.address,
    };
    let mut cursor = Cursor::new(into);
    minicbor::encode(&report, &mut cursor).map_err(|_| Fault::Full)?;
    Ok(cursor.position())
}

#[inline(never)]
pub(crate) fn decode(bytes: &[u8]) -> Result<Order, Fault> {
    minicbor::decode(bytes).map_err(Fault::Order)
}
