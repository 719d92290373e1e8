"""Opens the sites of generators in Chromium, as each server serves them, and prints what works: PASS or FAIL for otus-httpd, and
the table of otus-httpd-site(5)."""

import argparse
import http.client
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from chromium import Chromium, Page  # noqa: E402
from servers import Nginx, Otus, version, wait_until_ready  # noqa: E402
from sites import SITES  # noqa: E402

MANUAL = HERE.parent.parent / "packaging" / "otus-httpd-site.5"
WORD = "crayfish"
NOWHERE = "/no/such/page"
# What a page does after it was loaded, such as the download of fonts and of the pages that its links lead to, is over when nothing
# was requested for this time.
QUIET_S = 0.5
SEARCH_S = 20


@dataclass
class Result:
    """What worked of a site."""

    pages: int = 0
    all_pages: int = 0
    links: int = 0
    all_links: int = 0
    has_404: bool = False
    has_search: bool = False
    fonts: int = 0
    requests_again: int = 0
    bytes_again: int = 0
    hashed: set = field(default_factory=set)
    hashed_again: set = field(default_factory=set)
    faults: list = field(default_factory=list)


def sitemap(output):
    """The paths of all pages of the sitemap."""
    files = [path for path in output.glob("sitemap*.xml") if "index" not in path.name]
    return [urllib.parse.urlsplit(url).path for path in files for url in re.findall(r"<loc>\s*([^<\s]+)", path.read_text())]


def status(url, target):
    """The status of a page and, behind redirects of this site, of what it leads to."""
    for _ in range(5):
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(url, target))
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
        connection.request("GET", urllib.parse.urlunsplit(("", "", parts.path, parts.query, "")))
        response = connection.getresponse()
        response.read()
        connection.close()
        if response.status not in (301, 302, 307, 308):
            return response.status
        url, target = parts.geturl(), response.headers["Location"]
    return 508


def settle(page):
    """Waits until the page loads nothing any more."""
    page.quiet(QUIET_S)


def faults_of(page, path, expected=200):
    """What is wrong with a page that was opened: its status, what it loads, its console."""
    faults = []
    responses = page.parameters("Network.responseReceived")
    document = next((response["response"] for response in responses if response["type"] == "Document"), None)
    if not document or document["status"] != expected:
        faults.append(f"{path} has status {document and document['status']}")
    for response in responses:
        if response["response"]["status"] >= 400 and response["response"] is not document:
            faults.append(f"{path} loads {response['response']['url']}: {response['response']['status']}")
    for failed in page.parameters("Network.loadingFailed"):
        if not failed.get("canceled"):
            faults.append(f"{path}: {failed['errorText']} {failed.get('blockedReason', '')}")
    # The status of the page for 404 is in the console.
    return faults + [f"{path}: {text}" for text in page.complaints() if expected == 200 or "the server responded with" not in text]


def try_site(browser, server, site, output, screenshots):
    """Opens everything, and returns what worked."""
    result = Result()
    page = Page(browser)
    page.set_view(1200, 800)
    links = set()
    paths = sitemap(output)
    result.all_pages = len(paths)
    for path in paths:
        page.open(server.url + path)
        settle(page)
        faults = faults_of(page, path)
        if site.has_fonts:
            fonts = page.evaluate("[...document.fonts].map(font => font.status)")
            result.fonts = max(result.fonts, fonts.count("loaded"))
            faults += [f"{path}: a font is in error"] if "error" in fonts else []
        result.pages += not faults
        result.faults += faults
        links |= set(page.evaluate("[...document.links].map(link => link.href.split('#')[0])"))
        if screenshots:
            page.screenshot(screenshots / f"{site.name}-{server.name}{path.replace('/', '-')}.png")
    links = sorted(link for link in links if link.startswith(server.url))
    found = {link: status(server.url, link) for link in links}
    result.all_links, result.links = len(links), sum(code == 200 for code in found.values())
    result.faults += [f"the link {link.removeprefix(server.url)} leads to {code}" for link, code in found.items() if code != 200]
    if site.has_fonts and not result.fonts:
        result.faults.append("no font is loaded")
    not_found(page, server, site, result, screenshots)
    search(page, server, site, result, screenshots)
    second_visit(browser, server, site, paths, result)
    return result


def not_found(page, server, site, result, screenshots):
    page.open(server.url + NOWHERE)
    settle(page)
    faults = faults_of(page, NOWHERE, 404)
    if site.not_found not in page.evaluate("document.body.innerText"):
        faults.append(f"{NOWHERE} does not show the site's page for 404")
    result.has_404 = not faults
    result.faults += faults
    if screenshots:
        page.screenshot(screenshots / f"{site.name}-{server.name}-404.png")


def search(page, server, site, result, screenshots):
    """Searches a word, and follows the first result to the page that has it."""
    page.open(server.url + site.search)
    settle(page)
    try:
        if site.button:
            page.click(site.button)
        page.wait_until(f"document.querySelector({site.field!r})", SEARCH_S)
        page.evaluate(f"document.querySelector({site.field!r}).focus()")
        settle(page)
        page.type(WORD)
        page.wait_until(f"document.querySelector({site.result!r})", SEARCH_S)
        settle(page)
        if screenshots:
            page.screenshot(screenshots / f"{site.name}-{server.name}-search.png")
        page.evaluate(f"document.querySelector({site.result!r}).click()")
        page.wait_until(f"document.querySelector('main, article')?.textContent.toLowerCase().includes('{WORD} is the word')", SEARCH_S)
        settle(page)
        faults = faults_of(page, "the search")
    except RuntimeError as error:
        faults = [f"the search: {error}"]
    result.has_search = not faults
    result.faults += faults


def second_visit(browser, server, site, paths, result):
    """Opens each page again in another tab, as a reader who comes back."""
    page = Page(browser)
    page.set_view(1200, 800)
    for path in paths:
        page.open(server.url + path)
        settle(page)
        received = {response["requestId"]: response["response"] for response in page.parameters("Network.responseReceived")}
        for finished in page.parameters("Network.loadingFinished"):
            response = received.get(finished["requestId"])
            if not response or not response["url"].startswith(server.url):
                continue
            is_sent = not (response.get("fromDiskCache") or response.get("fromPrefetchCache")) and finished["encodedDataLength"] > 0
            name = response["url"].removeprefix(server.url)
            result.requests_again += is_sent
            result.bytes_again += finished["encodedDataLength"]
            if name.startswith(site.hashed):
                result.hashed.add(name)
                result.hashed_again |= {name} if is_sent else set()
            headers = {field.lower(): value for field, value in response["headers"].items()}
            if is_sent and "immutable" in headers.get("cache-control", ""):
                result.faults.append(f"the second visit fetches {finished['encodedDataLength']} bytes of {name}, which is immutable")
    # What a name says is a guess, which cannot be taken back: the server rather revalidates some.
    if len(result.hashed_again) > len(result.hashed) / 4 or not result.hashed:
        result.faults.append(f"the second visit fetches {len(result.hashed_again)} of {len(result.hashed)} assets with a hash in the name: "
                             f"{' '.join(sorted(result.hashed_again))}")


def row(site, sites, server, result):
    """The row of the manual's table. That of nginx is below that of otus-httpd."""
    yes = {True: "yes", False: "no"}
    name = f"{site.name} {site.version(sites)}" if server is Otus else ""
    return ";".join([name, server.name, f"{result.pages} of {result.all_pages}", f"{result.links} of {result.all_links}",
                     yes[result.has_404], yes[result.has_search], f"{len(result.hashed_again)} of {len(result.hashed)}"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", help="the server")
    parser.add_argument("sites", type=Path, help="the directory of the sites, built")
    parser.add_argument("--only", help="a generator")
    parser.add_argument("--screenshots", type=Path, help="a directory for pictures of each page")
    arguments = parser.parse_args()
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    Otus.binary = str(Path(arguments.binary).resolve())
    has_failed, table = False, []
    with tempfile.TemporaryDirectory() as temporary:
        for kind, site in [(kind, site) for site in SITES if arguments.only in (None, site.name) for kind in (Otus, Nginx)]:
            directory = Path(temporary) / f"{kind.name}-{site.output.split('/')[0]}"
            directory.mkdir()
            try:
                # As after a deployment: files that were not changed for long are fresh without a Cache-Control (RFC 9111 §4.2.2).
                output = directory / "site"
                shutil.copytree(arguments.sites / site.output, output, copy_function=shutil.copyfile)
                with kind(output, directory / "server") as server, Chromium(directory) as browser:
                    wait_until_ready(server.url)
                    result = try_site(browser, server, site, output, arguments.screenshots)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"FAIL {site.name}, {kind.name}: {type(error).__name__}: {error}", flush=True)
                has_failed = True
                continue
            table.append(row(site, arguments.sites, kind, result))
            report(kind, site, result)
            has_failed |= kind is Otus and bool(result.faults)
    print(f"The table of otus-httpd-site(5), with otus-httpd {version(Otus)} and nginx {version(Nginx)}:")
    print("\n".join(table))
    has_table = "\n".join(table) in MANUAL.read_text()
    print(f"{'PASS' if has_table else 'FAIL'} the manual has these figures")
    return 1 if has_failed or not has_table else 0


def report(kind, site, result):
    """What does not work in nginx is no fault of this project: it is printed, and not counted."""
    for fault in result.faults[:15]:
        print(f"{'FAIL' if kind is Otus else '    '} {site.name}, {kind.name}: {fault[:300]}", flush=True)
    if not result.faults:
        print(f"PASS {site.name}, {kind.name}: {result.pages} pages, {result.links} links, {result.fonts} fonts, 404, search; a second "
              f"visit: {result.requests_again} requests, {result.bytes_again} bytes, {len(result.hashed_again)} of {len(result.hashed)} "
              f"assets with a hash", flush=True)


if __name__ == "__main__":
    sys.exit(main())
