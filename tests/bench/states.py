"""Rows that are not about the cost of a request alone: many connections, memory, slow clients, a disk that hangs, the access
log, the first request."""

import contextlib
import os
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

import clients
import crowd
import journal
import servers

CROWD = 10_000
ACTIVE = 100
PAGE = "test.html"
STARTS = 10
STUCK = 16  # requests at least that hang
RATE = 5000  # requests a second with and without a log


def open_connections(server):
    """The cost of a request with 10, 100 and 10,000 open connections, of which at most 100 are active."""
    costs = {}
    for number in (10, ACTIVE, CROWD):
        active = min(number, ACTIVE)
        with crowd.idle(server, PAGE, number - active):
            before = server.cpu_seconds()
            report = clients.wrk(server.url(PAGE), connections=active)
            costs[f"cost{number}"] = (server.cpu_seconds() - before) / report.requests * 1e6
    growth = costs[f"cost{CROWD}"] / min(costs["cost10"], costs[f"cost{ACTIVE}"])
    return {**costs, "growth": growth}


def idle_connections(server):
    """What 10,000 open connections between two requests take."""
    before, threads = server.memory(), server.threads()
    with crowd.idle(server, PAGE, CROWD):
        deadline = time.monotonic() + 5  # threads that served the last requests may take a moment to leave
        while server.threads() > threads and time.monotonic() < deadline:
            time.sleep(0.05)
        return {"each": (server.memory() - before) / CROWD, "before": threads, "during": server.threads()}


def resident_memory(server):
    return {"memory": server.memory() / (1 << 20), "processes": len(list(servers.session_processes(server.process.pid)))}


def slow_downloads(server):
    """1,000 downloads that take 50 KB/s each: what they hold, and what others notice."""
    before = crowd.latencies(server, PAGE, 2)
    with crowd.slow(server, "100m.bin", 1000, 50_000):
        threads = [server.threads()]
        during = crowd.latencies(server, PAGE, 3)
        threads.append(server.threads())
    return {"threads": max(threads), **compared(before, during)}


def compared(before, during):
    figures = {f"{name}_{when}": value for when, part in (("before", before), ("during", during)) for name, value in part.items()}
    return {**figures, "growth": during["p99"] / before["p99"]}


def stuck_disk(server):
    """Requests for files whose reads hang, pending on every worker: what clients of other files notice."""
    before = crowd.latencies(server, PAGE, 2)
    folder = server.root / "stuck"
    folder.mkdir(exist_ok=True)
    with hanging(folder) as hung, contextlib.ExitStack() as pending:
        deadline = time.monotonic() + 10
        workers, asked = set(), 0
        while len(workers) < servers.WORKERS or asked < STUCK:
            if time.monotonic() > deadline:
                raise SystemExit(f"{server.server.label}: {asked} requests hang {len(workers)} worker(s), not all.")
            for name in (f"stuck/small{asked}.bin", f"stuck/large{asked}.bin"):
                connection = pending.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
                connection.sendall(crowd.get(name))
                asked += 1
            time.sleep(0.05)
            workers |= {process_of(thread) for thread in hung()}
        during = crowd.latencies(server, PAGE, 3)
    return compared(before, during)


@contextlib.contextmanager
def hanging(folder):
    """Mounts the stuck disk; gives a function that tells which threads have run into it since it was last asked."""
    command = [sys.executable, "-B", str(Path(__file__).with_name("stuck_disk.py")), str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as disk:
        if disk.stdout.readline() != b"mounted\n":
            raise SystemExit("The disk that hangs could not be mounted (this row needs root and /dev/fuse).")
        os.set_blocking(disk.stdout.fileno(), False)
        try:
            yield lambda: [int(line) for line in (disk.stdout.read() or b"").split()]
        finally:
            disk.stdin.close()
            disk.wait(timeout=10)


def access_log(fetch):
    """The same server with its log off and on: at a steady rate, and as fast as it goes. What journald uses is not the server's."""

    def steady(server):
        clients.fetch(fetch, server.url(PAGE), ACTIVE // 2, 3 * RATE, RATE)
        return 3 * RATE, None

    def fastest(server):
        report = clients.wrk(server.url(PAGE))
        return report.requests, report.per_second

    def measure(server):
        with journal.logging(server) as (logging, journald):
            logging.check(PAGE, (server.root / PAGE).read_bytes())
            clients.fetch(fetch, logging.url(PAGE), 100, 2000)
            figures = {}
            for name, load in [("steady", steady), ("fastest", fastest)]:
                for column, of in [("off", server), ("on", logging), ("on", logging), ("off", server)]:
                    before, written = of.cpu_seconds(), journald()
                    requests, rate = load(of)
                    part = figures.setdefault(f"{name}_{column}", [])
                    part.append(((of.cpu_seconds() - before) / requests * 1e6, rate, (journald() - written) / requests * 1e6))
        cost = {name: statistics.mean(cost for cost, _, _ in parts) for name, parts in figures.items()}
        rate = {name: statistics.mean(rate for _, rate, _ in figures[f"fastest_{name}"]) for name in ("off", "on")}
        return {
            "off": cost["steady_off"], "on": cost["steady_on"], "ratio": cost["steady_on"] / cost["steady_off"],
            "journald": statistics.mean(written for _, _, written in figures["steady_on"]),
            "rate_off": rate["off"], "rate_on": rate["on"], "lost": 100 * (1 - rate["on"] / rate["off"]),
            "journald_fastest": statistics.mean(written * rate for _, rate, written in figures["fastest_on"]) / 1e4,
        }

    return measure


def process_of(thread):
    status = Path(f"/proc/{thread}/status").read_text()
    return int(status.partition("Tgid:")[2].split()[0])


def activation(server):
    """From the connection to the first byte, when it is this connection that starts the server."""
    taken = []
    for _ in range(STARTS):
        port = servers.free_port()
        # It passes on only what it is told to.
        told = [word for name in servers.ENVIRONMENT if name != "PATH" for word in ("-E", name)]
        command = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", *told, *server.server.configure(server.folder, server.root, port)]
        with open(server.log, "ab") as log:
            activator = subprocess.Popen(
                command, env=servers.ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )
        try:
            taken.append(first_byte(port, activator) * 1e3)
        finally:
            activator.terminate()
            activator.wait(timeout=40)
    return {"first": statistics.median(taken), "worst": max(taken)}


def first_byte(port, activator):
    deadline = time.monotonic() + 10
    while True:
        started = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(crowd.get(PAGE))
                if not connection.recv(1):
                    raise SystemExit("An activated server closed its first connection.")
                return time.monotonic() - started
        except ConnectionRefusedError:
            if time.monotonic() > deadline or activator.poll() is not None:
                raise SystemExit("systemd-socket-activate does not listen.")
            time.sleep(0.005)
