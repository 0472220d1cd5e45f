//! The web server: a request in, an answer out.

use core::fmt::{self, Write as _};

use serde::Serialize;

use crate::device;
use crate::settings::Settings;
use crate::telegram::Order;

pub(crate) struct State {
    pub(crate) now_ms: i64,
    pub(crate) next_ms: i64,
    pub(crate) requests: u32,
    pub(crate) echoes: u32,
    pub(crate) climate: Option<(i32, u32)>,
    pub(crate) address: [u8; 4],
    blinks: u32,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            now_ms: 0,
            next_ms: 0,
            requests: 0,
            echoes: 0,
            climate: None,
            address: [0; 4],
            blinks: 0,
        }
    }

    pub(crate) fn is_due(&mut self, now_ms: i64) -> bool {
        self.now_ms = now_ms;
        if now_ms < self.next_ms {
            return false;
        }
        self.next_ms = now_ms + 60_000;
        self.climate = device::climate();
        true
    }

    #[inline(never)]
    pub(crate) fn obey(&mut self, order: &Order) {
        match order {
            Order::Measure => self.next_ms = 0,
            Order::Silence { seconds } => self.next_ms = self.now_ms + i64::from(*seconds) * 1_000,
            Order::Blink { count, pause_ms } => {
                self.blinks += u32::from(*count);
                device::say(format_args!("{count} times, {pause_ms} ms apart"));
            }
        }
    }
}

/// Text in a place of a fixed length.
struct Page<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let place = self.bytes.get_mut(self.length..self.length + text.len());
        place.ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length += text.len();
        Ok(())
    }
}

#[derive(Serialize)]
struct Status<'a> {
    name: &'a str,
    uptime_ms: i64,
    requests: u32,
    echoes: u32,
    temperature: Option<i32>,
    humidity: Option<u32>,
}

#[inline(never)]
fn json<T: Serialize>(page: &mut Page<'_>, value: &T) -> fmt::Result {
    let mut body = [0; 512];
    let length = serde_json_core::to_slice(value, &mut body).map_err(|_| fmt::Error)?;
    let text = core::str::from_utf8(&body[..length]).map_err(|_| fmt::Error)?;
    write!(
        page,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}"
    )
}

#[inline(never)]
fn plain(page: &mut Page<'_>, status: &str, text: fmt::Arguments<'_>) -> fmt::Result {
    write!(
        page,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n{text}\n"
    )
}

/// History of an hour, a value a minute.
#[cfg(feature = "route")]
#[inline(never)]
fn history(page: &mut Page<'_>, state: &State, settings: &Settings<'_>) -> fmt::Result {
    #[derive(Serialize)]
    struct History<'a> {
        name: &'a str,
        blinks: u32,
        first_ms: i64,
        mean: i32,
        values: [i32; 8],
    }
    let (temperature, humidity) = state.climate.unwrap_or_default();
    let mut values = [0; 8];
    for (at, value) in values.iter_mut().enumerate() {
        *value = temperature + (humidity as i32 >> at) - settings.offset_hundredths;
    }
    device::say(format_args!("history of {} is asked for", settings.name));
    json(
        page,
        &History {
            name: settings.name,
            blinks: state.blinks,
            first_ms: state.now_ms - 3_600_000,
            mean: values.iter().sum::<i32>() / 8,
            values,
        },
    )
}

#[inline(never)]
fn route(
    request: &str,
    body: &[u8],
    state: &mut State,
    settings: &mut Settings<'_>,
    page: &mut Page<'_>,
) -> fmt::Result {
    let mut words = request.split(' ');
    match (words.next(), words.next()) {
        (Some("GET"), Some("/")) => plain(
            page,
            "200 OK",
            format_args!("{} is up for {} ms", settings.name, state.now_ms),
        ),
        (Some("GET"), Some("/status")) => json(
            page,
            &Status {
                name: settings.name,
                uptime_ms: state.now_ms,
                requests: state.requests,
                echoes: state.echoes,
                temperature: state.climate.map(|(temperature, _)| temperature),
                humidity: state.climate.map(|(_, humidity)| humidity),
            },
        ),
        (Some("GET"), Some("/settings")) => json(page, &*settings),
        #[cfg(feature = "route")]
        (Some("GET"), Some("/history")) => history(page, state, settings),
        (Some("PUT"), Some("/settings")) => match settings.change(body) {
            Ok(()) => json(page, &*settings),
            Err(error) => plain(page, "400 Bad Request", format_args!("{error}")),
        },
        (Some("POST"), Some("/measure")) => {
            state.obey(&Order::Measure);
            plain(page, "202 Accepted", format_args!("soon"))
        }
        (Some("GET" | "PUT" | "POST"), Some(path)) => {
            plain(page, "404 Not Found", format_args!("there is no {path}"))
        }
        (method, _) => plain(
            page,
            "405 Method Not Allowed",
            format_args!("{method:?} is not understood"),
        ),
    }
}

#[inline(never)]
pub(crate) fn answer(
    bytes: &[u8],
    state: &mut State,
    settings: &mut Settings<'_>,
    into: &mut [u8],
) -> usize {
    let mut page = Page {
        bytes: into,
        length: 0,
    };
    state.requests += 1;
    let Ok(text) = core::str::from_utf8(bytes) else {
        return 0;
    };
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return 0;
    };
    let request = head.lines().next().unwrap_or_default();
    if !settings.is_quiet {
        device::say(format_args!("{request}"));
    }
    match route(request, body.as_bytes(), state, settings, &mut page) {
        Ok(()) => page.length,
        Err(fmt::Error) => {
            page.length = 0;
            let full = plain(&mut page, "500 Internal Server Error", format_args!("too long"));
            full.map_or(0, |()| page.length)
        }
    }
}
