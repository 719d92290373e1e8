"""Clients that mean harm, many at once: each kind is a list of connections that do what they should not."""

import contextlib
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

TIMEOUT = 30.0


def connect(port, count, receive_buffer=None, addresses=4):
    """So many connections, from several addresses, lest ports run short. With a small buffer a client that reads little
    is slow at once."""
    connections = []
    for n in range(count):
        connection = socket.socket()
        connection.settimeout(TIMEOUT)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.bind((f"127.0.0.{2 + n % addresses}", 0))
        connection.connect(("127.0.0.1", port))
        connections.append(connection)
    return connections


def get(name, fields=""):
    return f"GET /{name} HTTP/1.1\r\nHost: crowd\r\n{fields}\r\n".encode()


def leave(connections):
    for connection in connections:
        connection.close()


def reset(connections):
    """Ends them without a word of farewell: the server gets a RST."""
    for connection in connections:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()


def idle(port, count, length):
    """Clients that have had an answer, of `length` bytes of content, and say nothing more."""
    connections = connect(port, count)
    for connection in connections:
        connection.sendall(get("page.html"))
    for connection in connections:
        answer = b""
        while len(answer.partition(b"\r\n\r\n")[2]) < length:
            answer += connection.recv(4096)
    return connections


class HalfHeads:
    """Each has sent a head of the greatest size, but for its end."""

    def __init__(self, port, head_bytes):
        self.port, self.connections = port, []
        self.head = get("page.html", "A: " + "a" * head_bytes)[: head_bytes - 1]

    def come(self, count):
        for connection in connect(self.port, count):
            connection.sendall(self.head)
            self.connections.append(connection)

    def go_on(self):
        pass


class Pipeliners:
    """Each asks for 10,000 answers as fast as the server takes the requests, and reads none."""

    def __init__(self, port, name):
        self.port, self.rest = port, {}
        self.requests = memoryview(get(name) * 10_000)

    def come(self, count):
        for connection in connect(self.port, count, 4096):
            connection.setblocking(False)
            self.rest[connection] = self.requests

    def go_on(self):
        for connection, rest in self.rest.items():
            with contextlib.suppress(OSError):
                self.rest[connection] = rest[connection.send(rest) :]

    @property
    def connections(self):
        return list(self.rest)


class SlowReaders:
    """Each has asked for a large file, and takes 1 KiB a second of it."""

    def __init__(self, port, name):
        self.port, self.request, self.connections = port, get(name), []
        self.due = time.monotonic()

    def come(self, count):
        for connection in connect(self.port, count, 4096):
            connection.sendall(self.request)
            connection.setblocking(False)
            self.connections.append(connection)

    def go_on(self):
        if time.monotonic() >= self.due:
            self.due += 1
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.recv(1024)


class ListingReaders:
    """Processes that ask for listings all the time while the block lasts; then how many they got, and not."""

    def __init__(self, port, count, paths):
        self.command, self.count = [sys.executable, Path(__file__).parent / "reader.py", str(port), *paths], count

    def __enter__(self):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.processes = [subprocess.Popen(self.command, **pipes) for _ in range(self.count)]
        return self

    def __exit__(self, *_):
        outputs = [process.communicate()[0].split() for process in self.processes]
        self.whole = sum(int(output[0]) for output in outputs if output)
        self.failed = sum(int(output[1]) if output else 1 for output in outputs)


def many_fields(port, fields):
    """The status of the answer to a head of so many fields."""
    [connection] = connect(port, 1)
    with connection:
        connection.sendall(get("page.html", "a: b\r\n" * fields))
        return connection.recv(4096).split(b" ")[1].decode()


def read_to_end(connection):
    """How many bytes came."""
    total = 0
    while piece := connection.recv(1 << 20):
        total += len(piece)
    return total
