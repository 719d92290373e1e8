#!/usr/bin/env python3
"""A well-behaved client: a small page, a hundred times a second, in turn over a connection of its own and over one
that is kept.

    visitor.py http|https PORT LENGTH PID,PID... [PID,PID...]

It goes on until its standard input ends, and prints how long each request took, in milliseconds, and what went wrong.
It is a process of its own, lest anything but the server and the machine make it late; and for the machine there is a
second figure, without the time that this client or a process of each group of the server's processes waited for a processor.
"""

import gc
import glob
import json
import select
import socket
import ssl
import sys
import time
from pathlib import Path

PERIOD_MS = 10
TIMEOUT_S = 5


class Visitor:
    def __init__(self, scheme, port, length):
        self.tls = ssl._create_unverified_context() if scheme == "https" else None
        self.address = ("127.0.0.1", port)
        self.length = length
        self.kept = None

    def connect(self):
        connection = socket.create_connection(self.address, TIMEOUT_S)
        return self.tls.wrap_socket(connection, server_hostname="localhost") if self.tls else connection

    def ask_anew(self):
        with self.connect() as connection:
            self.ask(connection, b"GET /page.html HTTP/1.1\r\nHost: visitor\r\nConnection: close\r\n\r\n")
            if connection.recv(1):
                raise OSError("more than an answer")

    def ask_again(self):
        self.kept = self.kept or self.connect()
        try:
            self.ask(self.kept, b"GET /page.html HTTP/1.1\r\nHost: visitor\r\n\r\n")
        except OSError:
            self.kept = None
            raise

    def ask(self, connection, request):
        connection.sendall(request)
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < self.length:
            piece = connection.recv(65536)
            if not piece:
                raise OSError(f"the end after {len(answer)} bytes")
            answer += piece
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise OSError(answer.partition(b"\r\n")[0].decode("latin-1"))


class Queue:
    """How long threads have waited for a processor (/proc/PID/schedstat: the second number, in nanoseconds)."""

    def __init__(self, groups):
        self.groups = groups

    def look(self):
        groups = [[thread for pid in pids for thread in glob.glob(f"/proc/{pid}/task/*/schedstat")] for pids in self.groups]
        return waited("/proc/self/schedstat"), [{thread: waited(thread) for thread in threads} for threads in groups]

    def ms_between(self, before, after):
        """This client's share, and the largest of a thread of each group: one at a time serves a request."""
        longest = (
            max((ns - old.get(thread, ns) for thread, ns in new.items()), default=0)
            for old, new in zip(before[1], after[1])
        )
        return (after[0] - before[0] + sum(longest)) / 1e6


def waited(schedstat):
    try:
        return int(Path(schedstat).read_text().split()[1])
    except OSError:  # the thread has ended
        return 0


def visit(visitor, queue):
    """Asks at a steady rate. A request that is due while the one before it goes on has to wait, and that counts."""
    took_ms, served_ms, failures = [], [], []
    ways = [visitor.ask_anew, visitor.ask_again]
    late_ms, pause = 0, 0
    while not select.select([sys.stdin], [], [], pause)[0]:
        before, begin = queue.look(), time.monotonic()
        try:
            ways[0]()
        except OSError as error:
            failures.append(f"{ways[0].__name__}: {error}")
        end, after = time.monotonic(), queue.look()
        ms = (end - begin) * 1000
        took_ms.append(ms)
        served_ms.append(late_ms + max(0, ms - queue.ms_between(before, after)))
        late_ms = max(0, served_ms[-1] - PERIOD_MS)
        pause = max(0, PERIOD_MS - late_ms - ms) / 1000
        ways.reverse()
    return {"took_ms": took_ms, "served_ms": served_ms, "failures": failures}


if __name__ == "__main__":
    gc.disable()
    scheme, port, length, *groups = sys.argv[1:]
    groups = [group.split(",") for group in groups]
    print(json.dumps(visit(Visitor(scheme, int(port), int(length)), Queue(groups))))
