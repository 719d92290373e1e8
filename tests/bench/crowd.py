"""Clients in numbers: connections that only stay open, downloads that take their time, and one client that measures latency."""

import contextlib
import select
import socket
import statistics
import subprocess
import sys
import time

PATIENCE = 1.0  # seconds; what takes longer counts as this much


def get(path, fate="keep-alive"):
    return f"GET /{path} HTTP/1.1\r\nHost: localhost\r\nConnection: {fate}\r\n\r\n".encode()


@contextlib.contextmanager
def idle(server, path, number):
    """Holds so many connections, each of which has had one answer."""
    held, size = [], (server.root / path).stat().st_size
    try:
        for _ in range(number):
            held.append(server.connect(10))
            held[-1].sendall(get(path))
            answer = held[-1].recv(16384)
            while answer and len(answer.partition(b"\r\n\r\n")[2]) < size:  # some send head and content apart
                answer += held[-1].recv(16384)
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"{server.server.label} answers connection {len(held)} with {answer[:60]}")
        yield
        lost = 0
        poll = select.poll()
        for connection in held:
            poll.register(connection, select.POLLIN)
        lost = len(poll.poll(0))
        if lost:
            raise SystemExit(f"{server.server.label} closed {lost} of {number} connections that were to stay open.")
    finally:
        for connection in held:
            connection.close()


@contextlib.contextmanager
def slow(server, path, number, rate):
    """Runs so many downloads in a process of its own, each of which takes `rate` bytes a second. It comes last on the processors:
    what the clients themselves do is no part of what is measured."""
    command = ["nice", "-n19", sys.executable, "-B", __file__, str(server.port), path, str(number), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        if crowd.stdout.readline() != "started\n":
            raise SystemExit("The slow downloads did not start.")
        yield
        crowd.stdin.close()
        outcome = crowd.stdout.readline().split()
        if not outcome or outcome[0] != "0" or float(outcome[1]) < 0.8 * number * rate:
            raise SystemExit(f"{number} downloads of {rate} bytes/s from {server.server.label}, lost and bytes/s: {outcome or 'the client failed'}")


def latencies(server, path, seconds):
    """How long one answer takes, in ms: {p50, p99}. A client that connects, asks, reads to the end, and pauses for a millisecond."""
    taken = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
                connection.sendall(get(path, "close"))
                answer = connection.recv(65536)
                if not answer.startswith(b"HTTP/1.1 200 "):
                    raise SystemExit(f"{server.server.label} answers {answer[:60]}")
                while connection.recv(65536):
                    pass
            taken.append(time.monotonic() - started)
        except TimeoutError:
            taken.append(PATIENCE)
        time.sleep(0.001)
    return {"p50": statistics.median(taken) * 1e3, "p99": sorted(taken)[int(len(taken) * 0.99)] * 1e3}


def latencies_of_requests(server, path, seconds):
    """The same of a client that keeps its connection."""
    taken = []
    end = time.monotonic() + seconds
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        while time.monotonic() < end:
            started = time.monotonic()
            connection.sendall(get(path))
            answer = connection.recv(65536)  # head and content of a small file arrive together
            if not answer.startswith(b"HTTP/1.1 200 "):
                raise SystemExit(f"{server.server.label} answers {answer[:60]}")
            taken.append(time.monotonic() - started)
            time.sleep(0.001)
    return {"p50": statistics.median(taken) * 1e3, "p99": sorted(taken)[int(len(taken) * 0.99)] * 1e3}


def take_slowly(port, path, number, rate):
    """Takes a twentieth of a second's bytes of each download in turn, until the standard input ends. Then it prints how
    many downloads were lost, and the bytes that came in a second."""
    downloads, lost, taken, piece = [], 0, 0, rate // 20
    for _ in range(number):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # else the kernel takes megabytes at once
        connection.connect(("127.0.0.1", port))
        connection.sendall(get(path))
        connection.recv(piece)
        connection.setblocking(False)
        downloads.append(connection)
    print("started", flush=True)
    turn, started = 0, time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        for connection in downloads[turn % 20 :: 20]:
            try:
                got = len(connection.recv(piece))
                taken += got
                lost += got == 0
            except BlockingIOError:
                pass
            except OSError:
                lost += 1
        turn += 1
        # Twenty turns make a round over all downloads, and each takes a piece twenty times a second.
        time.sleep(max(0, started + turn / 400 - time.monotonic()))
    print(lost, taken / (time.monotonic() - started), flush=True)


if __name__ == "__main__":
    take_slowly(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
