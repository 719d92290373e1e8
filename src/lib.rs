//! otus-httpd: a static-file web server that systemd runs. This is the guided tour; start here, then read `main.rs`.
//!
//! systemd owns the listening sockets and starts one [`supervisor`] on the first connection. The supervisor forks
//! workers, which inherit the sockets. In a [`worker`], one thread at a time serves a request; a connection
//! that waits for its client holds no thread. The [`site`] turns a target into an open file, and [`http`]
//! decides the response. Files are hashed by the [`helper`], a process that runs only while there is such work. Addresses are set in the `.socket` unit, limits in the [configuration](config): there is no
//! configuration language.
//!
//! # Layers
//!
//! Imports point down:
//!
//! | layer | contents |
//! |---|---|
//! | `main` | configuration, log, sockets, site, supervisor: the start, in reading order |
//! | [`precompress`] | the subcommand of that name, which the server does not use |
//! | [`check`] | `--check`: everything that a start does, short of serving; for a service, as its units say |
//! | [`supervisor`] | keeps N workers alive, notifies systemd, reloads, stops everything in order |
//! | [`helper`] | one process: hashes and decodes files in the background |
//! | [`worker`] | one process: main loop, request threads, accepted and parked connections |
//! | [`connection`] | one client: reads requests, encodes responses, sends them |
//! | [`handler`] | from a request to its answer, as values |
//! | [`service`] | what all requests of a worker share: site, limits, timeouts, thread pool |
//! | [`site`] | the document root: a target becomes an open file, or one from memory |
//! | [`access_log`] | the access log: records, sums, and the thread that writes them |
//! | [`listeners`], [`client_limit`], [`ipc`], [`config`], [`log`] | listening sockets; connections per client; what processes share; options and settings; the journal |
//! | [`os`] | system calls, clocks, signals, limits, sandbox |
//! | [`codec`] | content codings of whole files: encoders, and strict decoders |
//! | [`http`] | the protocol: bytes in, values out |
//! | [`failure`], [`printable`] | an error that ends a start; text that is safe to show on a terminal |
//!
//! # Invariants
//!
//! 1. The supervisor never has a second thread. [`os::sys::fork`] checks that, and its child can neither return nor unwind
//!    into the supervisor's code.
//! 2. `unsafe` is used in [`os::sys`] only; elsewhere a lint denies it. Each block says why it is sound.
//! 3. A worker's main thread never serves a file: it always handles signals and deadlines, and knows whether the worker
//!    makes progress. The only responses that it sends are a 408 and, while draining, a 503.
//! 4. A connection has one owner at a time: a request thread, or the table of parked connections.
//! 5. A path is opened only through [`site::root::Root`], which keeps it beneath the root: by openat2(2), or, where that
//!    is missing or refuses an absolute link, one component at a time. Both pass the same tests.
//! 6. Errors have two audiences: [`http::Refusal`] has a status for the client and, apart from it, a text for the journal.
//!    A client's own error is a debug line. A start that fails is one sentence ([`failure::Failure`]) and status 1,
//!    or 2 for a wrong option. A refusal is logged where it becomes an answer, and nowhere else.
//! 7. Nothing that a client sends makes a worker panic, allocate without bound, or hold a thread without a deadline. A
//!    panic in a request thread costs one connection.
//! 8. A response is never mixed from two versions of a file: length, validators and content come from one inode, which is
//!    checked again before each part that is sent later. A file that only grows was appended to, and its response goes on.
//!    Two exceptions, both between two checks: a file that is overwritten with more bytes and truncated again, and one that
//!    is overwritten, has its mtime set back, and is linked, renamed or given other permissions.
//! 9. `http` does no I/O and reads neither clock nor environment.
//!
//! # Design decisions
//!
//! The heartbeat is a counter in the shared [`scoreboard`](ipc::scoreboard), not a message on the
//! [`lifeline`](ipc::lifeline): the supervisor then wakes for its own tick only, not for every worker's. The lifeline
//! reports readiness, and by its end of file the death of either side. The heartbeat advances after an answered
//! self-check, while other requests are completing or a thread is idle, and while the worker drains, which has a deadline.
//!
//! A reload replaces the supervisor's image, not only its settings: there is one way to start, and an upgrade needs no
//! other. Listening sockets, counters, digests and old workers pass through execve(2) ([`handover`](ipc::handover)).
//!
//! A thread gets many events from the kernel in one call and leaves all but one of them in a queue for any thread: that
//! costs as little as an event loop does, and a request that blocks delays no other. epoll reports each change of a
//! connection once (edge-triggered), so that parking one needs no system call. Downloads take turns between requests, one
//! for each call of epoll_wait(2): no request waits for more than one such turn, and no load of requests stops downloads.
//!
//! Work that no client waits for is done by another process, not by a thread of a worker: it is done once for all workers,
//! its priority is low, and its result does not depend on a worker that may be compromised. Workers send open files
//! ([`ipc::work_queue`]) and read results ([`ipc::digests`]). A full queue, or a helper that has ended, delays results only.
//!
//! The access log is written by a thread that may block, not through a socket that must not: a journal that is slow for a
//! second then loses nothing, and one that has stopped costs records, not requests. The number of dropped records is a
//! difference of counters in the [`scoreboard`](ipc::scoreboard), so that it survives the death of a worker.
//!
//! A response is never staler than its request: any stat(2) made after the request began to arrive may validate it,
//! whichever thread made it ([`os::clock::LogicalClock`]). The exceptions are a listing of a
//! directory, which is shared for one second after it was made ([`site::listings`]), a replaced document root, which is noticed
//! within half a second, and a new precompressed variant, which is used within a second.

pub mod access_log;
pub mod check;
pub mod client_limit;
pub mod codec;
pub mod config;
pub mod connection;
pub mod digest;
pub mod failure;
pub mod handler;
pub mod helper;
pub mod http;
pub mod ipc;
pub mod listeners;
pub mod log;
pub mod os;
pub mod precompress;
pub mod printable;
pub mod service;
pub mod site;
pub mod supervisor;
pub mod worker;

/// The version: the package's, where `packaging/build-deb` was given one of its own.
pub const VERSION: &str = match option_env!("OTUS_VERSION") {
    Some(version) if !version.is_empty() => version,
    _ => env!("CARGO_PKG_VERSION"),
};
