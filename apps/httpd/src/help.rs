//! The help text, which is also the table of options; see `options`.

/// What `--help` prints.
pub(crate) const HELP: &[u8] = b"\
Serves a folder over HTTP/1.1.

usage: httpd [OPTIONS] [ROOT]  (/public unless given)

--port PORT [8080]  0: any
--address A [::]  or ::1, or of IPv4
--listing  list folders
--spa  /index.html for unknown paths
--cache TEXT [no-cache]  Cache-Control of files
--immutable TEXT  path of files that never change
--help
--header LINE  'Name: value' of answers, up to 8
--no-security-headers
--log  requests to stdout
--max-connections COUNT [10000]
--header-seconds N [10]  for a request to arrive
--idle-seconds N [60]  between requests
--write-seconds N [30]  with nothing taken
--grace-seconds N [10]  to finish after SIGTERM
--user UID:GID [65532]  if root
--no-sandbox
--tiny  in one page of memory
--reuse-port
--health  asks a running server
--version
--listen-fds N [0]  sockets handed in
--listen-pid N [0]

-p 80 is --port 80 is OUNCE_HTTPD_PORT=80; LISTEN_FDS is without prefix.
";
