//! The listener of a filter that notifies: it goes to an agent, with the
//! container's state (config-linux.md, "The Container Process State").

use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::Serialize;

use super::config::Seccomp;
use super::fault::RuntimeError;
use super::state::{Printed, Record, Status};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    oci_version: &'a str,
    fds: [&'static str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    state: Printed<'a>,
}

/// Takes the listener out of the process and sends it on.
///
/// # Errors
/// There is no agent, or it does not listen.
pub fn hand_on(
    process: BorrowedFd<'_>,
    number: i32,
    seccomp: &Seccomp,
    record: &Record,
) -> Result<(), RuntimeError> {
    let path = seccomp.listener_path.as_deref().ok_or_else(|| {
        RuntimeError::config(
            "linux.seccomp.listenerPath is missing, and there are SCMP_ACT_NOTIFY rules",
        )
    })?;
    let listener = ounce_linux::descriptor::of_process(process, number)
        .map_err(RuntimeError::kernel("taking the seccomp listener"))?;
    let message = Message {
        oci_version: &record.oci_version,
        fds: ["seccompFd"],
        pid: record.pid,
        metadata: seccomp.listener_metadata.as_deref(),
        state: Printed::new(record, Status::Creating),
    };
    let text = serde_json::to_vec(&message).map_err(|source| RuntimeError::Json {
        path: path.to_owned(),
        source,
    })?;
    let agent = UnixStream::connect(path)
        .map_err(RuntimeError::file("connecting to the seccomp agent", path))?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [listener.as_fd()];
    control.push(SendAncillaryMessage::ScmRights(&files));
    sendmsg(
        &agent,
        &[IoSlice::new(&text)],
        &mut control,
        SendFlags::NOSIGNAL,
    )
    .map_err(RuntimeError::errno("sending the seccomp listener to", path))?;
    Ok(())
}
