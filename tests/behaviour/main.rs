//! The behaviour of the real binary as clients and operators see it, one module for each subject.
//!
//! Every test has its own server and document root. The test binds the listening socket to a free port and passes it as
//! systemd would, so a client may connect before the server is ready. There are no sleeps: tests wait for conditions,
//! up to a deadline.

mod access;
mod activation;
mod aliases;
#[path = "../fuzz/src/answer.rs"]
mod answer;
mod blocked_disk;
mod caching;
mod capacity;
mod challenges;
mod changing;
mod check;
mod check_site;
mod check_site_agrees;
mod check_unit;
mod clear_logins;
mod codings;
mod compress;
mod conditional;
mod confined;
mod exhausted;
mod exposition;
mod failing_disk;
mod files;
mod forwarded;
mod fresh;
mod fronts;
mod fuse;
mod hanging_disk;
mod health;
mod health_disk;
mod helper;
mod http2;
mod http2_client;
mod https;
mod https_command;
mod https_undo;
mod hung;
mod identity;
mod idle_exit;
mod interfaces;
mod isolation;
mod keep_alive;
mod key_process;
mod keys;
mod leaving_clients;
mod links;
mod listening;
mod listings;
mod login_reload;
mod logins;
mod manual;
mod metrics;
mod names;
mod names_of_pages;
mod notify;
#[cfg(target_arch = "x86_64")]
mod old_kernel;
mod precompress;
mod proxy_protocol;
mod random;
mod ranges;
#[path = "../fuzz/src/reading.rs"]
mod reading;
mod refusals;
mod releases;
mod reload;
mod rules;
mod same_answers;
mod saturation;
mod settings;
mod shared_caches;
mod shared_listings;
mod signals;
mod site_reports;
mod sites;
mod slow_clients;
mod start;
mod stop;
mod stuck_readers;
mod support;
mod threads;
mod validators;
mod verify;
mod workers;
