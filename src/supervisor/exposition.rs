//! The state that the server exposes: `/metrics` in the Prometheus text format 0.0.4, and `/health` in one line.

use std::fmt::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::http::h1::encode::{self, Context};
use crate::http::h1::parse;
use crate::http::request::Method;
use crate::http::{Refusal, Request, Response, Status, target};
use crate::ipc::key_protocol::Overview;
use crate::ipc::scoreboard::{
    BOUNDS_NS, BYTES, CLASSES, Counter, HANDSHAKE_FAILURES, METHODS, PROXY_REJECTIONS, Scoreboard, SiteTotals,
};
use crate::os::clock;
use crate::service::health::{self, HealthSettings, Problem};

/// The label of all sites that have no counts of their own, and of a site with this name.
const OTHER_SITES: &str = "other";

const TEXT: &str = "text/plain; charset=utf-8";
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The state of the server.
#[derive(Debug, Clone, Copy)]
pub struct Snapshot<'b> {
    /// The counters of the workers.
    pub board: &'b Scoreboard,
    /// The number of ready workers.
    pub ready: usize,
    /// The configured number of workers.
    pub workers: usize,
    /// The number of old workers, which serve until a new worker is ready.
    pub old_workers: usize,
    /// Whether it has a directory of sites.
    pub has_sites: bool,
    /// What its health depends on.
    pub health: HealthSettings,
    /// When it started.
    pub started: SystemTime,
    /// The certificates; none in a server without TLS.
    pub certificates: Option<&'b [Overview]>,
}

/// Appends the response to a request; it is the connection's last.
pub fn respond(snapshot: &Snapshot, request: &Request, date: &str, out: &mut Vec<u8>) {
    let mut path = Vec::new();
    let target = target::decode(request.target, &mut path);
    let status_page = |status: Status| Response::report(status, TEXT, format!("{}\n", status.line()));
    let response = match (request.method, target.as_ref().map(|target| target.path)) {
        (Method::Get | Method::Head, Ok(b"metrics")) => Response::report(Status::Ok, EXPOSITION, snapshot.metrics()),
        (Method::Get | Method::Head, Ok(b"health")) => health::response(snapshot.problem()),
        (Method::Get | Method::Head, Ok(_)) => status_page(Status::NotFound),
        (Method::Get | Method::Head, Err(refusal)) => status_page(refusal.status()),
        _ => status_page(Status::MethodNotAllowed),
    };
    encode(&response, request.method, date, out);
}

/// Appends the response to bytes that are not a valid request.
pub fn refuse(refusal: &Refusal, input: &[u8], date: &str, out: &mut Vec<u8>) {
    encode(&Response::error(refusal.status()), parse::method_of_refused(input), date, out);
}

fn encode(response: &Response, method: Method, date: &str, out: &mut Vec<u8>) {
    encode::head(
        out,
        response.status,
        Context { date, keep_alive: false, hsts: None, is_private: false },
        &response.fields,
    );
    if method != Method::Head {
        out.extend_from_slice(&response.content);
    }
}

/// Returns a value of a label, escaped.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Snapshot<'_> {
    /// Returns why the server is to get no requests, if there is a reason.
    fn problem(&self) -> Option<Problem> {
        let has_worker = self.ready + self.old_workers > 0;
        let problem = self.health.problem(self.board, clock::now_ms());
        if has_worker || problem == Some(Problem::Draining) { problem } else { Some(Problem::NoWorkers) }
    }

    fn metrics(&self) -> String {
        let mut exposition = Exposition::default();
        exposition.family("otus_build_info", "gauge", "Version of the running server.");
        exposition.sample("otus_build_info", format_args!("{{version=\"{}\"}}", crate::VERSION), 1);
        exposition.family(
            "process_start_time_seconds",
            "gauge",
            "Time of the last start or reload, in seconds since 1970.",
        );
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        exposition.sample("process_start_time_seconds", "", seconds(started.as_nanos() as u64));
        self.root(&mut exposition);
        self.requests(&mut exposition);
        self.sites(&mut exposition);
        self.durations(&mut exposition);
        for (name, kind, help, value) in self.unlabelled() {
            exposition.family(name, kind, help);
            exposition.sample(name, "", value);
        }
        self.handshakes(&mut exposition);
        self.http2(&mut exposition);
        let rejections = "otus_proxy_headers_rejected_total";
        exposition.family(
            rejections,
            "counter",
            "Connections closed because of their PROXY protocol header, or since they are not from a trusted proxy, by reason.",
        );
        for (reason, counter) in PROXY_REJECTIONS {
            exposition.sample(rejections, format_args!("{{reason=\"{reason}\"}}"), self.board.total(counter));
        }
        let restarts = "otus_worker_restarts_total";
        exposition.family(restarts, "counter", "Workers that ended unexpectedly and were replaced, by reason.");
        for (reason, counter) in [("signal", Counter::Killed), ("exit", Counter::Exited), ("hung", Counter::Hung)] {
            exposition.sample(restarts, format_args!("{{reason=\"{reason}\"}}"), self.board.total(counter));
        }
        let records = "otus_log_records_total";
        exposition.family(records, "counter", "Access log records of requests and unused connections, by outcome.");
        let outcomes =
            [("written", Counter::LogWritten), ("summed", Counter::LogSummed), ("dropped", Counter::LogDropped)];
        for (outcome, counter) in outcomes {
            exposition.sample(records, format_args!("{{outcome=\"{outcome}\"}}"), self.board.total(counter));
        }
        let messages = "otus_messages_dropped_total";
        exposition.family(
            messages,
            "counter",
            "Messages dropped because the receiver did not accept them in time, by receiver; access log records are not included.",
        );
        for (receiver, counter) in [("log", Counter::MessagesDropped), ("systemd", Counter::NotificationsDropped)] {
            exposition.sample(messages, format_args!("{{to=\"{receiver}\"}}"), self.board.total(counter));
        }
        self.certificates(&mut exposition);
        exposition.0
    }

    /// Appends the metrics of certificates. Without TLS, there are none.
    fn certificates(&self, exposition: &mut Exposition) {
        let Some(certificates) = self.certificates else { return };
        let name = "otus_certificate_expiry_timestamp_seconds";
        exposition.family(
            name,
            "gauge",
            "End of the validity of a certificate in use, by its first name, in seconds since 1970.",
        );
        for certificate in certificates.iter().filter(|certificate| certificate.is_usable) {
            let first = label(certificate.names.first().unwrap_or(&certificate.folder));
            let labels = format_args!("{{name=\"{first}\",folder=\"{}\"}}", label(&certificate.folder));
            exposition.sample(name, labels, certificate.not_after);
        }
        let name = "otus_certificates_unusable";
        exposition.family(name, "gauge", "Folders without a usable certificate.");
        let unusable = certificates.iter().filter(|certificate| !certificate.is_usable).count();
        exposition.sample(name, "", unusable);
        let name = "otus_key_requests_refused_total";
        exposition.family(
            name,
            "counter",
            "Requests of workers that the key process has refused, as only a compromised worker makes.",
        );
        exposition.sample(name, "", self.board.total(Counter::KeyRequestsRefused));
    }

    fn root(&self, exposition: &mut Exposition) {
        let now_ms = clock::now_ms();
        let answered_ms = self.board.newest(Counter::RootAnswered, now_ms);
        let is_up = self.health.root_problem(self.board, now_ms).is_none();
        let name = "otus_root_up";
        exposition.family(
            name,
            "gauge",
            "1 if the document root, or the directory of sites, exists and has responded within --health-timeout; otherwise 0.",
        );
        exposition.sample(name, "", u8::from(is_up));
        let name = "otus_root_last_response_timestamp_seconds";
        exposition.family(
            name,
            "gauge",
            "Time of the last response of the disk of the document root, or of the directory of sites, in seconds since 1970.",
        );
        let ago_ns = (now_ms - answered_ms) * 1_000_000;
        exposition.sample(name, "", seconds((clock::unix_us() * 1_000).saturating_sub(ago_ns)));
    }

    fn requests(&self, exposition: &mut Exposition) {
        let name = "otus_http_requests_total";
        exposition.family(name, "counter", "Responses, by request method and status class.");
        for (row, method) in METHODS.iter().enumerate() {
            for (column, class) in CLASSES.iter().enumerate() {
                let labels = format_args!("{{method=\"{method}\",code=\"{class}xx\"}}");
                exposition.sample(name, labels, self.board.requests_of(row, column));
            }
        }
    }

    /// The counts of many sites; nothing if there is one site.
    fn sites(&self, exposition: &mut Exposition) {
        if !self.has_sites {
            return;
        }
        let name = "otus_sites";
        exposition.family(name, "gauge", "Sites of the directory of sites, without _default and aliases.");
        exposition.sample(name, "", self.board.largest(Counter::Sites));
        let SiteTotals { mut by_name, mut other } = self.board.site_totals();
        if let Some(same) = by_name.remove(OTHER_SITES) {
            other.iter_mut().zip(same).for_each(|(sum, count)| *sum = sum.wrapping_add(count));
        }
        let sites = by_name.iter().map(|(name, counts)| (label(name), counts));
        let is_other_used = other.iter().any(|count| *count > 0);
        let rows: Vec<_> = sites.chain(is_other_used.then_some((OTHER_SITES.to_string(), &other))).collect();
        if rows.is_empty() {
            return;
        }
        let name = "otus_http_site_requests_total";
        exposition.family(name, "counter", "Responses of many sites, by site and status class.");
        for (site, counts) in &rows {
            for (class, count) in CLASSES.iter().zip(*counts).filter(|(_, count)| **count > 0) {
                exposition.sample(name, format_args!("{{site=\"{site}\",code=\"{class}xx\"}}"), count);
            }
        }
        let name = "otus_http_site_sent_bytes_total";
        exposition.family(name, "counter", "Bytes of responses of many sites that the kernel has accepted, by site.");
        for (site, counts) in &rows {
            exposition.sample(name, format_args!("{{site=\"{site}\"}}"), counts[BYTES]);
        }
    }

    fn handshakes(&self, exposition: &mut Exposition) {
        let name = "otus_tls_handshakes_total";
        exposition.family(name, "counter", "Completed TLS handshakes, by version and whether a session was resumed.");
        for (version, resumed, counter) in [
            ("1.2", "no", Counter::Tls12Full),
            ("1.2", "yes", Counter::Tls12Resumed),
            ("1.3", "no", Counter::Tls13Full),
            ("1.3", "yes", Counter::Tls13Resumed),
        ] {
            let labels = format_args!("{{version=\"{version}\",resumed=\"{resumed}\"}}");
            exposition.sample(name, labels, self.board.total(counter));
        }
        let name = "otus_tls_handshake_failures_total";
        exposition.family(name, "counter", "TLS handshakes that failed, by reason.");
        for (reason, counter) in HANDSHAKE_FAILURES {
            exposition.sample(name, format_args!("{{reason=\"{reason}\"}}"), self.board.total(counter));
        }
        let name = "otus_tls_signatures_total";
        exposition.family(name, "counter", "Signatures that were requested from the key process, by outcome.");
        for (outcome, counter) in [("failed", Counter::SignaturesFailed), ("made", Counter::Signatures)] {
            exposition.sample(name, format_args!("{{outcome=\"{outcome}\"}}"), self.board.total(counter));
        }
        let name = "otus_tls_signature_wait_seconds_total";
        exposition.family(name, "counter", "Time that request threads waited for signatures.");
        exposition.sample(name, "", seconds(self.board.total(Counter::SignatureWaitNs)));
    }

    fn http2(&self, exposition: &mut Exposition) {
        let name = "otus_http2_connections_total";
        exposition.family(name, "counter", "Connections of HTTP/2.");
        exposition.sample(name, "", self.board.total(Counter::Http2Connections));
        let name = "otus_http2_connections_failed_total";
        exposition.family(name, "counter", "Connections of HTTP/2 that were ended with an error, by reason.");
        for (reason, counter) in [("abuse", Counter::Http2Abuse), ("protocol", Counter::Http2Errors)] {
            exposition.sample(name, format_args!("{{reason=\"{reason}\"}}"), self.board.total(counter));
        }
        let name = "otus_http2_streams_reset_total";
        exposition.family(name, "counter", "Streams that clients have reset before the response was sent.");
        exposition.sample(name, "", self.board.total(Counter::Http2StreamsReset));
        let name = "otus_http2_connections_taken_over_total";
        exposition.family(
            name,
            "counter",
            "Connections of HTTP/2 whose thread was busy with a stream, so that another one continued.",
        );
        exposition.sample(name, "", self.board.total(Counter::Http2TakenOver));
    }

    fn durations(&self, exposition: &mut Exposition) {
        let name = "otus_http_request_duration_seconds";
        exposition.family(
            name,
            "histogram",
            "Time from the arrival of a request until the last byte of its response was passed to the kernel.",
        );
        let durations = self.board.durations();
        let mut count = 0u64;
        for (&bound_ns, among) in BOUNDS_NS.iter().zip(durations.counts) {
            // A compromised worker may report any value.
            count = count.wrapping_add(among);
            exposition.sample(
                "otus_http_request_duration_seconds_bucket",
                format_args!("{{le=\"{}\"}}", seconds(bound_ns)),
                count,
            );
        }
        count = count.wrapping_add(durations.counts[BOUNDS_NS.len()]);
        exposition.sample("otus_http_request_duration_seconds_bucket", "{le=\"+Inf\"}", count);
        exposition.sample("otus_http_request_duration_seconds_sum", "", seconds(durations.sum_ns));
        exposition.sample("otus_http_request_duration_seconds_count", "", count);
    }

    /// Metrics without labels and buckets: name, kind, help, value.
    fn unlabelled(&self) -> [(&'static str, &'static str, &'static str, u64); 17] {
        let total = |counter| self.board.total(counter);
        [
            (
                "otus_http_sent_bytes_total",
                "counter",
                "Bytes sent to clients, heads included.",
                total(Counter::BytesSent),
            ),
            (
                "otus_http_requests_in_flight",
                "gauge",
                "Requests whose response has not been sent completely.",
                total(Counter::InFlight),
            ),
            ("otus_http_connections_accepted_total", "counter", "Connections accepted.", total(Counter::Accepted)),
            (
                "otus_http_connections_refused_total",
                "counter",
                "Connections beyond --max-per-client, rejected with a 503 that belongs to no request.",
                total(Counter::RejectedPerClient),
            ),
            (
                "otus_http_connections_unused_total",
                "counter",
                "Connections that ended without a request.",
                total(Counter::Unused),
            ),
            (
                "otus_http_connections_evicted_total",
                "counter",
                "Idle connections closed at --max-connections to make room for new ones.",
                total(Counter::Evicted),
            ),
            ("otus_http_connections", "gauge", "Open connections.", total(Counter::Connections)),
            (
                "otus_http_connections_parked",
                "gauge",
                "Waiting connections that hold no thread.",
                total(Counter::Parked),
            ),
            (
                "otus_content_hashed_files_total",
                "counter",
                "Files that were read for the digest of their content.",
                total(Counter::HashedFiles),
            ),
            (
                "otus_content_hashed_bytes_total",
                "counter",
                "Bytes that were read for digests, and to verify precompressed variants.",
                total(Counter::HashedBytes),
            ),
            (
                "otus_variants_rejected_total",
                "counter",
                "Requests for which a precompressed variant was not used because it is not the file.",
                total(Counter::RejectedVariants),
            ),
            (
                "otus_compressed_files_total",
                "counter",
                "Files that were compressed for --compress-cache, once for each coding.",
                total(Counter::CompressedFiles),
            ),
            (
                "otus_compressed_bytes_total",
                "counter",
                "Bytes of the files that were compressed for --compress-cache.",
                total(Counter::CompressedBytes),
            ),
            (
                "otus_compressed_hits_total",
                "counter",
                "Requests that were answered with content of --compress-cache.",
                total(Counter::CompressedHits),
            ),
            ("otus_request_threads", "gauge", "Request threads of all workers.", total(Counter::Threads)),
            ("otus_workers", "gauge", "Configured number of workers.", self.workers as u64),
            ("otus_workers_ready", "gauge", "Workers that are ready.", self.ready as u64),
        ]
    }
}

/// Formats nanoseconds as seconds, to the last digit that is not zero.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

/// A writer of the text format.
#[derive(Debug, Default)]
struct Exposition(String);

impl Exposition {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: impl std::fmt::Display, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }
}
