//! Tables of requests and what must come of them. Each case names its section,
//! and is sent three ways: whole, byte by byte, and with the next request right
//! behind it. What comes must be the same, and exactly one answer.

use crate::client::{Answer, Client, End, Fault};
use crate::harness::Server;
use std::time::Duration;

/// What becomes of the connection behind the answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum After {
    /// It closes, and what follows on it is not answered.
    Closes,
    /// It stays, and the next request gets its own answer.
    Stays,
    /// Either, but each done well.
    Either,
}

/// One request and what must come of it.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    name: String,
    section: &'static str,
    request: Vec<u8>,
    statuses: Vec<u16>,
    after: After,
    fields: Vec<(&'static str, Option<&'static str>)>,
    body: Option<Vec<u8>>,
    is_prefix: bool,
}

/// A case, to be told what it expects.
pub(crate) fn case(
    section: &'static str,
    name: impl Into<String>,
    request: impl AsRef<[u8]>,
) -> Case {
    Case {
        name: name.into(),
        section,
        request: request.as_ref().to_vec(),
        statuses: Vec::new(),
        after: After::Either,
        fields: Vec::new(),
        body: None,
        is_prefix: false,
    }
}

impl Case {
    /// Any of these statuses, and the connection closes.
    pub(crate) fn refused(self, statuses: &[u16]) -> Self {
        self.gives(statuses, After::Closes)
    }

    /// This status, and the connection stays.
    pub(crate) fn kept(self, status: u16) -> Self {
        self.gives(&[status], After::Stays)
    }

    pub(crate) fn gives(mut self, statuses: &[u16], after: After) -> Self {
        self.statuses = statuses.to_vec();
        self.after = after;
        self
    }

    /// The answer has the field with this value.
    pub(crate) fn field(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, Some(value)));
        self
    }

    /// The answer has no such field.
    pub(crate) fn no_field(mut self, name: &'static str) -> Self {
        self.fields.push((name, None));
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = Some(body.as_ref().to_vec());
        self
    }

    /// The request is refused before its end: nothing is sent behind it.
    pub(crate) fn unfinished(mut self) -> Self {
        self.is_prefix = true;
        self
    }

    fn is_head(&self) -> bool {
        self.request.starts_with(b"HEAD ")
    }

    /// What is wrong with an answer.
    fn judge(&self, answer: &Answer) -> Result<(), String> {
        if !self.statuses.contains(&answer.status) {
            return Err(format!("{} for {:?}", answer.status, self.statuses));
        }
        for (name, value) in &self.fields {
            if answer.field(name) != *value {
                let found = answer.field(name);
                return Err(format!("{name} is {found:?}, not {value:?}"));
            }
        }
        if let Some(body) = &self.body
            && *body != answer.body
        {
            return Err(format!("the body is {:?}", answer.text()));
        }
        Ok(())
    }

    /// Sends by `send` and judges what comes, with the next request behind it.
    fn try_by(&self, server: &Server, send: impl Fn(&mut Client, &[u8])) -> Result<(), String> {
        let mut client = server.connect();
        let mut bytes = self.request.clone();
        if !self.is_prefix {
            bytes.extend_from_slice(b"GET /healthz HTTP/1.1\r\nHost: next\r\n\r\n");
        }
        send(&mut client, &bytes);
        let answer = client.answer_to(self.is_head());
        let mut answer = answer.map_err(|fault| fault.to_string())?;
        if answer.status == 100 {
            let next = client.answer_to(self.is_head());
            answer = next.map_err(|fault| fault.to_string())?;
        }
        self.judge(&answer)?;
        let closes = answer.says_close();
        match (self.after, closes) {
            (After::Closes, false) => return Err("it does not say that it closes".to_owned()),
            (After::Stays, true) => return Err("it says that it closes".to_owned()),
            _ => {}
        }
        if closes {
            return match client.end(Duration::from_secs(5)) {
                Ok(End::Closed) => Ok(()),
                Ok(end) => Err(format!("the connection is {end:?}, not closed")),
                Err(fault) => Err(fault.to_string()),
            };
        }
        if self.is_prefix {
            client.send(b"GET /healthz HTTP/1.1\r\nHost: next\r\n\r\n");
        }
        match client.answer() {
            Ok(next) if next.status == 200 && next.body == b"ok\n" => Ok(()),
            Ok(next) => Err(format!(
                "the next request got {} {:?}",
                next.status,
                next.text()
            )),
            Err(Fault::Closed) => Err("closed without saying so".to_owned()),
            Err(fault) => Err(format!("the next request: {fault}")),
        }
    }
}

/// Runs all and tells all that fail.
pub(crate) fn judge(server: &Server, cases: &[Case]) {
    let mut failures = Vec::new();
    for case in cases {
        let whole = case.try_by(server, |client, bytes| {
            client.send(bytes);
        });
        let bytewise = case.try_by(server, Client::send_bytewise);
        for (how, result) in [("whole", whole), ("byte by byte", bytewise)] {
            if let Err(what) = result {
                failures.push(format!("{} ({}), {how}: {what}", case.name, case.section));
            }
        }
    }
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} of {}:\n{}",
        cases.len() * 2,
        failures.join("\n")
    );
}
