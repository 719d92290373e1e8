"""Rows about the first use of a file: what a server does once for each file, not once for each request."""

import http.client
import os
import random
import socket
import statistics
import subprocess
import time

import clients
import crowd
import servers

PAGE = "test.html"
SMALL, VARIANTS, MEDIUM = 10_000, 1_000, 200  # files
SMALL_BYTES, MEDIUM_BYTES, LARGE_BYTES = 20 << 10, 1 << 20, 1 << 30
CONNECTIONS = 16
STARTS = 10  # in a round
AGAIN = 20  # requests after the first
MEDIUM_RATE = 50  # requests a second, beside those of the client whose latency is measured
PASSES = 10  # at most, over files with variants
ENCODINGS = "Accept-Encoding: gzip, deflate, br, zstd"


def make_small(root, _):
    (root / "small").mkdir()
    for number in range(SMALL):
        (root / f"small/{number}.html").write_bytes(os.urandom(SMALL_BYTES))


def make_medium(root, _):
    for part in ("cost", "latency"):
        (root / part).mkdir()
        for number in range(MEDIUM):
            (root / f"{part}/{number}.bin").write_bytes(os.urandom(MEDIUM_BYTES))


def make_large(root, _):
    block = os.urandom(1 << 20)
    with open(root / "1g.bin", "wb") as file:
        for _ in range(LARGE_BYTES // len(block)):
            file.write(block)


def make_variants(root, otus):
    """Text that compresses like a page: words of different frequency."""
    (root / "variants").mkdir()
    chance = random.Random(1)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(2000)]
    frequencies = [1 / place for place in range(1, len(words) + 1)]
    for number in range(VARIANTS):
        text = " ".join(chance.choices(words, frequencies, k=SMALL_BYTES // 3))
        (root / f"variants/{number}.html").write_text(text[:SMALL_BYTES])
    subprocess.run([otus, "precompress", root / "variants"], check=True, stdout=subprocess.DEVNULL)


def small_files(fetch):
    """The cost of the first request for each small file, and of the second one."""

    def measure(server):
        load = lambda: clients.fetch(fetch, server.url("small/{}.html"), CONNECTIONS, SMALL)
        first, _ = cost(server, load)
        again, _ = cost(server, load)
        return {"cost": first, "again": again}

    return measure


def variants(fetch):
    """The cost of the first request for each file with variants, and that of a request when all variants are verified. Until
    then, further requests are made, which are not measured; it is counted how often."""

    def measure(server):
        load = lambda requests: clients.fetch(fetch, server.url("variants/{1000}.html"), CONNECTIONS, requests, field=ENCODINGS)
        names = [f"variants/{number}.html" for number in range(VARIANTS)]
        first, report = cost(server, lambda: load(VARIANTS))
        passes = 0
        while passes < PASSES:
            passes += 1
            encoded = sum(answer.getheader("Content-Encoding") is not None for answer in heads(server, names))
            if encoded == VARIANTS:
                break
            wait_for_background_work(server)
        steady, again = cost(server, lambda: load(10 * VARIANTS))
        return {"cost": first, "p99": report.p99, "passes": passes, "encoded": encoded, "steady": steady, "p99_steady": again.p99}

    return measure


def medium_files(fetch):
    """The cost of the first request for each file of 1 MiB, and what another client notices meanwhile."""

    def measure(server):
        first, _ = cost(server, lambda: clients.fetch(fetch, server.url("cost/{}.bin"), CONNECTIONS, MEDIUM))
        again, _ = cost(server, lambda: clients.fetch(fetch, server.url("cost/{}.bin"), CONNECTIONS, MEDIUM))
        tags = [answer.getheader("ETag") for answer in heads(server, [f"cost/{number}.bin" for number in range(MEDIUM)])]
        calm = crowd.latencies_of_requests(server, PAGE, MEDIUM / MEDIUM_RATE)
        during = beside_downloads(fetch, server)
        after = beside_downloads(fetch, server)
        return {
            "cost": first, "again": again, "strong": sum(tag.startswith('"') for tag in tags),
            "p99_before": calm["p99"], "p99_during": during["p99"], "p99_after": after["p99"], "growth": during["p99"] / calm["p99"],
        }

    return measure


def beside_downloads(fetch, server):
    """The latency of a client while another one downloads the files at a steady rate."""
    command = [fetch, server.url("latency/{}.bin"), str(CONNECTIONS), str(MEDIUM), str(MEDIUM_RATE)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as downloads:
        measured = crowd.latencies_of_requests(server, PAGE, MEDIUM / MEDIUM_RATE)
        if downloads.wait(timeout=clients.DEADLINE) != 0:
            raise SystemExit(f"{server.server.label}: the downloads failed.")
    return measured


def large_file(server):
    """From the first request for a file of 1 GiB to the first byte, of servers that have just started."""
    taken, again = [], []
    for _ in range(STARTS):
        fresh = servers.Running(server.server, server.folder / f"start-{time.monotonic_ns()}", server.root)
        try:
            fresh.check(PAGE, (server.root / PAGE).read_bytes())
            taken.append(first_byte(fresh, "1g.bin") * 1e3)
            again += [first_byte(fresh, "1g.bin") * 1e3 for _ in range(AGAIN)]
        finally:
            fresh.stop()
    return {"first": statistics.median(taken), "worst": max(taken), "again": statistics.median(again)}


def first_byte(server, name):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        started = time.monotonic()
        connection.sendall(crowd.get(name))
        if not connection.recv(1):
            raise SystemExit(f"{server.server.label} closed the connection without an answer.")
        return time.monotonic() - started


def cost(server, load):
    """CPU microseconds per request, with those of work in the background that the requests caused; and the client's report."""
    before = server.cpu_seconds()
    report = load()
    wait_for_background_work(server)
    return (server.cpu_seconds() - before) / report.requests * 1e6, report


def wait_for_background_work(server):
    """Waits until the server uses no CPU time any more."""
    deadline = time.monotonic() + 60
    used = server.cpu_seconds()
    while time.monotonic() < deadline:
        time.sleep(0.3)
        before, used = used, server.cpu_seconds()
        if used - before < 0.001:
            return
    raise SystemExit(f"{server.server.label} is busy 60 s after the last request.")


def heads(server, names):
    """The answers to a HEAD request for each file, over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    for name in names:
        connection.request("HEAD", "/" + name, headers=dict([ENCODINGS.split(": ")]))
        answer = connection.getresponse()
        answer.read()
        yield answer
    connection.close()
