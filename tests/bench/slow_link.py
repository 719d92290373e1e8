"""A page over a slow link: when its first bytes have arrived, and can be used."""

import contextlib
import os
import statistics
import subprocess
import time

import crowd

RATES = {"1m": "1mbit", "256k": "256kbit"}
CONNECTIONS = 3  # one after the other, at each rate
SOME = 5_000  # bytes of content, with which a browser can begin
TIMEOUT = 60.0
# As on an Ethernet. The link buffers what it cannot send at once, and loses nothing.
MTU, BURST, LATENCY = 1_500, 3_000, "8s"
LOOPBACK_MTU = 65_536


def page(server, path):
    """Milliseconds from the request to the first content, to some, and to all of it, at each rate. The handshake is over by then."""
    figures = {}
    for name, rate in RATES.items():
        with link(rate):
            times = [arrivals(server, path) for _ in range(CONNECTIONS)]
        for figure, values in zip(("first", "some", "all"), zip(*times)):
            figures[f"{figure}_{name}"] = statistics.median(values)
    return figures


def arrivals(server, path):
    size, length, head, times = (server.root / path).stat().st_size, 0, b"", []
    with server.connect(TIMEOUT) as connection:
        connection.sendall(crowd.get(path))
        begin = time.monotonic()
        # One record at a time.
        while piece := connection.recv(65_536):
            if b"\r\n\r\n" in head:
                length += len(piece)
            else:
                head += piece
                length = len(head.partition(b"\r\n\r\n")[2])
            for wanted in (1, SOME, size)[len(times):]:
                if length < wanted:
                    break
                times.append((time.monotonic() - begin) * 1000)
            if len(times) == 3:
                return times
    raise SystemExit(f"{server.server.label} sent {length} of {size} bytes.")


@contextlib.contextmanager
def link(rate):
    """Slows down the loopback of the benchmark's own network (tc-tbf(8))."""
    if os.geteuid() != 0:
        raise SystemExit("A slow link needs a network namespace, and that takes root.")
    run("ip", "link", "set", "lo", "mtu", str(MTU))
    run("tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate", rate, "burst", str(BURST), "latency", LATENCY)
    try:
        yield
    finally:
        run("tc", "qdisc", "del", "dev", "lo", "root")
        run("ip", "link", "set", "lo", "mtu", str(LOOPBACK_MTU))


def run(*command):
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
