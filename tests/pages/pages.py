"""Judges the pages that the server makes itself in Chromium. Prints PASS or FAIL for each check."""

import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from chromium import Chromium, Page  # noqa: E402
from server import COUNT, DIRECTORIES, NAMES, Server  # noqa: E402

CHECKS = (HERE / "checks.js").read_text()
LISTING = "/some/where/"
DEEP = "/" + "".join(f"directory-{number}/" for number in range(12))
# A listing with all kinds of names, short ones, a deep one, and errors: in a directory, forbidden, too long.
PAGES = [LISTING, "/", "/short/", "/empty/", DEEP, "/none", "/outside/", "/" + "a" * 3_000]
WIDE, NARROW = (1000, 800), (360, 740)
COLUMNS = ["name", "size", "time"]

# A telephone is several times slower than this machine, and this machine is busy: the limits are for what a reader would call
# hanging.
SLOWDOWN = 4
MAX_MS = 6000


class Judge:
    """Prints the result of each check."""

    def __init__(self):
        self.failed = 0

    def __call__(self, name, faults, summary=""):
        for fault in faults[:10]:
            print(f"FAIL {name}: {str(fault)[:300]}", flush=True)
        if not faults:
            print(f"PASS {name}{': ' if summary else ''}{summary}", flush=True)
        self.failed += bool(faults)


def open_page(page, url):
    page.open(url)
    page.evaluate(f"{CHECKS}; undefined")


def short(path):
    return path if len(path) < 40 else f"{path[:30]}..."


def appearance(judge, page, server, screenshots):
    """Contrast, light and dark; structure; width and size of what is touched; nothing is loaded, nothing is in the console."""
    contrast, width, complaints, requests, least, texts = [], [], [], [], [], 0
    for path, is_dark, size in itertools.product(PAGES, (False, True), (WIDE, NARROW)):
        where = f"{short(path)} {'dark' if is_dark else 'light'} {size[0]}"
        page.set_view(*size, is_dark)
        open_page(page, server.url + path)
        found = page.evaluate("checks.contrast()")
        contrast += [f"{where}: {fault}" for fault in found["faults"] + page.evaluate("checks.hiddenContrast()")]
        least.append(found["least"])
        texts += found["texts"]
        width += [f"{where}: {fault}" for fault in page.evaluate("checks.fit()")]
        # The status is in the console; so is a policy that is violated.
        complaints += [f"{where}: {text}" for text in page.complaints() if "responded with a status of" not in text]
        requests += [f"{where}: {url}" for url in page.requests() if url not in (server.url + path, f"{server.url}/favicon.ico")]
        if screenshots:
            name = path.strip("/").replace("/", "-")[:20] or "root"
            page.screenshot(screenshots / f"{name}-{'dark' if is_dark else 'light'}-{size[0]}.png")
    judge("contrast of every text, light and dark", contrast, f"{texts} texts on {len(least)} views, {min(least):.1f} at least")
    judge(f"no horizontal scrolling at {NARROW[0]} px, and targets of 24 px at least", width)
    judge("no page violates its Content-Security-Policy", complaints)
    judge("no page loads anything", requests)


def structure(judge, page, server):
    faults = []
    for path in PAGES:
        page.set_view(*WIDE)
        open_page(page, server.url + path)
        faults += [f"{short(path)}: {fault}" for fault in page.evaluate("checks.structure()")]
    judge("language, title, headings, landmarks, labels and names of links", faults)
    for size in (WIDE, NARROW):
        page.set_view(*size)
        open_page(page, server.url + LISTING)
        nodes = [node for node in page.call("Accessibility.getFullAXTree")["nodes"] if not node["ignored"]]
        roles = [node["role"]["value"] for node in nodes]
        expected = {"table": 1, "columnheader": 3, "row": 1 + 1 + page.evaluate("checks.entries().length"), "navigation": 1, "main": 1,
                    "searchbox": 1, "status": 1}
        faults = [f"{roles.count(role)} of {role}, not {count}" for role, count in expected.items() if roles.count(role) != count]
        # The style sheet makes grids of the rows: they are cells nevertheless.
        if roles.count("cell") + roles.count("gridcell") < 3 * page.evaluate("checks.entries().length"):
            faults.append(f"{roles.count('cell')} cells")
        names = [node.get("name", {}).get("value") for node in nodes if node["role"]["value"] == "searchbox"]
        faults += [] if names == ["Filter"] else [f"the field is called {names}"]
        judge(f"what a screen reader gets of a listing, {size[0]} px wide", faults, f"{len(nodes)} nodes")


def keyboard(judge, page, server):
    """The tabulator visits everything once, in the order in which it is seen, and shows where it is."""
    faults = []
    page.set_view(*WIDE)
    for path in (LISTING, "/none"):
        open_page(page, server.url + path)
        expected, visited = page.evaluate("checks.focusable()"), []
        for _ in expected:
            page.press("Tab")
            visited.append(page.evaluate("checks.focused()"))
        faults += [] if [stop["name"] for stop in visited] == expected else [f"{path}: {[stop['name'] for stop in visited]}"]
        places = [(stop["y"], stop["x"]) for stop in visited if stop["isInView"]]
        faults += [f"{path}: {stop['name']} is not in view: {stop['box']}" for stop in visited if not stop["isInView"]]
        faults += [f"{path}: the outline of {stop['name']} has contrast {stop['outline']}" for stop in visited if stop["outline"] < 3]
        if path != LISTING:
            faults += [] if places == sorted(places) else [f"{path}: the order is not that of the page"]
    judge("keyboard: every link and field in order, in view and with an outline", faults)
    open_page(page, server.url + LISTING)
    page.evaluate("document.querySelectorAll('th a')[1].focus()")
    page.press("Enter")
    faults = [] if page.evaluate("checks.sorted()") == ["Size descending"] else [page.evaluate("checks.sorted()")]
    page.evaluate("document.querySelector('input').focus()")
    page.type("picture 1")
    faults += [] if page.evaluate("checks.entries().length") == 12 else [page.evaluate("checks.entries()")]
    judge("keyboard: Enter sorts and the field filters", faults)


def server_orders(page, server, path):
    """The entries in each order, as the server sorts them."""
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    orders = {}
    for column, order in itertools.product(COLUMNS, ("asc", "desc")):
        open_page(page, f"{server.url}{path}?sort={column}&order={order}")
        orders[column, order] = page.evaluate("checks.entries()")
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    return orders


def without_script(judge, page, server, orders):
    """Clicks on headings load the other orders; there is no field that does nothing."""
    page.set_view(*WIDE)
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    open_page(page, server.url + LISTING)
    faults = [] if page.evaluate("document.getElementById('filter').checkVisibility()") is False else ["the field is shown"]
    faults += [] if page.evaluate("checks.entries()") == orders["name", "asc"] else ["the first order is not that of the names"]
    for number, expected in [(1, ("name", "desc")), (2, ("size", "desc")), (2, ("size", "asc")), (3, ("time", "desc")),
                             (3, ("time", "asc")), (1, ("name", "asc"))]:
        page.click_and_load(f"th:nth-child({number}) a")
        page.evaluate(f"{CHECKS}; undefined")
        faults += [] if page.evaluate("checks.entries()") == orders[expected] else [f"a click on column {number}: not {expected}"]
    page.call("Emulation.setScriptExecutionDisabled", value=False)
    judge("without script: headings sort, and no field is shown", faults)
    names, sizes = orders["name", "asc"], orders["size", "desc"]
    faults = [] if names[:4] == ["src/", "v2/", "v10/", "Zebra/"] else [names[:4]]
    faults += [] if names.index("file2.txt") < names.index("File3.txt") < names.index("file10.txt") else [names]
    faults += [] if set(names) == {*NAMES, *(f"{name}/" for name in DIRECTORIES), *(f"picture {n}.png" for n in range(30))} else [names]
    faults += [] if sizes[:4] == names[:4] and len(set(map(tuple, orders.values()))) == 6 else ["orders are equal"]
    judge("natural order, directories first, every entry in each of the six orders", faults)


def with_script(judge, page, server, orders):
    """The script sorts as the server does, from every order, without a request; and it filters."""
    faults = []
    for start in orders:
        open_page(page, f"{server.url}{LISTING}?sort={start[0]}&order={start[1]}")
        loaded = len(page.requests())
        for number in (1, 1, 2, 2, 3, 3, 1, 2, 3):
            link = page.evaluate(f"checks.links()[{number - 1}]")
            page.click(f"th:nth-child({number}) a")
            column, order = (part.split("=")[1] for part in link[1:].split("&"))
            if page.evaluate("checks.entries()") != orders[column, order]:
                faults.append(f"from {start}: a click on {link} sorts otherwise than the server")
            if page.evaluate("location.search") != link:
                faults.append(f"the address after {link} is {page.evaluate('location.search')}")
        # What a page that the server has sorted so would have.
        state = page.evaluate("[checks.sorted(), checks.links()]")
        faults += [f"{start}: {url}" for url in page.requests()[loaded:] if not url.endswith("/favicon.ico")] + page.complaints()
        open_page(page, server.url + LISTING + page.evaluate("location.search"))
        if page.evaluate("[checks.sorted(), checks.links()]") != state:
            faults.append(f"from {start}: the headings are {state}")
    judge("with script: clicks sort as the server does, without a request", faults, f"{9 * len(orders)} clicks")
    faults = []
    open_page(page, server.url + LISTING)
    for text, expected, output in [("PICTURE", 30, "30 of"), ("picture 2", 12, "12 of"), ("  2   pic ", 12, "12 of"), ("nothing", 0, "0 of"),
                                   ("б", 1, "1 of"), ("<script>", 1, "1 of"), ("", len(orders["name", "asc"]), "")]:
        page.evaluate(f"checks.fill({text!r})")
        found, shown = page.evaluate("checks.entries().length"), page.evaluate("document.querySelector('output').textContent")
        if found != expected or not shown.startswith(output) or bool(shown) != bool(output):
            faults.append(f"{text!r}: {found} entries, {shown!r}")
    page.evaluate("checks.fill('picture 1')")
    page.click("th:nth-child(1) a")
    filtered = [name for name in orders["name", "desc"] if "picture" in name and "1" in name]
    faults += [] if page.evaluate("checks.entries()") == filtered else ["it does not stay when the page is sorted"]
    page.evaluate("checks.fill('')")
    faults += [] if page.evaluate("checks.entries()") == orders["name", "desc"] else ["the order does not stay"]
    open_page(page, f"{server.url}/short/")
    faults += [] if page.evaluate("document.querySelector('input')") is None else ["a short listing has a field"]
    judge("with script: the field filters by words, without case, in each order", faults)


def large(judge, page, server):
    """10,000 entries on a telephone."""
    page.set_view(*NARROW)
    page.call("Emulation.setCPUThrottlingRate", rate=SLOWDOWN)
    open_page(page, f"{server.url}/many/")
    times = {"load": page.evaluate("performance.timing.loadEventEnd - performance.timing.responseEnd")}
    laid_out = page.evaluate("checks.laidOut()")
    for name, change in [("filter", "checks.fill('99')"), ("clear", "checks.fill('')"),
                         ("sort", "document.querySelectorAll('th a')[1].click()"), ("scroll", "scrollTo(0, 300000)")]:
        times[name] = page.evaluate(f"checks.time(() => {change})")
    page.call("Emulation.setCPUThrottlingRate", rate=1)
    faults = [f"{name} takes {ms:.0f} ms" for name, ms in times.items() if ms > MAX_MS]
    faults += [] if laid_out <= 400 else [f"the browser lays out {laid_out} rows"]
    entries = page.evaluate("[checks.entries().length, new Set(checks.entries()).size]")
    faults += [] if entries == [COUNT, COUNT] else [f"entries: {entries}"]
    page.evaluate("checks.fill('IMG_12')")
    height = page.evaluate("document.documentElement.scrollHeight / checks.entries().length")
    faults += [] if height < 100 else [f"{height} px for each row that is left"]
    figures = ", ".join(f"{name} {ms:.0f}" for name, ms in times.items())
    judge(f"{COUNT} entries, {NARROW[0]} px wide, {SLOWDOWN} times slower", faults, f"milliseconds: {figures}; {laid_out} rows laid out")


def policy(judge, page, server):
    """What would be injected into a page neither runs nor loads."""
    faults = []
    for path in (LISTING, "/none"):
        open_page(page, server.url + path)
        requests = len(page.requests())
        page.evaluate("""(() => {
            globalThis.ran = false;
            const script = document.createElement("script");
            script.textContent = "globalThis.ran = true";
            document.body.append(script);
            const holder = document.createElement("div");
            holder.innerHTML = '<img src="/other.png" onerror="globalThis.ran = true" style="position:fixed">'
                + '<iframe src="/short/"></iframe><img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><a id="x" href="javascript:ran=true">x</a>';
            document.body.append(holder);
            document.getElementById("x").click();
        })()""")
        page.wait_until("document.images[0].complete")
        faults += [f"{path}: a script ran"] if page.evaluate("ran") else []
        faults += [f"{path}: a style attribute applies"] if page.evaluate("getComputedStyle(document.images[0]).position") != "static" else []
        faults += [f"{path}: a picture in the page is shown"] if page.evaluate("document.images[1].naturalWidth") else []
        # Those of the error that is in place of the frame are in the page itself.
        faults += [f"{path}: {url}" for url in page.requests()[requests:] if not url.startswith("data:") and
                   not url.endswith(("/other.png", "/favicon.ico"))]
    judge("the policy: an injected script, style, frame or picture of another origin does nothing", faults)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", help="the server")
    parser.add_argument("--screenshots", type=Path, help="a directory for pictures of each page")
    arguments = parser.parse_args()
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    judge = Judge()
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        server = Server(str(Path(arguments.binary).resolve()), directory)
        try:
            with Chromium(directory) as browser:
                page = Page(browser)
                orders = server_orders(page, server, LISTING)
                appearance(judge, page, server, arguments.screenshots)
                structure(judge, page, server)
                keyboard(judge, page, server)
                without_script(judge, page, server, orders)
                with_script(judge, page, server, orders)
                large(judge, page, server)
                policy(judge, page, server)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            judge("Chromium", [f"{type(error).__name__}: {error}"])
        finally:
            server.close()
    return 1 if judge.failed else 0


if __name__ == "__main__":
    sys.exit(main())
