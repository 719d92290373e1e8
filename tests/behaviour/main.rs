//! What a client and an operator can see of the real binary, a module a subject.
//!
//! Every test has a server and a document root of its own. The test binds the listening socket, on a free port, and hands
//! it over as systemd would, so that a client may connect before the server is up. Nothing sleeps: what takes time is
//! waited for, up to a deadline.

mod activation;
#[path = "../fuzz/src/answer.rs"]
mod answer;
mod blocked_disk;
mod capacity;
mod changing;
mod check;
mod check_unit;
mod codings;
mod conditional;
mod confined;
mod exposition;
mod failing_disk;
mod files;
mod fresh;
mod fuse;
mod hanging_disk;
mod hung;
mod identity;
mod idle_exit;
mod interfaces;
mod isolation;
mod keep_alive;
mod leaving_clients;
mod links;
mod listening;
mod listings;
mod metrics;
mod names;
mod notify;
#[cfg(target_arch = "x86_64")]
mod old_kernel;
mod precompress;
mod random;
mod ranges;
#[path = "../fuzz/src/reading.rs"]
mod reading;
mod refusals;
mod releases;
mod reload;
mod saturation;
mod settings;
mod shared_listings;
mod signals;
mod slow_clients;
mod start;
mod stop;
mod stuck_readers;
mod support;
mod threads;
mod verify;
mod workers;
