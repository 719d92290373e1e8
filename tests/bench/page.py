"""A page of 200 files in Chromium, far away: when it is painted, can be used, and is complete."""

import contextlib
import random
import statistics
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import far_link

sys.path.insert(0, str(Path(__file__).parents[1]))
from chromium import Chromium, Page

FOLDER = "page"
VISITS = 3  # that are measured, each with an empty cache and a new connection, after one that is not
STYLES, BLOCKING, DEFERRED, FONTS = 4, 2, 6, 2
# Bytes of each. Pictures are of small ones, of some that are larger, and of a few large ones.
STYLE, SCRIPT, FONT, HTML_TEXT = 20_000, 35_000, 30_000, 12_000
PICTURES = [*[(2_000, 8_000)] * 150, *[(10_000, 20_000)] * 30, *[(40_000, 60_000)] * 6]
COUNT = STYLES + BLOCKING + DEFERRED + FONTS + len(PICTURES)

# What has arrived and is used, and by which protocol; it must be USED.
STATE = """[[...document.styleSheets].filter(sheet => sheet.cssRules.length > 2).length, window.ran,
    [...document.images].filter(image => image.complete && image.naturalWidth > 0).length,
    performance.getEntriesByType("resource").filter(entry => entry.nextHopProtocol == "h2" && entry.responseStatus == 200).length,
    performance.getEntriesByType("navigation")[0].nextHopProtocol]"""
USED = [STYLES, BLOCKING + DEFERRED, len(PICTURES), COUNT, "h2"]

# Milliseconds since the navigation began: with name resolution out of the way, since the first packet of TCP.
TIMES = """(() => {
    const files = performance.getEntriesByType("resource");
    const code = files.filter(entry => /\\.(css|js)$/.test(entry.name));
    return {
        paint: performance.getEntriesByName("first-contentful-paint")[0].startTime,
        code: Math.max(...code.map(entry => entry.responseEnd)),
        load: performance.getEntriesByType("navigation")[0].loadEventEnd,
    };
})()"""
IS_COMPLETE = """performance.getEntriesByType("navigation")[0].loadEventEnd > 0 && performance.getEntriesByName("first-contentful-paint").length > 0"""


def load(program):
    def measure(server):
        url = f"https://{far_link.SERVER}:{server.port}/{FOLDER}/index.html"
        with contextlib.ExitStack() as cleanup:
            there = cleanup.enter_context(far_link.laid(program))
            home = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="otus-bench-chromium-")))
            cleanup.enter_context(there())
            browser = cleanup.enter_context(Chromium(home, "--ignore-certificate-errors"))
            visits = [visit(browser, url, server.server.label) for _ in range(1 + VISITS)][1:]
        return {figure: statistics.median(times[figure] for times in visits) for figure in visits[0]}

    return measure


def visit(browser, url, label):
    profile = browser.call("Target.createBrowserContext")["browserContextId"]
    page = Page(browser, ("Page",), profile)
    page.set_view(1280, 900)
    try:
        page.open(url)
    except RuntimeError as error:
        raise SystemExit(f"With {label}: {error}.") from error
    page.wait_until(IS_COMPLETE)
    state, times = page.evaluate(STATE), page.evaluate(TIMES)
    browser.call("Target.disposeBrowserContext", browserContextId=profile)
    if state != USED:
        raise SystemExit(f"With {label}, Chromium uses {state}, not {USED}.")
    return times


def make(root, _otus):
    """The same page for everyone."""
    site, chance = root / FOLDER, random.Random(1)
    site.mkdir()
    for number in range(STYLES):
        (site / f"{number}.css").write_text(style(number, chance))
    for number in range(BLOCKING + DEFERRED):
        (site / f"{number}.js").write_text(script(chance))
    for number in range(FONTS):
        (site / f"{number}.woff2").write_bytes(chance.randbytes(FONT))  # which cannot be decoded: text is shown without it
    for number, size in enumerate(PICTURES):
        (site / f"{number}.png").write_bytes(picture(chance.randint(*size), chance))
    (site / "index.html").write_text(html(chance))


def html(chance):
    links = [f'<link rel="stylesheet" href="{number}.css">' for number in range(STYLES)]
    scripts = [f'<script src="{number}.js"{" defer" if number >= BLOCKING else ""}></script>' for number in range(BLOCKING + DEFERRED)]
    pictures = "".join(f'<img alt="" src="{number}.png" width="120" height="90">\n' for number in range(len(PICTURES)))
    head = "".join(['<meta charset="utf-8"><title>Page</title><link rel="icon" href="data:,"><script>var ran = 0</script>', *links, *scripts])
    return f'<!DOCTYPE html><html lang="en"><head>{head}</head><body><h1>Page</h1>{pictures}<p>{words(chance, HTML_TEXT)}</p></body></html>'


def style(number, chance):
    fonts = [f"@font-face {{ font-family: f{font}; src: url({font}.woff2); font-display: swap }}" for font in range(FONTS)] if number == 0 else []
    rules = ["h1 { font-family: f0, serif } p { font-family: f1, serif }", *fonts]
    while sum(map(len, rules)) < STYLE:
        rules.append(f".{word(chance)}-{word(chance)} {{ color: #{chance.randrange(1 << 24):06x}; margin: {chance.randrange(40)}px }}")
    return "\n".join(rules)


def script(chance):
    lines = ["ran += 1;"]
    while sum(map(len, lines)) < SCRIPT:
        lines.append(f"function {word(chance)}{len(lines)}(_{word(chance)}) {{ return '{words(chance, 60)}'.length + {chance.randrange(10_000)}; }}")
    return "\n".join(lines)


def word(chance):
    return "".join(chance.choice("bcdfghlmnprst") + chance.choice("aeiou") for _ in range(chance.randint(1, 3)))


def words(chance, length):
    text = ""
    while len(text) < length:
        text += word(chance) + " "
    return text


def picture(size, chance):
    """A PNG of about that many bytes: noise, which no coding makes smaller."""
    width = 40
    height = max(1, size // (3 * width + 1))
    lines = b"".join(b"\0" + chance.randbytes(3 * width) for _ in range(height))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)) for kind, content in parts
    )
