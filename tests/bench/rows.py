"""The rows of the benchmark: what is asked of which servers, and what otus-httpd must reach."""

import statistics
from dataclasses import dataclass, replace
from typing import Callable

import clients
import compression
import first_use
import page
import slow_link
import states

NGINX = ["nginx-tuned", "nginx-sendfile"]
HTTP2 = ["otus", "nginx-tuned", "lighttpd", "caddy", "h2o"]
TLS = ["otus", "nginx-tuned", "lighttpd", "caddy"]  # nginx sends no file of a TLS connection by sendfile
COMPRESSING = ["nginx-gzip", "nginx-gzip-types", "caddy-encode"]
ALL = ["otus", *NGINX, "nginx", "lighttpd", "apache"]
MIB = 1 << 20
FILES = {"test.html": 97, "10k.html": 10 << 10, "100k.bin": 100 << 10, "1m.bin": MIB, "100m.bin": 100 * MIB}


@dataclass(frozen=True)
class Row:
    name: str
    label: str
    how: str  # the client, in a few words
    servers: list
    file: str
    measure: Callable  # a running server -> {figure: value}
    figures: list  # of (figure, heading, digits)
    bounds: list
    fresh: bool = False  # every measurement starts a server of its own, alone on the machine
    warm: bool = True  # after some requests that are not measured
    prepare: Callable = None  # (document root, otus-httpd) -> None: creates files that only this row needs
    tls: bool = False
    compared: tuple = (("cost", 1.04),)  # figures that another version of otus-httpd is compared by, each with its bound

    def compared_as_well(self):
        """The row with the column and the bounds of --compare."""
        listed = {name for name, _, _ in self.figures}
        bounds = [
            against("the compared version" + ("" if figure == "cost" else f", {figure}"), ["compared"], at_most, figure)
            for figure, at_most in self.compared if figure in listed
        ]
        return replace(self, servers=[*self.servers, "compared"], bounds=[*self.bounds, *bounds])


@dataclass(frozen=True)
class Bound:
    """What a row demands. `values` takes {server: [figures of each round]} and gives a value for each round, or None."""

    label: str
    at_most: float
    unit: str
    values: Callable


def against(label, peers, at_most, figure="cost", of="otus"):
    """Our figure over that of the peer that is best in this row, each pair from one round."""

    def values(results):
        measured = [results[peer] for peer in peers if peer in results]
        if of not in results or not measured:
            return None
        best = min(measured, key=lambda rounds: statistics.median(r[figure] for r in rounds))
        return [ours[figure] / theirs[figure] for ours, theirs in zip(results[of], best)]

    return Bound(label, at_most, "x", values)


def ours(label, figure, at_most, unit=""):
    return Bound(label, at_most, unit, lambda results: [r[figure] for r in results.get("otus", [])])


def difference(label, figure, peer, at_most, unit):
    """How much more our figure is than that of a peer in the same round."""

    def values(results):
        if "otus" not in results or peer not in results:
            return None
        return [ours[figure] - theirs[figure] for ours, theirs in zip(results["otus"], results[peer])]

    return Bound(label, at_most, unit, values)


def grown(label, before, during):
    return Bound(f"{label} more than before", 0, "", lambda results: [r[during] - r[before] for r in results.get("otus", [])])


COST = [("cost", "CPU µs/request", 2), ("rate", "Requests/s", 0), ("busy", "Cores used", 2)]
LATENCY = [
    ("p50_before", "p50 ms before", 2), ("p50_during", "during", 2),
    ("p99_before", "p99 ms before", 2), ("p99_during", "during", 2), ("growth", "Growth of p99", 2),
]
COST_PER_MIB = [("cost", "CPU µs/MiB", 1), ("rate", "MiB/s", 0), ("busy", "Cores used", 2)]


def cost(client):
    """What a request costs a server: the processor time of all its processes, by the client's count of requests."""

    def measure(server):
        before = server.cpu_seconds()
        report = client(server)
        used = server.cpu_seconds() - before
        return {"cost": used / report.requests * 1e6, "rate": report.per_second, "busy": used * report.per_second / report.requests}

    return measure


def cost_per_mib(client, size):
    def measure(server):
        figures = cost(client)(server)
        return {**figures, "cost": figures["cost"] * MIB / size, "rate": figures["rate"] * size / MIB}

    return measure


def small(name, label, how, servers, client, bounds, file="test.html"):
    return Row(name, label, how, servers, file, cost(client), COST, bounds)


def large(fetch, name, label, file, connections, requests):
    def client(server):
        return clients.fetch(fetch, server.url(file), connections, requests)

    how = f"{requests} downloads over {connections} connections"
    servers = ["otus", *NGINX, "lighttpd", "apache"]
    bounds = [against("the best peer, per byte", servers[1:], 1.0)]
    return Row(name, label, how, servers, file, cost_per_mib(client, FILES[file]), COST_PER_MIB, bounds)


def keep_alive(name, label, file):
    return small(
        name, label, "wrk -t1 -c100 -d1s", [*ALL, "floor"] if file == "test.html" else ["otus", *NGINX, "lighttpd", "floor"],
        lambda server: clients.wrk(server.url(file)),
        [against("nginx tuned", NGINX, 0.75), against("lighttpd", ["lighttpd"], 0.9), against("the constant answer", ["floor"], 1.25)],
        file,
    )


def once_compressed():
    """What text must cost once it is compressed, beside the servers that compress it for each response."""
    return [
        *[against(f"CPU, to {label}", [peer], 0.2) for peer, label in zip(COMPRESSING, ("Debian's nginx", "nginx with gzip_types", "Caddy"))],
        *[against(f"bytes over {scheme.upper()}, to the fewest", COMPRESSING, 1.0, scheme) for scheme in ("https", "http")],
    ]


def generated(site):
    """The texts of the site that a generator has built, at the first visit and warm."""
    return Row(
        f"compress-{compression.key(site)}", f"Text of a site of {site.name}",
        f"a new server; each file once; then wrk -t1 -c{compression.CONNECTIONS} -d1s -s rotation.lua, Accept-Encoding: {compression.HTTP}",
        ["otus", *COMPRESSING, "floor"], compression.mean_answer(site), compression.visits(site),
        [("first", "KiB, first visit", 1), ("first_cost", "CPU µs/request", 1), ("https", "KiB for browsers over HTTPS, warm", 1),
         ("http", "over HTTP", 1), *COST[:2], ("page_cost", "of a page", 2), ("other_cost", "of another file", 2)],
        [*once_compressed(), against("for comparison: the constant answer, to Debian's nginx", ["nginx-gzip"], 0.2, of="floor")],
        fresh=True, warm=False, prepare=compression.prepared_site(site),
    )


def tls(name, label, how, client, bounds, file="test.html", servers=TLS):
    return Row(name, label, how, servers, file, cost(client), COST, bounds, tls=True)


def tls_keep_alive(name, label, file, requests, bounds):
    def client(server):
        return clients.h2load(server.url(file), requests, 32)

    return tls(name, label, f"h2load --h1 -c 32 -n {requests}", client, bounds, file)


def tls_large(name, label, file, connections, requests):
    def client(server):
        return clients.h2load(server.url(file), requests, connections)

    how, bounds = f"h2load --h1 -c {connections} -n {requests}", [against("nginx", ["nginx-tuned"], 0.75)]
    return Row(name, label, how, TLS, file, cost_per_mib(client, FILES[file]), COST_PER_MIB, bounds, tls=True)


def http2(name, label, file, streams, requests, bounds):
    """HTTP/2 over TLS, with so many streams at a time on each of 50 connections."""
    def client(server):
        return clients.h2load_streams(server.url(file), requests, 50, streams)

    return tls(name, label, f"h2load -c 50 -m {streams} -n {requests}", client, bounds, file, HTTP2)


def tls_resumed(name, label, version):
    def client(server):
        return clients.s_time(server.port, version, "/test.html")

    how = f"openssl s_time -reuse -time 1 -{version}"
    return tls(name, label, how, client, [against("nginx", ["nginx-tuned"], 0.8)])


def tls_groups(handshakes):
    """The cost of a full handshake with X25519MLKEM768 beside that with X25519, by the same client."""

    def measure(server):
        figures = {group: cost(lambda server: clients.handshakes(handshakes, server.port, group, 1000))(server) for group in GROUPS}
        hybrid, classic = (figures[group]["cost"] for group in GROUPS)
        return {"hybrid": hybrid, "classic": classic, "difference": hybrid - classic}

    return measure


GROUPS = ["X25519MLKEM768", "X25519"]


def not_found(server):
    return clients.wrk(server.url("none.html"), refused=True)


def a_range(server):
    return clients.wrk(server.url("10k.html"), "-H", "Range: bytes=100-199")


def not_modified(server):
    return clients.wrk(server.url("test.html"), "-H", f"If-None-Match: {server.etag('test.html')}")


def everything(fetch, handshakes, link):
    return [
        *plain(fetch),
        tls(
            "tls-connection", "TLS: a full handshake per request, 97 B", "ab -f TLS1.3 -n 2000 -c 16",
            lambda server: clients.ab(server.url("test.html"), "-f", "TLS1.3", requests=2000, connections=16),
            [against("nginx", ["nginx-tuned"], 0.7), against("lighttpd", ["lighttpd"], 0.6)],
        ),
        tls_resumed("tls-resumed-1.3", "TLS 1.3: a resumed handshake per request, 97 B", "tls1_3"),
        tls_resumed("tls-resumed-1.2", "TLS 1.2: a resumed handshake per request, 97 B", "tls1_2"),
        Row(
            "tls-ml-kem", "TLS: a full handshake with ML-KEM", "handshakes, 1,000 connections one after the other with each group", ["otus"],
            "test.html", tls_groups(handshakes), [("hybrid", "CPU µs, X25519MLKEM768", 1), ("classic", "X25519", 1), ("difference", "Difference", 1)],
            [], tls=True, compared=(("hybrid", 1.04), ("classic", 1.04)),
        ),
        tls_keep_alive(
            "tls-keep-alive", "TLS: keep-alive, 97 B", "test.html", 30_000,
            [against("nginx", ["nginx-tuned"], 0.8), against("lighttpd", ["lighttpd"], 0.95)],
        ),
        tls_keep_alive(
            "tls-keep-alive-10k", "TLS: keep-alive, 10 KiB", "10k.html", 20_000,
            [against("nginx", ["nginx-tuned"], 0.8), against("lighttpd", ["lighttpd"], 0.95)],
        ),
        tls_large("tls-1m", "TLS: 1 MiB", "1m.bin", 8, 800),
        tls_large("tls-100m", "TLS: 100 MiB", "100m.bin", 4, 16),
        http2(
            "http2-97", "HTTP/2: 97 B, 10 streams", "test.html", 10, 100_000,
            [against("the best peer", HTTP2[1:], 1.1), against("nginx", ["nginx-tuned"], 0.4)],
        ),
        http2("http2-10k", "HTTP/2: 10 KiB, 10 streams", "10k.html", 10, 50_000, [against("the best peer", HTTP2[1:], 0.95)]),
        http2("http2-97-single", "HTTP/2: 97 B, 1 stream", "test.html", 1, 30_000, [against("the best peer", HTTP2[1:], 0.9)]),
        http2("http2-10k-single", "HTTP/2: 10 KiB, 1 stream", "10k.html", 1, 30_000, [against("the best peer", HTTP2[1:], 0.9)]),
        http2("http2-1m", "HTTP/2: 1 MiB, 10 streams", "1m.bin", 10, 1_500, [against("the best peer", HTTP2[1:], 0.85)]),
        Row(
            "http2-page", f"HTTP/2: a page of {page.COUNT} files, far away",
            f"Chromium, empty cache, {page.VISITS} visits a round; 40 ms and 20 Mbit/s (link.rs)", [*HTTP2, "otus-uncompressed"], "test.html",
            page.load(link), [("load", "ms until loaded", 0), ("paint", "first paint", 0), ("code", "styles and scripts", 0)],
            [against(f"{label}, to the best peer", HTTP2[1:], 1.0, figure, of)
             for label, figure, of in (("with compression, loaded", "load", "otus"), ("loaded", "load", "otus-uncompressed"),
                                       ("first paint", "paint", "otus-uncompressed"), ("styles and scripts", "code", "otus-uncompressed"))],
            prepare=page.make, tls=True, compared=(("load", 1.04), ("paint", 1.04)),
        ),
        Row(
            "tls-idle-connections", "TLS: 10,000 idle connections", "Pss and threads of all processes, before and during", TLS, "test.html",
            states.idle_connections, [("each", "Bytes each", 0), ("before", "Threads before", 0), ("during", "Threads during", 0)],
            [against("memory each, to that of nginx", ["nginx-tuned"], 0.6, "each"), grown("threads", "before", "during")], fresh=True, tls=True,
        ),
        Row(
            "tls-slow-link", "TLS: 100 KiB over a slow link", f"ms after the request; {slow_link.CONNECTIONS} connections at each rate (tc-tbf)", TLS,
            "100k.bin", lambda server: slow_link.page(server, "100k.bin"),
            [("first_1m", "1 Mbit/s: first content", 0), ("some_1m", f"{slow_link.SOME:,} bytes", 0), ("all_1m", "all", 0),
             ("first_256k", "256 kbit/s: first content", 0), ("some_256k", f"{slow_link.SOME:,} bytes", 0), ("all_256k", "all", 0)],
            [against("first content over 1 Mbit/s, to that of nginx", ["nginx-tuned"], 0.25, "first_1m"),
             against("first content over 256 kbit/s, to that of nginx", ["nginx-tuned"], 0.25, "first_256k"),
             against("all of it over 256 kbit/s, to that of nginx", ["nginx-tuned"], 1.02, "all_256k")],
            tls=True, compared=(("first_256k", 1.04), ("all_256k", 1.04)),
        ),
    ]


def plain(fetch):
    return [
        small(
            "connection", "A connection per request, 97 B", "ab -n 15000 -c 100", ALL,
            lambda server: clients.ab(server.url("test.html")), [against("nginx tuned", NGINX, 0.95)],
        ),
        keep_alive("keep-alive", "Keep-alive, 97 B", "test.html"),
        keep_alive("keep-alive-10k", "Keep-alive, 10 KiB", "10k.html"),
        small(
            "pipelined", "Pipelined by 16, 97 B", "wrk -t1 -c100 -d1s -s pipeline.lua", ["otus", *NGINX, "lighttpd", "floor"],
            lambda server: clients.wrk_pipelined(server.url("test.html")), [against("nginx tuned", NGINX, 0.5)],
        ),
        large(fetch, "100k", "100 KiB", "100k.bin", 16, 10_000),
        large(fetch, "1m", "1 MiB", "1m.bin", 16, 1500),
        large(fetch, "100m", "100 MiB", "100m.bin", 4, 64),
        small(
            "not-modified", "304, 97 B", "wrk -t1 -c100 -d1s -H 'If-None-Match: ...'", ["otus", *NGINX, "lighttpd", "floor-304"],
            not_modified, [against("nginx tuned", NGINX, 0.75), against("the constant answer", ["floor-304"], 1.25)],
        ),
        small(
            "not-found", "404", "wrk -t1 -c100 -d1s", ["otus", *NGINX, "lighttpd"], not_found, [against("nginx tuned", NGINX, 1.0)],
        ),
        small(
            "range", "A range of 100 B", "wrk -t1 -c100 -d1s -H 'Range: bytes=100-199'", ["otus", *NGINX, "lighttpd"],
            a_range, [against("nginx tuned", NGINX, 1.0)], "10k.html",
        ),
        Row(
            "first-use", f"First use of {first_use.SMALL:,} files of 20 KiB",
            f"a new server; fetch, each file once over {first_use.CONNECTIONS} connections", ["otus", *NGINX, "lighttpd"], "test.html",
            first_use.small_files(fetch), [("cost", "CPU µs/file", 2), ("again", "second time", 2)], [], fresh=True, warm=False,
            prepare=first_use.make_small, compared=(("cost", 1.4), ("again", 1.04)),
        ),
        Row(
            "medium-first-use", f"First use of {first_use.MEDIUM} files of 1 MiB",
            f"a new server; fetch, each once; then {first_use.MEDIUM} others at {first_use.MEDIUM_RATE}/s beside a client with 97 B",
            ["otus", *NGINX, "lighttpd"], "test.html", first_use.medium_files(fetch),
            [("cost", "CPU µs/file", 1), ("again", "second time", 1), ("strong", "Strong tags then", 0), ("p99_before", "p99 ms, calm", 3),
             ("p99_during", "first use", 3), ("p99_after", "second", 3), ("growth", "Growth of p99", 2)],
            [ours("others' p99, to that before", "growth", 1.5, "x")], fresh=True, warm=False, prepare=first_use.make_medium,
            compared=(("again", 1.04),),
        ),
        Row(
            "variant-first-use", f"First use of {first_use.VARIANTS:,} files of 20 KiB with variants",
            f"a new server; fetch with Accept-Encoding, each file once over {first_use.CONNECTIONS} connections",
            ["otus"], "test.html", first_use.variants(fetch),
            [("cost", "CPU µs/file", 2), ("p99", "p99 ms", 2), ("passes", "Rounds until all are encoded", 0), ("encoded", "encoded then", 0),
             ("steady", "CPU µs/request then", 2), ("p99_steady", "p99 ms", 2)],
            [], fresh=True, warm=False, prepare=first_use.make_variants,
            compared=(("p99", 1.04), ("steady", 1.04)),
        ),
        Row(
            "compress-first", f"A crawler: {compression.PAGES:,} pages of 20 KiB, once",
            "a new server; h2load with Accept-Encoding, each page once over one connection", ["otus", "otus-uncompressed", *COMPRESSING],
            "test.html", compression.first, [("cost", "CPU µs/page", 2)],
            [against("itself with --compress-cache 0", ["otus-uncompressed"], 1.1), against("the best peer", COMPRESSING, 1.0)],
            fresh=True, warm=False, prepare=compression.make_site,
        ),
        Row(
            "compress-warm", "Text, once it is compressed",
            f"wrk -t1 -c{compression.CONNECTIONS} -d1s -s rotation.lua, Accept-Encoding: {compression.HTTP}; 20 pages, styles and scripts of 20 to 150 KiB",
            ["otus", *COMPRESSING], "test.html", compression.warm,
            [*COST[:2], ("https", "KiB for browsers over HTTPS", 1), ("http", "over HTTP", 1)],
            once_compressed(),
            warm=False, prepare=compression.make_site,
        ),
        *[generated(site) for site in compression.SITES],
        Row(
            "compress-crawler", f"A crawler: {compression.PAGES:,} pages of 20 KiB, more than the cache has room for",
            f"a new server; h2load with Accept-Encoding, each page once over one connection; then until no more are compressed; then {compression.CRAWLS} times",
            ["otus-small-cache", "otus-uncompressed"], "test.html", compression.larger_than_cache,
            [("once", "CPU µs/page, once", 2), ("fill", "CPU s until full", 2), ("again", "CPU µs/page then", 2)],
            [against(f"itself with --compress-cache 0, {label}", ["otus-uncompressed"], 1.1, figure, "otus-small-cache")
             for figure, label in (("once", "once"), ("again", "once the cache is full"))],
            fresh=True, warm=False, prepare=compression.make_site,
        ),
        Row(
            "compress-beside", f"Others while {compression.PAGES:,} pages are compressed",
            f"a new server; a client with 97 B, and fetch, {compression.BESIDE_RATE} pages/s over {compression.CONNECTIONS} connections",
            ["otus", "otus-uncompressed"], "test.html", compression.beside(fetch),
            [("busy", "% of a core", 0), ("p99_before", "p99 ms, calm", 3), ("p99_during", "meanwhile", 3), ("more", "more", 3),
             ("pages", "p99 ms of pages", 3)],
            [ours("others' p99, more than before", "more", 3, "ms"),
             difference("p99 of pages, more than with --compress-cache 0", "pages", "otus-uncompressed", 3, "ms")],
            fresh=True, warm=False, prepare=compression.make_site,
        ),
        Row(
            "compress-workers", f"First compression of {compression.PAGES:,} pages, by 2 and 16 workers",
            "a new server; h2load until all are compressed; then h2load over 64 connections; Pss of all processes",
            ["otus", "otus-uncompressed", "otus-16-workers", "otus-16-uncompressed"], "test.html", compression.first_warm_up,
            [("cpu", "CPU s until then", 2), ("encoded", "encoded", 0), ("before", "MiB before", 1), ("memory", "MiB then", 1)],
            [], fresh=True, warm=False, prepare=compression.make_site,
        ),
        Row(
            "first-byte", "First byte of 1 GiB", f"{first_use.STARTS} new servers a round: request to first byte",
            ["otus", *NGINX, "lighttpd"], "test.html", first_use.large_file,
            [("first", "ms, median", 3), ("worst", "ms, worst", 3), ("again", "ms, later requests", 3)],
            [], prepare=first_use.make_large, compared=(("first", 1.04), ("again", 1.04)),
        ),
        Row(
            "open-connections", "10 to 10,000 open connections", "wrk -t1 -c10 or -c100, the others idle",
            ["otus", "nginx-tuned", "lighttpd"], "test.html", states.open_connections,
            [("cost10", "CPU µs/request, 10", 2), ("cost100", "100", 2), ("cost10000", "10,000", 2), ("growth", "Growth", 2)],
            [ours("itself with few", "growth", 1.2, "x")],
        ),
        Row(
            "idle-connections", "10,000 idle connections", "Pss and threads of all processes, before and during",
            ["otus", "nginx-tuned", "lighttpd"], "test.html", states.idle_connections,
            [("each", "Bytes each", 0), ("before", "Threads before", 0), ("during", "Threads during", 0)],
            [ours("memory each", "each", 1024, "bytes"), grown("threads", "before", "during")], fresh=True,
        ),
        Row(
            "fast-downloads", "64 fast downloads", "of 100 MiB, without a pause; another client fetches 97 B on new connections",
            ["otus", "nginx-sendfile", "lighttpd"], "test.html", states.fast_downloads(fetch), [("p50", "p50 ms", 2), ("p99", "p99 ms", 2)],
            [against("others' p99, to that of the best peer", ["nginx-sendfile", "lighttpd"], 1.0, "p99")],
        ),
        Row(
            "slow-downloads", "1,000 slow downloads", "each takes 50 KB/s of 100 MiB; another client fetches 97 B on new connections",
            ["otus", "nginx-sendfile", "lighttpd"], "test.html", states.slow_downloads, [("threads", "Threads", 0), *LATENCY],
            [ours("threads in all", "threads", 16), ours("others' p99, to that before", "growth", 1.2, "x")],
        ),
        Row(
            "stuck-disk", "A file on a stuck disk", "reads that hang on every worker (FUSE); another client fetches 97 B on new connections",
            ["otus", "nginx-tuned", "lighttpd"], "test.html", states.stuck_disk, LATENCY,
            [ours("others' p99, to that before", "growth", 2.0, "x")], fresh=True,
        ),
        Row(
            "access-log", "The access log",
            f"{states.RATE} requests/s over 50 connections, then wrk -t1 -c100 -d1s; a journald of its own",
            ["otus"], "test.html", states.access_log(fetch),
            [("off", "CPU µs/request, log off", 2), ("on", "on", 2), ("ratio", "Ratio", 2), ("journald", "journald, µs/request", 2),
             ("rate_off", "Fastest, off: requests/s", 0), ("rate_on", "on", 0), ("lost", "Lost, %", 1),
             ("journald_fastest", "journald, % of a core", 1)],
            [ours(f"itself without, at {states.RATE}/s", "ratio", 1.3, "x"), ours("requests/s lost at full speed", "lost", 10, "%")],
        ),
        Row(
            "activation", "Socket activation", f"systemd-socket-activate, {states.STARTS} starts a round: connect to first byte",
            ["otus"], "test.html", states.activation, [("first", "ms, median", 1), ("worst", "ms, worst", 1)],
            [ours("first byte", "first", 30, "ms")],
        ),
        Row(
            "memory", "Resident memory, idle", "Pss of all processes, after the first request",
            ["otus", "nginx-tuned", "lighttpd", "apache"], "test.html", states.resident_memory,
            [("memory", "MiB", 2), ("processes", "Processes", 0)], [ours("memory", "memory", 12, "MiB")], fresh=True, warm=False,
        ),
    ]
