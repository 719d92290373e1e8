"""Browsers: a page with many small files, over one connection of HTTP/2."""

import json
import os
import re
import subprocess

from chromium import Chromium, Page

STYLES, SCRIPTS, PICTURES = 50, 50, 100
COUNT = STYLES + SCRIPTS + PICTURES

# What has arrived and is used: style sheets, scripts that ran, and pictures that are decoded.
USED = """[[...document.styleSheets].filter(sheet => sheet.cssRules.length == 1).length, window.ran,
    [...document.images].filter(image => image.complete && image.naturalWidth == 7).length]"""

# By the browser's name of the protocol, how many files; and the page itself.
PROTOCOLS = """Object.entries(Object.groupBy([...performance.getEntriesByType("resource"), ...performance.getEntriesByType("navigation")],
    entry => entry.nextHopProtocol)).map(([name, entries]) => [name, entries.length])"""


def make_site(site):
    site.mkdir()
    links = [f'<link rel="stylesheet" href="{number}.css">' for number in range(STYLES)]
    scripts = [f'<script src="{number}.js"></script>' for number in range(SCRIPTS)]
    pictures = [f'<img alt="" src="{number}.svg">' for number in range(PICTURES)]
    head = "".join(['<meta charset="utf-8"><title>Assets</title><link rel="icon" href="data:,"><script>var ran = 0</script>', *links])
    (site / "index.html").write_text(f'<!DOCTYPE html><html lang="en"><head>{head}</head><body>{"".join([*pictures, *scripts])}</body></html>')
    for number in range(STYLES):
        (site / f"{number}.css").write_text(f".c{number} {{ color: #{number:06x} }}")
    for number in range(SCRIPTS):
        (site / f"{number}.js").write_text("ran += 1;\n" * (number + 1) + f"ran -= {number};\n")
    for number in range(PICTURES):
        (site / f"{number}.svg").write_text(f'<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"><path id="p{number}"/></svg>')


def check_chromium(server, port, work):
    """Returns whether Chromium loads all files of the site at `work`/assets over HTTP/2 and one connection. It closes `server`."""
    directory = work / "chromium"
    directory.mkdir()
    with Chromium(directory, "--ignore-certificate-errors") as browser:
        page = Page(browser)
        page.open(f"https://localhost:{port}/")
        used, protocols = page.evaluate(USED), page.evaluate(PROTOCOLS)
        responses = [received["response"] for received in page.parameters("Network.responseReceived")]
        faults = page.complaints() + [f"{failed['errorText']}" for failed in page.parameters("Network.loadingFailed")]
        version = re.search(r"[\d.]+", browser.call("Browser.getVersion")["product"])[0]
    connections = {response["connectionId"] for response in responses if response["url"].startswith("https:")}
    faults += [] if used == [STYLES, SCRIPTS, PICTURES] else [f"{used} are used"]
    faults += [] if protocols == [["h2", COUNT + 1]] else [f"the protocols are {protocols}"]
    faults += [] if len(connections) == 1 else [f"{len(connections)} connections"]
    return report(f"Chromium {version}", faults + logged_faults(server))


def check_firefox(server, port, work):
    """The same for Firefox, as far as the access log and a picture of the page say so."""
    directory = work / "firefox"
    (directory / "profile").mkdir(parents=True)
    database = f"sql:{directory / 'profile'}"
    certificate = work / "certificates" / "first" / "fullchain.pem"
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True)
    subprocess.run(["certutil", "-A", "-d", database, "-n", "test", "-t", "C,,", "-i", certificate], check=True)
    environment = {**os.environ, "HOME": str(directory)}
    command = ["firefox-esr", "--headless", "--no-remote", "--profile", str(directory / "profile"), "--screenshot",
               str(directory / "page.png"), f"https://localhost:{port}/"]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=120)
    version = subprocess.run(["firefox-esr", "--version"], env=environment, check=True, capture_output=True, text=True).stdout
    faults = [] if (directory / "page.png").exists() else ["there is no picture of the page"]
    return report(version.strip().removeprefix("Mozilla "), faults + logged_faults(server))


def logged_faults(server):
    """Closes the server, and returns what is wrong in its access log."""
    server.close()
    records = [json.loads(line) for line in server.text().splitlines()]
    records = [record for record in records if "http_target" in record]
    ports = {record["client_port"] for record in records}
    faults = [] if len(ports) == 1 else [f"{len(ports)} connections in the access log"]
    faults += [] if len(records) == COUNT + 1 else [f"{len(records)} records in the access log"]
    return faults + [f"{record}" for record in records if record["http_status"] != 200 or record["http_version"] != "2"][:3]


def report(name, faults):
    summary = "".join(f"; {fault}" for fault in faults[:5]) if faults else f": {COUNT} files, one connection"
    print(f"{'FAIL' if faults else 'PASS'} {name}{summary}", flush=True)
    return not faults
