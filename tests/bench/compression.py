"""Rows about compression without preparation: a site of text, as a crawler asks for it once, and as browsers ask for it again."""

import random
import tempfile
from pathlib import Path

import clients
import first_use

PAGES, STYLES, SCRIPTS = 1_000, 20, 20  # files
PAGE_BYTES, STYLE_BYTES, SCRIPT_BYTES = 20 << 10, 60 << 10, 150 << 10
ROTATED = 20  # files of each kind that are asked for again
CONNECTIONS = 16
# What browsers send over HTTPS, and over HTTP.
HTTPS, HTTP = "gzip, deflate, br, zstd", "gzip, deflate"
PASSES = 20  # at most, until all is encoded
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


def first(server):
    """The cost of each page when it is asked for once, with the work in the background that this causes."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as list_of_urls:
        list_of_urls.writelines(server.url(f"text/{number}.html\n") for number in range(PAGES))
        list_of_urls.flush()
        # Each connection would begin at the first page.
        load = lambda: clients.h2load(None, PAGES, 1, "-H", f"accept-encoding: {HTTPS}", "-i", list_of_urls.name)
        cost, _ = first_use.cost(server, load)
    return {"cost": cost}


def warm(server):
    """The bytes of the files when a server has had the time to compress them, and the cost of a request for one then."""
    names = [f"text/{number}.{suffix}" for suffix in ("html", "css", "js") for number in range(ROTATED)]
    for _ in range(PASSES):
        before = {coding: sizes(server, names, coding) for coding in (HTTPS, HTTP)}
        first_use.wait_for_background_work(server)
        if before == {coding: sizes(server, names, coding) for coding in (HTTPS, HTTP)}:
            break
    used = server.cpu_seconds()
    report = clients.wrk(server.url(""), "-s", str(ROTATION), "-H", f"Accept-Encoding: {HTTP}", connections=CONNECTIONS)
    return {
        "cost": (server.cpu_seconds() - used) / report.requests * 1e6, "rate": report.per_second,
        "https": sum(before[HTTPS]) / 1024, "http": sum(before[HTTP]) / 1024,
    }


def sizes(server, names, coding):
    return [len(server.ask(name, {"Accept-Encoding": coding}).content) for name in names]
