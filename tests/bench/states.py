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
TURNS = 3  # of both in a round


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
        deadline = time.monotonic() + 30  # threads that served the last requests stay for a while
        while server.threads() > threads and time.monotonic() < deadline:
            time.sleep(0.05)
        return {"each": (server.memory() - before) / CROWD, "before": threads, "during": server.threads()}


def resident_memory(server):
    return {"memory": server.memory() / (1 << 20), "processes": len(list(servers.session_processes(server.process.pid)))}


def slow_downloads(server):
    """1,000 downloads that take 50 KB/s each: what they hold, and what others notice."""
    before = crowd.latencies(server, PAGE, 4)
    with crowd.slow(server, "100m.bin", 1000, 50_000):
        threads = [server.threads()]
        during = crowd.latencies(server, PAGE, 4)
        threads.append(server.threads())
    return {"threads": max(threads), **compared(before, during)}


def fast_downloads(fetch):
    """64 downloads of 100 MiB as fast as they come: how long others wait meanwhile."""

    def measure(server):
        command = [fetch, server.url("100m.bin"), "64", "10000"]  # far more than there is time for
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as downloads:
            try:
                latencies = crowd.latencies(server, PAGE, 3)
                if downloads.poll() is not None:
                    raise SystemExit(f"{server.server.label}: the downloads ended early.")
            finally:
                downloads.kill()
        return latencies

    return measure


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
    """The same server with its log off and on: at a steady rate, and as fast as it goes. What journald uses is told apart."""

    def steady(server):
        report = clients.fetch(fetch, server.url(PAGE), ACTIVE // 2, 2 * RATE, RATE)
        if report.per_second < 0.9 * RATE:
            raise SystemExit(f"{report.per_second:.0f} requests/s came about, not {RATE}: the machine is too busy.")
        return report

    def fastest(server):
        return clients.wrk(server.url(PAGE))

    def measure(server):
        with journal.logging(server) as (logging, journald):
            logging.check(PAGE, (server.root / PAGE).read_bytes())
            clients.fetch(fetch, logging.url(PAGE), 100, 2000)
            off, on = in_turns(steady, server, logging, journald)
            fast_off, fast_on = in_turns(fastest, server, logging, journald)
        middle = lambda figures, name: statistics.median(f[name] for f in figures)
        ratios = lambda name, ours, theirs: statistics.median(a[name] / b[name] for a, b in zip(ours, theirs))
        return {
            "off": middle(off, "cost"), "on": middle(on, "cost"), "ratio": ratios("cost", on, off),
            "journald": middle(on, "journald"),
            "rate_off": middle(fast_off, "rate"), "rate_on": middle(fast_on, "rate"),
            "lost": 100 * (1 - ratios("rate", fast_on, fast_off)),
            "journald_fastest": statistics.median(f["journald"] * f["rate"] for f in fast_on) / 1e4,
        }

    return measure


def in_turns(load, off, on, journald):
    """Loads both servers in turns, the other one first each time: the figures of each. Costs are microseconds per request."""
    figures = {off: [], on: []}
    for turn in range(TURNS):
        for server in ((off, on), (on, off))[turn % 2]:
            before, written = server.cpu_seconds(), journald()
            report = load(server)
            cost, written = server.cpu_seconds() - before, journald() - written
            figures[server].append({
                "cost": cost / report.requests * 1e6, "journald": written / report.requests * 1e6, "rate": report.per_second,
            })
    return figures[off], figures[on]


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
