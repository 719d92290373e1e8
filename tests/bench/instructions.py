#!/usr/bin/env python3
"""Counts the user instructions that a worker needs for a keep-alive request, and compares programs.

    tests/bench/instructions.py NEW BASE        # two otus-httpd; needs valgrind
    tests/bench/instructions.py --sites NEW     # one site against one of 10,000 of --sites

Each program serves the same sites under valgrind's callgrind, which counts only while a connection is driven. The difference
between a run with 3,000 requests and one with 1,000, divided by 2,000, does not contain the start. The figures do not depend on
the load of the machine. A request counts as it is sent by curl: no ranges, no Accept-Encoding, and no conditions, but for the
requests that get a 304.
"""
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time

RUNS = (1_000, 3_000)
PAGE = "/page.html"
SETTLED_S = 3
HOST = "localhost"
MANY = 10_000


def write_site(root, files):
    os.makedirs(root)
    for file, content in {PAGE[1:]: "a" * 97, **files}.items():
        with open(os.path.join(root, file), "w", encoding="ascii") as out:
            out.write(content)


def make_sites(top):
    """A site without rules, and one with 1,000 rules for header fields and 10,000 redirects of which none is for the page."""
    rules = {
        "_headers": "".join(f"/directory{n}/*\n  X-Number: {n}\n" for n in range(999)) + "/*\n  X-Frame-Options: DENY\n",
        "_redirects": "".join(f"/old{n} /new{n} 301\n" for n in range(9_000))
        + "".join(f"/section{n}/:name/* /other{n}/:name/:splat 301!\n" for n in range(1_000)),
    }
    sites = {"without rules": {}, "1,000 + 10,000 rules": rules}
    for name, files in sites.items():
        write_site(os.path.join(top, name), files)
    return list(sites)


def make_many(top):
    """A directory of sites, one of which is that of the requests. The others are never used."""
    sites = os.path.join(top, "sites")
    for number in range(MANY - 1):
        os.makedirs(os.path.join(sites, f"site{number}.example"))
    write_site(os.path.join(sites, HOST), {})
    return sites


def connect(port, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.05)
    sys.exit("The server did not start.")


def request(stream, lines, etag=None):
    """Requests the page, unless it still has this tag. Returns its tag."""
    condition = f"If-None-Match: {etag}\r\n" if etag else ""
    stream.sendall(f"GET {PAGE} HTTP/1.1\r\nHost: {HOST}\r\n{condition}\r\n".encode())
    status, fields = lines.readline(), {}
    while (line := lines.readline()) not in (b"\r\n", b""):
        name, value = line.decode().split(":", 1)
        fields[name.lower()] = value.strip()
    length = int(fields.get("content-length", 0))
    if (b" 304 " if etag else b" 200 ") not in status or len(lines.read(length)) != length:
        sys.exit(f"The page was not sent: {status!r}")
    return fields.get("etag")


def instructions(program, site, requests, is_known):
    """The instructions of the process that drove connections, for this number of requests. If the page is known, they get a 304."""
    with tempfile.TemporaryDirectory() as out:
        # A server that root starts gives up its privileges.
        os.chmod(out, 0o777)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}/%p"]
        callgrind.append("--toggle-collect=*ConnectionDriver*drive*")
        server = [program, *site, "-s", "127.0.0.1", "-p", str(port), "-w", "1", "--access-log", "off"]
        process = subprocess.Popen(callgrind + server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            stream = connect(port, process)
            lines = stream.makefile("rb")
            etag = request(stream, lines)
            for _ in range(requests):
                request(stream, lines, etag if is_known else None)
            stream.close()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        totals = [0]
        for name in os.listdir(out):
            with open(os.path.join(out, name), encoding="utf-8", errors="replace") as profile:
                totals += [int(line.split()[1]) for line in profile if line.startswith("totals:")]
        if not max(totals):
            sys.exit(f"{program}: nothing was counted. Its symbols are needed, and ConnectionDriver::drive as a function of its own.")
        return max(totals)


def per_request(program, *site, is_known=False):
    """The instructions of one request to a site that these options name."""
    few, many = RUNS
    program = os.path.abspath(program)
    counts = [instructions(program, site, requests, is_known) for requests in (many, few)]
    return (counts[0] - counts[1]) / (many - few)


def compare(new, base):
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        sites = make_sites(top)
        # A file that has just been written is read for each request.
        time.sleep(SETTLED_S)
        for site, is_known in [(site, False) for site in sites] + [(sites[0], True)]:
            root = os.path.join(top, site)
            after, before = (per_request(program, "-r", root, is_known=is_known) for program in (new, base))
            row = f"{site}, 304" if is_known else site
            print(f"{row}: {after:.0f} instructions a request, {before:.0f} before: {after / before:.3f}")


def compare_sites(program):
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        sites = make_many(top)
        time.sleep(SETTLED_S)
        many, one = per_request(program, "--sites", sites), per_request(program, "-r", os.path.join(sites, HOST))
        print(f"one of {MANY:,} sites: {many:.0f} instructions a request, {one:.0f} with one site: {many / one:.3f}")


def main():
    arguments = sys.argv[1:]
    if len(arguments) != 2:
        sys.exit(__doc__)
    if arguments[0] == "--sites":
        compare_sites(arguments[1])
    else:
        compare(*arguments)


if __name__ == "__main__":
    main()
