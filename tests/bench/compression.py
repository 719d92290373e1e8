"""Rows about compression without preparation: a site of text, as a crawler asks for it once, and as browsers ask for it again; and the
sites that generators have built."""

import contextlib
import gzip
import http.client
import os
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import clients
import crowd
import first_use

sys.path.insert(0, str(Path(__file__).parents[1] / "generators"))

from sites import SITES  # noqa: E402

PAGES, STYLES, SCRIPTS = 1_000, 20, 20  # files
PAGE_BYTES, STYLE_BYTES, SCRIPT_BYTES = 20 << 10, 60 << 10, 150 << 10
ROTATED = 20  # files of each kind that are asked for again
CONNECTIONS = 16
# What browsers send over HTTPS, and over HTTP.
HTTPS, HTTP = "gzip, deflate, br, zstd", "gzip, deflate"
SETTLED_S = 3  # without another file that is encoded
CRAWLS = 10  # after the cache is full
BESIDE_RATE, BESIDE_SECONDS = 500, 4  # requests a second for the pages that are being compressed
PAGE = "test.html"
# What any of the servers compresses. otus-httpd sends smaller files as they are.
LEAST_BYTES = 1 << 10
TEXTS = {".html", ".css", ".js", ".mjs", ".json", ".xml", ".svg", ".txt", ".webmanifest"}
ROTATION = Path(__file__).with_name("rotation.lua")


def make_site(root, _):
    """Pages, styles and scripts of words whose frequencies are those of a language, between tags and braces."""
    if (root / "text").exists():
        return
    (root / "text").mkdir()
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(4000)]
    frequencies = [1 / place for place in range(1, len(words) + 1)]

    def text(count):
        return chance.choices(words, frequencies, k=count)

    def page():
        return f'<div class="{" ".join(text(2))}"><p>{" ".join(text(40))}</p><a href="/{"/".join(text(2))}">{text(1)[0]}</a></div>\n'

    def style():
        return f".{'-'.join(text(2))} {{ margin: {chance.randint(0, 64)}px; color: #{chance.randrange(1 << 24):06x} }}\n"

    def script():
        name, argument, called = text(3)
        return f"function {name}({argument}) {{ if (!{argument}.{called}) return null; return {argument}.{called}('{' '.join(text(4))}'); }}\n"

    for suffix, count, size, make in (
        ("html", PAGES, PAGE_BYTES, page), ("css", STYLES, STYLE_BYTES, style), ("js", SCRIPTS, SCRIPT_BYTES, script),
    ):
        for number in range(count):
            content = ""
            while len(content) < size:
                content += make()
            (root / f"text/{number}.{suffix}").write_text(content[:size])


def pages():
    return [f"text/{number}.html" for number in range(PAGES)]


def prepared_site(site):
    """Copies a site that tests/generators/run has built to the document root."""

    def prepare(root, _):
        cache = Path(os.environ.get("BUILD_CACHE", Path.home() / ".cache" / "otus-httpd"))
        built = next(iter(cache.glob(f"generators-*/sites/{site.output}")), None)
        if built is None:
            raise SystemExit(f"The site of {site.name} is not built: run tests/run generators first.")
        shutil.copytree(built, root / key(site), copy_function=shutil.copyfile)
        sizes = [len(gzip.compress((root / name).read_bytes())) for name in texts_of(root, site)]
        (root / mean_answer(site)).write_bytes(b"a" * (sum(sizes) // len(sizes)))

    return prepare


def key(site):
    """The name of a generator in a path."""
    return site.output.split("/")[0]


def mean_answer(site):
    """A file of the mean size of a generator's texts in gzip: the constant answer is as long."""
    return f"{key(site)}.bin"


def texts_of(root, site):
    """The files of a generator's site that any of the servers compresses, of 1 KiB at least."""
    files = sorted(path for path in (root / key(site)).rglob("*") if path.suffix in TEXTS and path.stat().st_size >= LEAST_BYTES)
    return [str(path.relative_to(root)) for path in files]


@contextlib.contextmanager
def list_of(lines):
    """A file with these lines."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.flush()
        yield file.name


def crawl(server, names):
    """The CPU seconds of a server while each file is asked for once, over one connection: each connection would begin at the first."""
    before = server.cpu_seconds()
    with list_of(map(server.url, names)) as urls:
        clients.h2load(None, len(names), 1, "-H", f"accept-encoding: {HTTPS}", "-i", urls)
    return server.cpu_seconds() - before


def first(server):
    """The cost of each page when it is asked for once, with the work in the background that this causes."""
    return {"cost": with_background(server, lambda: crawl(server, pages())) / PAGES * 1e6}


def larger_than_cache(server):
    """The cost of a page of a site that is several times as large as what the server may keep of it: asked for once; then
    until the cache is full; and then again and again."""
    once = with_background(server, lambda: crawl(server, pages()))
    fill, _ = warm_up(server)
    again = with_background(server, lambda: [crawl(server, pages()) for _ in range(CRAWLS)])
    return {"once": once / PAGES * 1e6, "fill": fill, "again": again / PAGES / CRAWLS * 1e6}


def with_background(server, load):
    """The CPU seconds of a load with the work in the background that it causes."""
    before = server.cpu_seconds()
    load()
    first_use.wait_for_background_work(server)
    return server.cpu_seconds() - before


def beside(fetch):
    """The latency of a small file, and of pages, while a thousand of them are compressed in the background."""

    def measure(server):
        calm = crowd.latencies_of_requests(server, PAGE, BESIDE_SECONDS)
        for _ in range(2):
            crawl(server, pages())
        before = server.cpu_seconds()
        small = crowd.latencies_of_requests(server, PAGE, BESIDE_SECONDS)
        busy = server.cpu_seconds() - before
        report = clients.fetch(
            fetch, server.url("text/{1000}.html"), CONNECTIONS, BESIDE_RATE * BESIDE_SECONDS, BESIDE_RATE, f"Accept-Encoding: {HTTPS}",
        )
        return {
            "busy": 100 * busy / BESIDE_SECONDS, "p99_before": calm["p99"], "p99_during": small["p99"], "more": small["p99"] - calm["p99"],
            "pages": report.p99,
        }

    return measure


def warm_up(server):
    """Crawls until all pages are compressed, or no further one in a quarter of a minute: a job that was dropped is sent again after ten
    seconds. Returns the CPU seconds, and the number of pages that are compressed then;
    0 and 0 if none is to be."""
    if "uncompressed" in server.server.name:
        return 0, 0
    used, changed, encoded = server.cpu_seconds(), time.monotonic(), 0
    while encoded < PAGES and time.monotonic() < changed + 15:
        crawl(server, pages())
        first_use.wait_for_background_work(server)
        last, encoded = encoded, sum(answer.getheader("Content-Encoding") is not None for answer in first_use.heads(server, pages()))
        if encoded != last:
            changed = time.monotonic()
    return server.cpu_seconds() - used, encoded


def first_warm_up(server):
    """The CPU time and the memory that it takes until all pages are compressed, with any number of workers."""
    memory = server.memory()
    used, encoded = warm_up(server)
    # Requests by many connections, so that each worker has copied most of them.
    for _ in range(CRAWLS):
        with list_of(map(server.url, pages())) as urls:
            clients.h2load(None, 16 * PAGES, 64, "-H", f"accept-encoding: {HTTPS}", "-i", urls)
    return {"cpu": used, "encoded": encoded, "before": memory / 2**20, "memory": server.memory() / 2**20}


def warm(server, names=[f"text/{number}.{suffix}" for number in range(ROTATED) for suffix in ("html", "css", "js")]):
    """The bytes of the files when a server has had the time to compress them, and the cost of a request for one then."""
    before, changed = {}, time.monotonic()
    # On a busy machine, work in the background may begin late.
    while time.monotonic() < changed + SETTLED_S:
        last, before = before, {coding: sizes(server, names, coding) for coding in (HTTPS, HTTP)}
        if last != before:
            changed = time.monotonic()
        first_use.wait_for_background_work(server)
    return {**rotation(server, names), "https": sum(before[HTTPS]) / 1024, "http": sum(before[HTTP]) / 1024}


def rotation(server, names):
    """The cost of a request while browsers ask for the files in turn."""
    used = server.cpu_seconds()
    with list_of(names) as paths:
        report = clients.wrk(server.url(""), "-s", str(ROTATION), "-H", f"Accept-Encoding: {HTTP}", "--", paths, connections=CONNECTIONS)
    return {"cost": (server.cpu_seconds() - used) / report.requests * 1e6, "rate": report.per_second}


def visits(site):
    """The texts of a generator's site at the very first visit, and warm: all of them, its pages alone, and the others alone, which
    Debian's nginx does not compress."""

    def measure(server):
        names = texts_of(server.root, site)
        used = server.cpu_seconds()
        first_bytes = sum(sizes(server, names, HTTPS)) / 1024
        first_cost = (server.cpu_seconds() - used) / len(names) * 1e6
        warm_figures = warm(server, names)
        pages = [name for name in names if name.endswith(".html")]
        others = [name for name in names if not name.endswith(".html")]
        return {
            **warm_figures, "first": first_bytes, "first_cost": first_cost,
            "page_cost": rotation(server, pages)["cost"], "other_cost": rotation(server, others)["cost"],
        }

    return measure


def sizes(server, names, coding):
    """The length of the content of each file, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    lengths = []
    for name in names:
        connection.request("GET", "/" + name, headers={"Accept-Encoding": coding})
        response = connection.getresponse()
        lengths.append(len(response.read()))
        if response.status != 200:
            raise SystemExit(f"{server.server.label} answers {response.status} to /{name}")
    connection.close()
    return lengths
