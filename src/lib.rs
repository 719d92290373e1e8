//! otus-httpd: a static-file web server that systemd runs. This is the guided tour; start here, then read `main.rs`.
//!
//! systemd owns the listening sockets and starts one [`supervisor`] on the first connection. The supervisor forks workers,
//! which inherit the sockets. In a [`worker`], one thread at a time serves a request; a connection that waits for its client
//! holds no thread. The [`site`] turns a target into an open file, and [`http`] decides the response. The [`helper`] hashes
//! files. Over HTTPS, [`tls`] is a transport below the requests, and the [key process](keys) makes its signatures. Addresses
//! are set in the `.socket` units, limits in the [configuration](config): there is no configuration language.
//!
//! # Layers
//!
//! Imports point down:
//!
//! | layer | contents |
//! |---|---|
//! | `main` | configuration, log, sockets, site, supervisor: the start, in reading order |
//! | [`https`] | the subcommand of that name: certificates, their renewal, and the socket for HTTPS |
//! | [`check_site`] | the subcommand `check-site`: what is wrong with a site, before it is served |
//! | [`precompress`], [`check`] | the subcommand of that name; `--check`: all steps of a start except serving |
//! | [`supervisor`] | starts and replaces workers, notifies systemd, reloads, stops the server |
//! | [`worker`], [`helper`], [`keys`], [`logins`] | a worker process: threads, connections; one that hashes, decodes and compresses files in the background; one that has the private keys; one that compares passwords |
//! | [`connection`] | a client connection: reads its preface and requests, encodes responses, sends them; streams of HTTP/2 |
//! | [`handler`] | computes the answer to a request; both are values |
//! | [`service`] | the state that all requests of a worker share: site, limits, timeouts, thread pool |
//! | [`site`] | the document root: maps a target to an open file or to one in memory |
//! | [`rules`] | the rules that a site carries: `_headers` and `_redirects` |
//! | [`access_log`] | the access log: records, sums, and the thread that writes them |
//! | [`tls`] | TLS without sockets and keys: versions, certificates by name, the state of a connection |
//! | [`listeners`], [`client_limit`], [`ipc`], [`config`], [`log`] | listening sockets; connections per client; communication between processes; options and settings; the journal |
//! | [`os`] | system calls, clocks, signals, limits, sandbox |
//! | [`tree`] | a directory tree that a subcommand processes: by descriptors, on all processors, with a progress bar |
//! | [`codec`] | content codings of whole files: encoders, and strict decoders |
//! | [`access`] | the parts of a site that only some clients get: prefixes, networks, users, and the rule that decides |
//! | [`http`] | the protocol: parsers, values and encoders |
//! | [`failure`], [`printable`], [`digest`], [`dns_name`], [`client_address`] | the error of a failed start; text for a terminal; digests of content; rules of DNS names; which addresses are one client |
//!
//! # Invariants
//!
//! 1. The supervisor never has a second thread. [`os::sys::fork`] checks that, and its child can neither return nor unwind
//!    into the supervisor's code.
//! 2. `unsafe` is used in [`os::sys`] only; elsewhere a lint denies it. Each block says why it is sound.
//! 3. A worker's main thread never serves a file. So it can always handle signals and deadlines, and check that the worker
//!    makes progress. The only responses that it sends are a 408 and, while draining, a 503.
//! 4. A connection has one owner at a time: a request thread, or the table of parked connections. So has each stream of HTTP/2: its
//!    connection, or the thread that does a [task](worker) for it. No file is opened or read while a connection of HTTP/2 is
//!    held so that another thread cannot take it over.
//! 5. A path is opened only through [`site::root::Root`], which keeps it below the root: by openat2(2), or one component at a
//!    time if that is missing or rejects an absolute link. Both pass the same tests. The exception is an ACME challenge
//!    ([`site::challenges`]): one name without a slash, in a directory of its own, and no link is followed.
//! 6. An [`http::Refusal`] has a status for the client and a separate text for the journal. An error of the client is logged
//!    at debug level. A refusal is logged only where it is converted to an answer. A failed start logs one sentence
//!    ([`failure::Failure`]) and has exit status 1, or 2 for a wrong option.
//! 7. Nothing that a client sends makes a worker panic, allocate without bound, or hold a thread without a deadline. A
//!    panic in a request thread costs one connection.
//! 8. A response is never mixed from two versions of a file: length, validators and content come from one inode, which is
//!    checked again before each part that is sent later. If a file only grows, it was appended to, and its response continues.
//!    Two exceptions, both between two checks: a file that is overwritten with more bytes and truncated again, and one that
//!    is overwritten, has its mtime set back, and is linked, renamed or given other permissions.
//! 9. `http` does no I/O and reads neither clock nor environment.
//! 10. No process that serves clients, and no supervisor, ever reads a private key. In a running server, only the key process
//!     does, and no process is ever forked from it. `--check`, `https status` and `https import` read keys too: in a process
//!     of their own, which serves no client and ends.
//! 11. The key process signs nothing but messages of a TLS server ([`keys::message`]). A worker reaches it only by the
//!     connection that the supervisor has made for it, which is revoked when the worker ends.
//! 12. Only the login process reads files of users, and `--check`. No worker gets a hash of a password, and none may read such
//!     a file: it must not be where workers may read.
//! 13. Over plain HTTP, no response has Strict-Transport-Security, and a redirect to HTTPS leads only to a name that a
//!     certificate covers ([`service::https`]).
//! 14. Only a trusted proxy is believed who its client is, by whatever way: a connection begins with the address of accept(2), and
//!     nothing that it or a request says counts unless that address is trusted ([`service::clients`]).
//!
//! # Design decisions
//!
//! The heartbeat is a counter in the shared [`scoreboard`](ipc::scoreboard), not a message on the
//! [`lifeline`](ipc::lifeline), which reports readiness, that a reload has changed who gets what, and, by its end of file, the
//! death of either side. So the supervisor wakes only for its own tick. The heartbeat advances while the self-check gets
//! responses, other requests are completed, a thread is idle, or the worker drains, which has a deadline.
//!
//! A reload executes a new image of the supervisor instead of only changing its settings. So a start, a reload and an upgrade
//! share one path. Sockets, counters, digests and old workers pass through execve(2) ([`handover`](ipc::handover)).
//!
//! A thread receives many events in one call of epoll_wait(2), handles one, and queues the others for any thread. That
//! costs as little as an event loop, and a blocked request delays no other. epoll reports each change of a connection
//! once (edge-triggered), so parking a connection needs no system call. With each call of epoll_wait(2), one download has
//! a turn: a request waits for at most one such turn, and downloads proceed under any load of requests.
//!
//! Work that no client waits for is done by another process, not by a thread of a worker: it is done once for all workers,
//! its rate is limited, and its result does not depend on a worker that may be compromised. Workers send open files
//! ([`ipc::work_queue`]) and read results ([`ipc::digests`], [`ipc::compressed_store`]). A full queue, or a helper that has ended,
//! delays results only. Compressed content is in one memory for all workers, since one each would make the same work and the same
//! bytes as often as there are workers; and it is a ring of bytes rather than a file for each, since it has to outlive the helper
//! and a reload, and a small site has thousands of results.
//!
//! HTTP/2 keeps a thread for each request: its [core](http::h2::session) is a state machine without I/O, which belongs to the
//! thread that drives the connection. What may block is a task of a stream. While a thread does one, the connection is lent to the
//! table of parked connections, which costs two locks that nobody contends for; after some milliseconds, the main loop gives it to
//! another thread. So the streams of a connection usually share one thread and one write, as in an event loop, and a disk that does
//! not respond delays only its own streams.
//!
//! A separate thread writes the access log and may block. So a journal that is slow for a second loses no records, and a
//! stopped journal loses records but delays no requests. The number of dropped records is a difference of counters in the
//! [`scoreboard`](ipc::scoreboard), which outlives the worker.
//!
//! A health check answers from counters, so that it waits for nothing ([`service::health`]). Whether the disk responds is found out
//! by a thread of each worker that may wait for it, and that does nothing else; the supervisor never touches the disk. So at most
//! one thread of each worker waits, whoever asks and however often.
//!
//! Over TLS, records are made and read in buffers of the thread, so that an idle connection has none
//! ([`connection::transport`]). A worker has certificates and no private key: for each full handshake, its thread waits
//! for a signature of the key process ([`ipc::key_protocol`]). Sessions are resumed by tickets that any worker decrypts, with
//! keys that only the supervisor writes ([`ipc::ticket_keys`]).
//!
//! A response is never staler than its request: any stat(2) made after the request began to arrive may validate it,
//! whichever thread made it ([`os::clock::LogicalClock`]). The exceptions are a listing, which is shared for one second after
//! it was made ([`site::listings`]), a replaced document root, which is detected within a second, as are other
//! rules of a site: large ones are parsed beside requests, and a new precompressed variant, which is used within a second.

pub mod access;
pub mod access_log;
pub mod check;
pub mod check_site;
pub mod client_address;
pub mod client_limit;
pub mod codec;
pub mod config;
pub mod connection;
pub mod digest;
pub mod dns_name;
pub mod failure;
pub mod handler;
pub mod helper;
pub mod http;
pub mod https;
pub mod ipc;
pub mod keys;
pub mod listeners;
pub mod log;
pub mod logins;
pub mod os;
pub mod precompress;
pub mod printable;
pub mod rules;
pub mod service;
pub mod site;
pub mod supervisor;
pub mod tls;
pub mod tree;
pub mod worker;

/// The version: the package's, where `packaging/build-deb` was given one of its own.
pub const VERSION: &str = match option_env!("OTUS_VERSION") {
    Some(version) if !version.is_empty() => version,
    _ => env!("CARGO_PKG_VERSION"),
};
