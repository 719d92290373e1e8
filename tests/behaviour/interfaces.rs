//! Names that scripts of administrators rely on: message identifiers, fields of records, metrics, options, variables
//! and exit statuses. Each list is explicit: its entries may neither be renamed nor removed. tests/journal has the same
//! fields as journald stores them, in capitals.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};

use crate::fuse::{Call, Disk, Fault};
use crate::https::{self, Certificates};
use crate::keys;
use crate::support::{BINARY, Client, Server, Setup, Site, encode, get, own_user, stop, wait_for, wait_until};

/// Options and their variables (none: `-`).
const OPTIONS: &str = "
    --access-log OTUS_ACCESS_LOG  --acme-challenges OTUS_ACME_CHALLENGES  --allow OTUS_ALLOW  --auth OTUS_AUTH  --auth-over-http OTUS_AUTH_OVER_HTTP  --cache-control OTUS_CACHE_CONTROL  --cache-size OTUS_CACHE_SIZE  --certificates OTUS_CERTIFICATES  --charset OTUS_CHARSET  --check -  --client-address-header OTUS_CLIENT_ADDRESS_HEADER  --compress-cache OTUS_COMPRESS_CACHE  --debug OTUS_DEBUG
    --dotfiles OTUS_DOTFILES  --drain-timeout OTUS_DRAIN_TIMEOUT  --forwarded-host OTUS_FORWARDED_HOST  --head-timeout OTUS_HEAD_TIMEOUT  --health-path OTUS_HEALTH_PATH  --health-timeout OTUS_HEALTH_TIMEOUT  --help -  --hsts OTUS_HSTS
    --host OTUS_HOST  --http2 OTUS_HTTP2  --https-port OTUS_HTTPS_PORT  --idle-exit OTUS_IDLE_EXIT  --idle-timeout OTUS_IDLE_TIMEOUT  --index OTUS_INDEX  --lame-duck OTUS_LAME_DUCK  --listing OTUS_LISTING
    --log-address OTUS_LOG_ADDRESS  --log-query OTUS_LOG_QUERY  --log-rate OTUS_LOG_RATE
    --max-connections OTUS_MAX_CONNECTIONS  --max-fields OTUS_MAX_FIELDS  --max-head OTUS_MAX_HEAD
    --max-per-client OTUS_MAX_PER_CLIENT  --max-request-line OTUS_MAX_REQUEST_LINE  --max-requests OTUS_MAX_REQUESTS
    --max-threads OTUS_MAX_THREADS  --mime OTUS_MIME  --mime-types OTUS_MIME_TYPES  --min-rate OTUS_MIN_RATE
    --port OTUS_PORT  --precompressed OTUS_PRECOMPRESSED  --pretty OTUS_PRETTY  --redirect-to-https OTUS_REDIRECT_TO_HTTPS  --root OTUS_ROOT  --send-timeout OTUS_SEND_TIMEOUT
    --settings OTUS_SETTINGS  --sites OTUS_SITES  --stop-timeout OTUS_STOP_TIMEOUT  --ticket-keys OTUS_TICKET_KEYS  --trusted-proxies OTUS_TRUSTED_PROXIES  --unit -  --user OTUS_USER  --version -
    --workers OTUS_WORKERS  -V -  -d -  -h -  -p -  -r -  -s -  -w -";

/// Every metric: type, name, and labels with their values.
const METRICS: &str = "
    gauge otus_build_info version
    counter otus_compressed_bytes_total
    counter otus_compressed_files_total
    counter otus_compressed_hits_total
    counter otus_content_hashed_bytes_total
    counter otus_content_hashed_files_total
    counter otus_http2_connections_failed_total reason=abuse|protocol
    counter otus_http2_connections_taken_over_total
    counter otus_http2_connections_total
    counter otus_http2_streams_reset_total
    gauge otus_http_connections
    counter otus_http_connections_accepted_total
    counter otus_http_connections_evicted_total
    gauge otus_http_connections_parked
    counter otus_http_connections_refused_total
    counter otus_http_connections_unused_total
    histogram otus_http_request_duration_seconds le
    gauge otus_http_requests_in_flight
    counter otus_http_requests_total code=2xx|3xx|4xx|5xx method=GET|HEAD|OPTIONS|other
    counter otus_http_sent_bytes_total
    counter otus_log_records_total outcome=dropped|summed|written
    counter otus_messages_dropped_total to=log|systemd
    counter otus_proxy_headers_rejected_total reason=checksum|closed|command|malformed|timeout|too_long|untrusted
    gauge otus_request_threads
    gauge otus_root_last_response_timestamp_seconds
    gauge otus_root_up
    counter otus_tls_handshake_failures_total reason=alert|alpn|closed|malformed|name|not_tls|parameters|server|timeout
    counter otus_tls_handshakes_total resumed=no|yes version
    counter otus_tls_signature_wait_seconds_total
    counter otus_tls_signatures_total outcome=failed|made
    counter otus_variants_rejected_total
    counter otus_worker_restarts_total reason=exit|hung|signal
    gauge otus_workers
    gauge otus_workers_ready
    gauge process_start_time_seconds";

/// The metrics of a server with certificates.
const METRICS_OF_CERTIFICATES: [&str; 3] = [
    "gauge otus_certificate_expiry_timestamp_seconds folder=first name=localhost",
    "gauge otus_certificates_unusable",
    "counter otus_key_requests_refused_total",
];

/// The fields of every record of the log.
const COMMON: [&str; 3] = ["level", "target", "timestamp"];

type Fields = BTreeMap<String, String>;

/// Parses the fields of a line, a JSON object without nested objects.
fn fields(line: &str) -> Fields {
    let mut fields = Fields::new();
    let mut rest = line.strip_prefix('{').unwrap_or_else(|| panic!("{line} is no JSON object"));
    while let Some(text) = rest.strip_prefix(['"', ',']) {
        let (name, text) = text.trim_start_matches('"').split_once("\":").unwrap();
        let end = match text.strip_prefix('"') {
            Some(inner) => {
                let mut is_escaped = false;
                let closing = inner.bytes().position(|byte| {
                    let is_end = byte == b'"' && !is_escaped;
                    is_escaped = byte == b'\\' && !is_escaped;
                    is_end
                });
                closing.expect("a closed string") + 2
            }
            None => text.find([',', '}']).unwrap(),
        };
        assert!(
            fields.insert(name.into(), text[..end].trim_matches('"').into()).is_none(),
            "{name} is there twice: {line}"
        );
        rest = &text[end..];
    }
    assert_eq!(rest, "}", "{line}");
    fields
}

/// Returns the first record that `is_wanted`.
fn record(server: &Server, what: &str, is_wanted: impl Fn(&Fields) -> bool) -> Fields {
    wait_for(what, || {
        let log = server.log();
        // The last line may be incomplete.
        log.split_inclusive('\n')
            .filter(|line| line.ends_with('\n'))
            .map(|line| fields(line.trim_end()))
            .find(&is_wanted)
    })
}

/// Checks that a record has exactly these fields.
fn assert_fields(record: &Fields, names: &str) {
    let expected: BTreeSet<_> = names.split_whitespace().chain(COMMON).collect();
    let present: BTreeSet<_> = record.keys().map(String::as_str).collect();
    assert_eq!(present, expected, "{record:?}");
}

/// Checks the record of an event: its identifier, its level and its fields.
fn assert_event(server: &Server, id: &str, level: &str, names: &str) -> Fields {
    let record = record(server, &format!("a record with message_id {id}"), |fields| {
        fields.get("message_id").is_some_and(|present| present == id)
    });
    assert_eq!(record["level"], level, "{record:?}");
    assert_fields(&record, &format!("message message_id {names}"));
    record
}

fn start(site: &Site, arguments: &[&str]) -> Server {
    let server = Server::with(site, &[&["--access-log=stderr"], arguments].concat());
    server.wait_until_ready();
    server
}

#[test]
fn fields_of_the_access_log_keep_their_names() {
    let site = Site::with(&[("a", b"a"), ("packed", &[b'a'; 1_000])]);
    site.write("packed.gz", &encode("gzip", &[b'a'; 1_000]));
    let server = start(&site, &["--workers=1"]);
    let ask = |line: &str, further: &str| {
        let mut client = server.connect();
        client.send(format!("{line}\r\nHost: h\r\nUser-Agent: agent\r\nReferer: http://r/\r\n{further}\r\n"));
        client.head().status
    };
    let who = "client_address client_port bytes_sent duration_us worker connection";
    let fields_of_request = "http_method http_target http_host http_user_agent http_referer http_status request";
    let range = "Range: bytes=9-\r\n";
    for (target, further, status, level, fields) in [
        ("/a", "", 200, "INFO", ""),
        ("/packed", "Accept-Encoding: gzip\r\n", 200, "INFO", "encoding"),
        ("/a?", range, 416, "WARN", "range cause"),
        ("/none", "", 404, "WARN", "cause"),
    ] {
        assert_eq!(ask(&format!("GET {target} HTTP/1.1"), further), status, "{target}");
        let of_target =
            record(&server, target, |fields| fields.get("http_target").is_some_and(|value| value == target));
        assert_fields(&of_target, &format!("{who} {fields_of_request} {fields}"));
        assert_eq!((&*of_target["target"], &*of_target["level"]), ("access", level));
        assert_eq!(of_target["http_status"], status.to_string());
        assert_eq!((&*of_target["http_method"], &*of_target["http_host"]), ("GET", "h"));
        assert_eq!((&*of_target["http_user_agent"], &*of_target["http_referer"]), ("agent", "http://r/"));
        assert_eq!(of_target["client_address"], "127.0.0.1");
    }
    assert_eq!(ask("BREW /a HTTP/1.1", ""), 501);
    let refused = record(&server, "the 501", |fields| fields.get("http_status").is_some_and(|value| value == "501"));
    assert_eq!(refused["level"], "ERROR");
    assert_eq!(server.connect().send("no request\r\n\r\n").head().status, 400);
    let malformed = record(&server, "bytes that are no request", |fields| fields.contains_key("http_line"));
    assert_fields(&malformed, &format!("{who} http_line http_status request cause"));
    let port = server.connect().0.local_addr().unwrap().port();
    let unused = record(&server, "a connection without a request", |fields| {
        fields.get("client_port").is_some_and(|value| *value == port.to_string())
    });
    assert_fields(&unused, &format!("{who} cause"));
}

#[test]
fn fields_of_a_summary_keep_their_names() {
    let site = Site::with(&[("a", b"a")]);
    let server = start(&site, &["--workers=1", "--log-rate=1"]);
    let mut client = server.connect();
    client.send(get("/a").repeat(50));
    (0..50).for_each(|_| assert_eq!(client.response().status, 200));
    let summary = record(&server, "a summary", |fields| fields["target"] == "access_sum");
    assert_fields(&summary, "message worker requests counts bytes_sent slowest_us slowest_target");
    assert!(summary["counts"].starts_with("GET/200="), "{summary:?}");
}

#[test]
fn events_of_workers_keep_their_identifiers_and_fields() {
    let site = Site::with(&[("a", b"a")]);
    let setup = Setup::new(&site, &["--access-log=stderr"]).env("WATCHDOG_USEC", "8000000");
    let server = setup.before("export WATCHDOG_PID=$$;").listen();
    server.wait_until_ready();
    let workers = server.workers();
    kill(workers[0], Signal::SIGTERM).unwrap();
    let ended = "worker worker_pid lived_ms pause_ms";
    let exited = assert_event(&server, "b72049678157406192f3f850926917d1", "ERROR", &format!("{ended} exit_code"));
    assert_eq!((&*exited["worker_pid"], &*exited["exit_code"]), (&*workers[0].to_string(), "0"));
    stop(workers[1]);
    let hung = assert_event(&server, "193b1dac606b431c84632d027a436f6c", "ERROR", "worker worker_pid hung_seconds");
    assert_eq!(hung["worker_pid"], workers[1].to_string());
    let killed = assert_event(&server, "45433acbf8c749f793c552da82f38f6b", "ERROR", &format!("{ended} signal"));
    assert_eq!((&*killed["worker_pid"], &*killed["signal"]), (&*workers[1].to_string(), "SIGKILL"));
}

#[test]
fn events_of_a_full_server_keep_their_identifiers_and_fields() {
    let site = Site::with(&[("large", &[b'x'; 20_000_000])]);
    let server = start(&site, &["--workers=1", "--max-connections=2", "--max-per-client=1"]);
    let mut first = server.connect();
    assert_eq!(first.send(get("/large")).head().status, 200);
    assert_eq!(server.get("/").status, 503);
    let client = assert_event(&server, "97c1a62bf90547bcbd57e73a408f5fd5", "WARN", "client_address");
    assert_eq!(client["client_address"], "127.0.0.1");

    let server = start(&site, &["--workers=1", "--max-connections=2"]);
    let mut clients: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/large"));
    }
    assert_event(&server, "959e720c2c2944fa83f4c4b7967a743f", "WARN", "");

    let setup = Setup::new(&site, &["--workers=1", "--access-log=stderr"]);
    let server = setup.before("ulimit -n 40;").listen();
    let mut clients: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send(get("/large"));
    }
    assert_event(&server, "d14acc4409d54c47a48c4a9167326047", "WARN", "");
}

#[test]
fn events_of_a_disk_keep_their_identifiers_and_fields() {
    const FILE_FAILED: &str = "7ac8a38f6f874ff59614ef07b18583a6";
    for (at, status, fields) in [(0, 500, "path status"), (1 << 20, 200, "path offset")] {
        let site = Site::new();
        let disk = Disk::mount(&site, "disk", &[("file", &[b'x'; 20_000_000])]);
        let server = start(&site, &["--workers=1"]);
        disk.set("file", Call::Read(at), Fault::Error(Errno::EIO));
        let mut client = server.connect();
        assert_eq!(client.send(get("/disk/file")).head().status, status);
        if status == 200 {
            // Up to the first byte that cannot be read.
            _ = std::io::copy(&mut client.0, &mut std::io::sink());
        }
        assert_eq!(assert_event(&server, FILE_FAILED, "WARN", fields)["path"], "/disk/file");
    }
    let site = Site::new();
    let disk = Disk::mount(&site, "disk", &[("file", &[b'x'; 100_000])]);
    let setup = Setup::new(&site, &["--access-log=stderr", "--workers=1", "--max-threads=1"]);
    let server = setup.env("WATCHDOG_USEC", "8000000").before("export WATCHDOG_PID=$$;").listen();
    server.wait_until_ready();
    let worker = server.workers()[0];
    disk.set("file", Call::Open, Fault::Hang);
    let mut stuck = server.connect();
    stuck.send(get("/disk/file"));
    let busy = assert_event(&server, "1af0cc88fec44f83b26878c262cbef6f", "WARN", "threads");
    assert_eq!(busy["threads"], "1");
    let survived = assert_event(&server, "952f2e1e5a2948fb9e68a08befbf3d20", "ERROR", "worker worker_pid");
    assert_eq!(survived["worker_pid"], worker.to_string());
    disk.mend();
    let site = Site::new();
    let disk = Disk::mount(&site, "disk", &[("index.html", b"home")]);
    let root = format!("--root={}", site.path("disk").display());
    let server = start(&site, &[&root, "--health-timeout=3"]);
    server.wait_until_ready();
    disk.set("", Call::Stat, Fault::Hang);
    let silent = assert_event(&server, "224c498ae2b9500b6499e9db1360a4f3", "ERROR", "path seconds");
    assert_eq!((&*silent["path"], &*silent["seconds"]), (site.path("disk").to_str().unwrap(), "3"));
    disk.mend();
}

#[test]
fn the_end_of_the_helper_keeps_its_identifier_and_fields() {
    let site = Site::with(&[("large", &[b'x'; 100_000])]);
    let server = start(&site, &["--workers=1"]);
    wait_until("the helper", || server.get("/large").status == 200 && server.helper().is_some());
    let helper = server.helper().unwrap();
    kill(helper, Signal::SIGKILL).unwrap();
    let names = "helper_pid how lived_ms pause_ms";
    let end = assert_event(&server, "f65acbea5697cae75a76bef96d5ec716", "ERROR", names);
    assert_eq!((&*end["helper_pid"], &*end["how"]), (&*helper.to_string(), "was killed by SIGKILL"));
}

#[test]
fn fields_of_tls_keep_their_names() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--workers=1", "--access-log=stderr"]);
    let who = "client_address client_port bytes_sent duration_us worker connection";
    let fields_of_request = "http_method http_target http_host http_status request http_scheme";
    let fields_of_tls = "tls_version tls_cipher tls_group tls_name tls_resumed";
    for (version, name, cipher) in [
        (&rustls::version::TLS13, "TLSv1.3", "TLS_AES_128_GCM_SHA256"),
        (&rustls::version::TLS12, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ] {
        let client = certificates.client("first", version);
        for resumed in ["no", "yes"] {
            let target = format!("/a?{name}-{resumed}");
            let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
            https::exchange(&mut https::connect(server.address, &client), &request);
            let record =
                record(&server, &target, |fields| fields.get("http_target").is_some_and(|value| *value == target));
            // A session of TLS 1.2 is resumed without a group.
            let has_no_group = (name, resumed) == ("TLSv1.2", "yes");
            let fields_of_tls = fields_of_tls.replace("tls_group ", if has_no_group { "" } else { "tls_group " });
            assert_fields(&record, &format!("{who} {fields_of_request} {fields_of_tls}"));
            let values = ["http_scheme", "tls_version", "tls_cipher", "tls_name", "tls_resumed"];
            let values = values.map(|field| record[field].as_str());
            // The order of the ciphers depends on the processor.
            let cipher = if values[2].contains("AES_128") { cipher } else { values[2] };
            assert_eq!(values, ["https", name, cipher, "localhost", resumed]);
            assert_eq!(record.get("tls_group").map(String::as_str), (!has_no_group).then_some("X25519"));
        }
    }
}

#[test]
fn events_of_certificates_keep_their_identifiers_and_fields() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    certificates.add_expired("old");
    std::fs::create_dir(certificates.path().join("empty")).unwrap();
    let server = certificates.serve(&site, &["--access-log=stderr"]);
    let ends = assert_event(&server, "58a3ba6f3a8334bae230eea5a674fdbf", "ERROR", "certificate");
    assert_eq!(ends["certificate"], "old");
    let unusable = assert_event(&server, "30418de95d6472c12410fdf5e9f6f08e", "ERROR", "certificate");
    assert_eq!(unusable["certificate"], "empty");
}

#[test]
fn events_of_the_key_process_keep_their_identifiers_and_fields() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let server = certificates.serve(&site, &["--access-log=stderr", "--workers=1"]);
    let key_process = wait_for("the key process", || {
        let monitor = keys::children(server.pid()).into_iter().find(|pid| keys::comm(*pid) == "otus-keys")?;
        keys::children(monitor).into_iter().next()
    });
    kill(key_process, Signal::SIGKILL).unwrap();
    let ended = assert_event(&server, "ff72fae60f2c2ad992dde422426f4b3a", "ERROR", "how lived_ms pause_ms");
    assert_eq!(ended["how"], "was killed by SIGKILL");
    if nix::unistd::geteuid().is_root() {
        https::exchange(
            &mut https::connect(server.address, &certificates.client("first", &rustls::version::TLS13)),
            "GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        );
        let victim = server.workers()[0];
        keys::request_a_signature_of_a_digest(victim);
        let refused = assert_event(&server, "946d3ce28dd3e8225c4b13ba335ed9f5", "ERROR", "worker_pid why");
        assert_eq!(refused["worker_pid"], victim.to_string());
    }
    let setup = Setup::new(&site, &["--access-log=stderr", &certificates.option()]).env("LISTEN_FDNAMES", "https");
    let server = setup.env("OTUS_KEYS_SOCKET", "/none").listen();
    assert_event(&server, "e5afcb5ef7c3c83f194063c1de78d923", "ERROR", "why");
}

#[test]
fn a_rejected_reload_keeps_its_identifier_and_field() {
    let site = Site::with(&[("a", b"a")]);
    let types = site.path("types");
    std::fs::write(&types, "text/plain txt\n").unwrap();
    let server = start(&site, &["--workers=1", &format!("--mime-types={}", types.display())]);
    std::fs::remove_file(&types).unwrap();
    server.signal(Signal::SIGHUP);
    let rejected = assert_event(&server, "60ce72beeba9411690c340d88d9fc953", "ERROR", "why");
    assert!(rejected["message"].ends_with(&rejected["why"]), "{rejected:?}");
}

#[test]
fn metrics_keep_their_names_types_and_labels() {
    let site = Site::with(&[("a", b"a")]);
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = metrics.local_addr().unwrap();
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::new(&site, &[]).env("LISTEN_FDNAMES", "http:metrics").socket(http).socket(metrics);
    let server = setup.start();
    server.wait_until_ready();
    let present = families(&Client::connect(address).get("/metrics").text());
    assert_eq!(present, METRICS.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>());
}

#[test]
fn metrics_of_certificates_keep_their_names_types_and_labels() {
    let (site, certificates) = (Site::with(&[("a", b"a")]), Certificates::new());
    let metrics = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = metrics.local_addr().unwrap();
    let https = TcpListener::bind("127.0.0.1:0").unwrap();
    let setup = Setup::new(&site, &[&certificates.option()]).env("LISTEN_FDNAMES", "https:metrics");
    let server = setup.socket(https).socket(metrics).start();
    server.wait_until_ready();
    let present = wait_for("the certificates", || {
        let present = families(&Client::connect(address).get("/metrics").text());
        present.iter().any(|line| line == METRICS_OF_CERTIFICATES[0]).then_some(present)
    });
    let mut expected: Vec<_> = METRICS.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    expected.extend(METRICS_OF_CERTIFICATES);
    expected.sort_by_key(|line| line.split(' ').nth(1));
    assert_eq!(present, expected);
}

/// Returns the families of metrics of a page: type, name, and labels with their values.
fn families(page: &str) -> Vec<String> {
    let types: BTreeMap<_, _> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut present: BTreeMap<&str, BTreeMap<&str, BTreeSet<&str>>> = BTreeMap::new();
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) =
            line.rsplit_once(' ').unwrap().0.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let suffixes = ["_bucket", "_sum", "_count"];
        let family =
            suffixes.iter().find_map(|suffix| name.strip_suffix(suffix).filter(|name| types.contains_key(name)));
        let of_family = present.entry(family.unwrap_or(name)).or_default();
        for label in labels.trim_end_matches('}').split(',').filter(|label| !label.is_empty()) {
            let (label, value) = label.split_once('=').unwrap();
            // Values that differ between versions, and bounds, are not names.
            let value = Some(value.trim_matches('"')).filter(|_| !["version", "le"].contains(&label));
            of_family.entry(label).or_default().extend(value);
        }
    }
    let label = |(label, values): (&&str, &BTreeSet<&str>)| match values.iter().copied().collect::<Vec<_>>().join("|") {
        values if values.is_empty() => format!(" {label}"),
        values => format!(" {label}={values}"),
    };
    let line = |(name, labels): (&&str, &BTreeMap<_, _>)| {
        format!("{} {name}{}", types[name], labels.iter().map(label).collect::<String>())
    };
    present.iter().map(line).collect()
}

#[test]
fn options_and_variables_keep_their_names() {
    let help = String::from_utf8(Command::new(BINARY).arg("--help").output().unwrap().stdout).unwrap();
    let mut words = help.split(|c: char| c.is_whitespace() || "[],".contains(c)).filter(|word| word.starts_with('-'));
    let mut options: BTreeSet<_> =
        words.by_ref().map(|word| word.split(['=', '.', ')', ';', ':']).next().unwrap()).collect();
    options.retain(|option| option.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphabetic()));
    let expected: Vec<_> = OPTIONS.split_whitespace().collect();
    let names: BTreeSet<_> = expected.iter().copied().filter(|word| word.starts_with('-') && *word != "-").collect();
    assert_eq!(options, names);

    let site = Site::new();
    let directory = tempfile::tempdir().unwrap();
    let ticket_keys = https::write_ticket_keys(directory.path(), &[1]);
    for pair in expected.chunks(2) {
        let [option, variable] = pair else { panic!("{pair:?}") };
        if *variable == "-" {
            continue;
        }
        let value = match *option {
            "--settings" => "-/none".into(),
            "--root" | "--sites" => site.root().display().to_string(),
            "--user" => continue,
            "--ticket-keys" => ticket_keys.display().to_string(),
            _ => default_of(option).into(),
        };
        let mut command = Command::new(BINARY);
        if *option != "--sites" {
            command.env("OTUS_ROOT", site.root());
        }
        command.arg("--check").envs(own_user()).env(variable, &value);
        let output = command.output().unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        assert!(
            table.lines().any(
                |row| row.starts_with(&format!("{option} ")) && row.ends_with(&format!("environment ({variable})"))
            ),
            "{variable}={value}: {table}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// A valid value of an option.
fn default_of(option: &str) -> &'static str {
    match option {
        "--access-log" => "off",
        "--charset" => "utf-8",
        "--auth-over-http"
        | "--debug"
        | "--dotfiles"
        | "--forwarded-host"
        | "--listing"
        | "--log-query"
        | "--redirect-to-https" => "no",
        "--http2" | "--precompressed" | "--pretty" => "on",
        "--cache-control" => "hashed",
        "--log-address" => "full",
        "--trusted-proxies" => "192.0.2.10",
        "--client-address-header" => "X-Real-IP",
        "--allow" => "/a=::1",
        "--auth" => "/a=/none",
        "--mime" => "a=text/plain",
        "--mime-types" => "/dev/null",
        "--host" => "127.0.0.1",
        "--health-path" => "/health",
        "--max-head" | "--max-request-line" => "8k",
        _ => "10",
    }
}

#[test]
fn exit_statuses_keep_their_meaning() {
    let site = Site::with(&[("a", b"a")]);
    let status = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("OTUS_ROOT", site.root()).envs(own_user());
        command.output().unwrap().status.code().unwrap()
    };
    assert_eq!(status(&["--help"]), 0);
    assert_eq!(status(&["--version"]), 0);
    for (arguments, expected) in [
        (&["--port=0"][..], 0),
        (&["--port=0", "--mime-types=/none"], 1),
        (&["--port=0", "--no-such-option"], 2),
        (&["--port=0", "--workers=none"], 2),
        (&["--port=0", "--settings=/none"], 2),
    ] {
        assert_eq!(status(&[&["--check"], arguments].concat()), expected, "--check {arguments:?}");
        if expected != 0 {
            assert_eq!(status(arguments), expected, "{arguments:?}");
        }
    }
    assert_eq!(status(&["precompress", &site.root().display().to_string()]), 0);
    assert_eq!(status(&["precompress", "/none"]), 1);
    assert_eq!(status(&["precompress", "--verify", &site.root().display().to_string()]), 0);
    assert_eq!(status(&["precompress", "--verify", "/none"]), 1);
    assert_eq!(status(&["precompress", "--verify"]), 2);

    let mut server = Server::of(&site);
    server.wait_until_ready();
    server.signal(Signal::SIGTERM);
    wait_until("the end", || server.exit_status().success());
}
