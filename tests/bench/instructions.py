#!/usr/bin/env python3
"""Counts the user instructions that a worker needs for a keep-alive request, and compares programs.

    tests/bench/instructions.py NEW BASE        # two otus-httpd; needs valgrind

Each program serves the same sites under valgrind's callgrind, which counts only while a connection is driven. The difference
between a run with 3,000 requests and one with 1,000, divided by 2,000, does not contain the start. The figures do not depend on
the load of the machine. A request counts as it is sent by curl: no conditions, no ranges, no Accept-Encoding.
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


def make_sites(top):
    """A site without rules, and one with 1,000 rules for header fields and 10,000 redirects of which none is for the page."""
    rules = {
        "_headers": "".join(f"/directory{n}/*\n  X-Number: {n}\n" for n in range(999)) + "/*\n  X-Frame-Options: DENY\n",
        "_redirects": "".join(f"/old{n} /new{n} 301\n" for n in range(9_000))
        + "".join(f"/section{n}/:name/* /other{n}/:name/:splat 301!\n" for n in range(1_000)),
    }
    sites = {"without rules": {}, "1,000 + 10,000 rules": rules}
    for name, files in sites.items():
        root = os.path.join(top, name)
        os.mkdir(root)
        for file, content in {PAGE[1:]: "a" * 97, **files}.items():
            with open(os.path.join(root, file), "w", encoding="ascii") as out:
                out.write(content)
    return list(sites)


def connect(port, process):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.05)
    sys.exit("The server did not start.")


def request(stream, lines):
    stream.sendall(b"GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % PAGE.encode())
    status, length = lines.readline(), 0
    while (line := lines.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line[len(b"content-length:") :])
    if b" 200 " not in status or len(lines.read(length)) != length:
        sys.exit(f"The page was not sent: {status!r}")


def instructions(program, root, requests):
    """The instructions of the process that drove connections, for this number of requests."""
    with tempfile.TemporaryDirectory() as out:
        # A server that root starts gives up its privileges.
        os.chmod(out, 0o777)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}/%p"]
        callgrind.append("--toggle-collect=*ConnectionDriver*drive*")
        server = [program, "-r", root, "-s", "127.0.0.1", "-p", str(port), "-w", "1", "--access-log", "off"]
        process = subprocess.Popen(callgrind + server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            stream = connect(port, process)
            lines = stream.makefile("rb")
            for _ in range(requests):
                request(stream, lines)
            stream.close()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
        totals = [0]
        for name in os.listdir(out):
            with open(os.path.join(out, name), encoding="utf-8", errors="replace") as profile:
                totals += [int(line.split()[1]) for line in profile if line.startswith("totals:")]
        return max(totals)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        sites = make_sites(top)
        # A file that has just been written is read for each request.
        time.sleep(SETTLED_S)
        for site in sites:
            few, many = RUNS
            root = os.path.join(top, site)
            new, base = (
                (instructions(program, root, many) - instructions(program, root, few)) / (many - few)
                for program in map(os.path.abspath, sys.argv[1:])
            )
            print(f"{site}: {new:.0f} instructions a request, {base:.0f} before: {new / base:.3f}")


if __name__ == "__main__":
    main()
