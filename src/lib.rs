//! otus-httpd: a static-file web server that systemd runs. This is the guided tour; start here, then read `main.rs`.
//!
//! systemd owns the listening sockets and starts one [`supervisor`] on the first connection. The supervisor forks
//! workers, which inherit the sockets. In a [`worker`] every request has a thread of its own from its first byte to its
//! last; a connection that only waits holds none. The [`site`] turns a target into an open file, and [`http`] decides
//! what is said about it. Addresses live in the `.socket` unit, limits are [`options`]; there is no configuration
//! language.
//!
//! # Floors
//!
//! Imports point down:
//!
//! | floor | what lives there |
//! |---|---|
//! | `main` | options, log, site, sockets, supervisor: the start, in reading order |
//! | [`precompress`] | the task of that name, which the server has no part in |
//! | [`check`] | all that a start does, short of serving; for a service, as its units say |
//! | [`supervisor`] | keeps N workers alive, tells systemd the truth, reloads, stops all in order |
//! | [`worker`] | one process: keeper, request threads, parked connections, one connection's life |
//! | [`site`] | the document root: a target becomes an open file, or one from memory |
//! | [`access`] | the access log: records, sums, and the thread that writes them |
//! | [`options`], [`settings`], [`identity`], [`sockets`], [`log`], [`catalog`], [`lifeline`], [`worker_memory`], [`scoreboard`], [`handover`], [`service`], [`clients`], [`signals`], [`clock`], [`confine`], [`descriptors`] | small shared pieces |
//! | [`http`] | the protocol: bytes in, values out |
//! | [`sys`], [`failure`], [`printable`] | what is unsafe, what ends a start, and text that a terminal can show |
//!
//! # Invariants
//!
//! 1. The supervisor never has a second thread. [`sys::fork`] checks that, and its child can neither return nor unwind
//!    into the supervisor's code.
//! 2. `unsafe` lives in [`sys`] alone; elsewhere a lint denies it. Each block says why it is sound.
//! 3. A worker's main thread, the keeper, never serves a request, nor opens, reads or closes a file of the
//!    site: it always hears signals, keeps deadlines and knows whether the worker lives.
//! 4. A connection belongs to one side at a time: to a request thread, or to the parking lot.
//! 5. A path is opened only through [`site::root::Root`], which keeps it beneath the root: by openat2(2), or, where that
//!    is missing or refuses an absolute link, one component at a time. Both give the same answers to the same tests.
//! 6. Errors have two audiences: [`http::Refusal`] says what the client gets and, apart from it, what the journal gets.
//!    What a client did is a debug line. A start that fails is one sentence ([`failure::Failure`]) and status 1.
//!    Nothing is both logged and returned.
//! 7. Nothing that a client sends makes a worker panic, allocate without bound, or hold a thread without a deadline. A
//!    panic in a request thread costs that one connection.
//! 8. An answer is never mixed from two versions of a file: length, validators and content come from one inode, which is
//!    looked at again before each part that is sent later. A file that only grows was appended to, and its answer goes on.
//!    Two exceptions, both between two looks: a file that is overwritten with more bytes and truncated again, and one that
//!    is overwritten, has its time set back, and is linked, renamed or given other permissions.
//! 9. `http` does no I/O and asks neither clock nor environment.
//!
//! # Choices that a reader may wonder about
//!
//! A worker's heartbeat is a counter on the [`scoreboard`] rather than a message on its [`lifeline`]: the
//! supervisor then wakes for its own tick alone, not for every worker's. The lifeline carries readiness, and by its end
//! of file the death of either side. The heart beats only when a request that the worker sends itself was answered, or
//! when it is clear that it serves others.
//!
//! A reload replaces the supervisor's image rather than its settings: there is one way to start, and an upgrade needs no
//! other. What the next image is to have goes through execve(2) by itself ([`handover`]).
//!
//! A thread gets many events from the kernel in one call and leaves all but one of them where any thread finds them: that
//! costs as little as an event loop does, and a request that blocks still holds up nobody. epoll reports each change of a
//! connection once (edge-triggered), so that parking one is no system call. A download has its turns between requests, one
//! whenever the kernel is asked: no request waits for more than that, and no load of requests stops downloads.
//!
//! The access log is a thread that may wait rather than a socket that must not: a journal that is slow for a second then loses
//! nothing, and one that stands still costs records and no requests. What is dropped is a difference of counters in the
//! [`scoreboard`], so that a worker that dies takes no number along.
//!
//! "Never stale" means that an answer is not older than its request: a look at the disk that came after a request had begun
//! to arrive is good enough for it, whoever took it ([`clock::Moments`]). The exception is a listing of a directory, which is shared
//! for a second after it was made ([`site::listings`]): to make one can take longer than to serve a thousand files.

pub mod access;
pub mod catalog;
pub mod check;
pub mod clients;
pub mod clock;
pub mod confine;
pub mod descriptors;
pub mod failure;
pub mod handover;
pub mod http;
pub mod identity;
pub mod lifeline;
pub mod log;
pub mod options;
pub mod precompress;
pub mod printable;
pub mod scoreboard;
pub mod service;
pub mod settings;
pub mod signals;
pub mod site;
pub mod sockets;
pub mod supervisor;
pub mod sys;
pub mod worker;
pub mod worker_memory;

/// The version: the package's, where `packaging/build-deb` was given one of its own.
pub const VERSION: &str = match option_env!("OTUS_VERSION") {
    Some(version) if !version.is_empty() => version,
    _ => env!("CARGO_PKG_VERSION"),
};
