"""The clients: what they are told, and what they report. A request that fails, or is answered with 4xx or 5xx, ends the benchmark."""

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

DEADLINE = 180  # seconds; the longest run here takes 15 on a slow machine
CIPHER = "TLS_AES_128_GCM_SHA256"  # of clients of HTTP/2: not each server chooses the same one of several
PIPELINE = Path(__file__).with_name("pipeline.lua")


@dataclass(frozen=True)
class Report:
    requests: int
    per_second: float
    p99: float = None  # ms


def ab(url, *extra, requests=15000, connections=100):
    text = run(["ab", "-q", "-n", str(requests), "-c", str(connections), "-r", "-s", "60", *extra, url])
    failed = number(r"Failed requests: +(\d+)", text) + requests - number(r"Complete requests: +(\d+)", text)
    failed += number(r"Write errors: +(\d+)", text, 0) + number(r"Non-2xx responses: +(\d+)", text, 0)
    return checked(Report(requests, number(r"Requests per second: +([\d.]+)", text)), failed, text)


def wrk(url, *extra, connections=100, seconds=1, refused=False):
    """With `refused`, every answer must be an error (4xx)."""
    # What is behind "--" is for the script.
    at = extra.index("--") if "--" in extra else len(extra)
    text = run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", *extra[:at], url, *extra[at:]])
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = sum(map(int, errors.groups())) if errors else 0
    requests, errors = int(number(r"(\d+) requests in", text)), number(r"Non-2xx or 3xx responses: (\d+)", text, 0)
    failed += requests - errors if refused else errors
    return checked(Report(requests, number(r"Requests/sec: +([\d.]+)", text)), failed, text)


def h2load(url, requests, connections, *extra):
    """HTTP/1.1 over persistent connections. Without a URL, `extra` names a file with some."""
    return h2load_by("--h1", url, requests, connections, *extra)


def h2load_streams(url, requests, connections, streams):
    """HTTP/2 with so many streams at a time on each connection."""
    return h2load_by(f"-m{streams}", url, requests, connections, "--npn-list=h2", f"--tls13-ciphers={CIPHER}")


def h2load_by(protocol, url, requests, connections, *extra):
    text = run(["h2load", protocol, "-t1", f"-c{connections}", f"-n{requests}", *extra, *([url] if url else [])])
    succeeded = number(r"(\d+) 2xx", text)
    return checked(Report(requests, number(r"([\d.]+) req/s", text)), requests - succeeded, text)


def s_time(port, version, path):
    """A connection for each request, of a session that is resumed."""
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-reuse", "-time", "1", f"-{version}", "-www", path]
    text = run(command)
    # A letter for each connection: "r" if its session was resumed.
    letters = re.search(r"session id reuse\.\nstarting\n(\w*)", text)[1]
    requests = int(number(r"\n(\d+) connections in \d+ real seconds", text))
    return checked(Report(requests, requests / number(r"connections in (\d+) real seconds", text)), requests - letters.count("r"), text[-500:])


def handshakes(program, port, group, requests):
    """A full handshake for each request, with this group alone."""
    text = run([program, str(port), group, str(requests)])
    return Report(requests, requests / number(r"([\d.]+) seconds", text))


def wrk_pipelined(url):
    return wrk(url, "-s", str(PIPELINE))


def fetch(program, url, connections, requests, rate=None, field=None):
    """With a rate, so many requests a second; `field` is a line of each request."""
    text = run([program, url, str(connections), str(requests), str(rate or 0), *([field] if field else [])])
    return Report(requests, requests / number(r"([\d.]+) seconds", text), number(r"p99 ([\d.]+) ms", text))


def run(command):
    try:
        client = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"{shlex.join(command)} did not end within {DEADLINE} s.")
    if client.returncode != 0:
        raise SystemExit(f"{shlex.join(command)} failed with status {client.returncode}:\n{client.stdout}")
    return client.stdout


def number(pattern, text, default=None):
    found = re.search(pattern, text)
    if found is None and default is None:
        raise SystemExit(f"The client's report has no '{pattern}':\n{text}")
    return float(found[1]) if found else default


def checked(report, failed, text):
    if failed or not report.requests:
        raise SystemExit(f"{failed:.0f} requests failed:\n{text}")
    return report
