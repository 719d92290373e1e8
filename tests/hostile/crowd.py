"""Clients that mean harm, many at once: each kind is a list of connections that do what they should not."""

import contextlib
import socket
import struct
import time

PATIENCE = 30.0


def connect(port, count, receive_buffer=None):
    """So many connections, from several addresses, lest ports run short. With a small buffer a client that reads little
    is slow at once."""
    connections = []
    for n in range(count):
        connection = socket.socket()
        connection.settimeout(PATIENCE)
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.bind((f"127.0.0.{2 + n % 4}", 0))
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


def half_heads(port, count, head_bytes):
    """A head of the greatest size, but for its end."""
    connections = connect(port, count)
    head = get("page.html", "A: " + "a" * head_bytes)[: head_bytes - 1]
    for connection in connections:
        connection.sendall(head)
    return connections


class Pipeliners:
    """Each asks for 10,000 answers as fast as the server takes the requests, and reads none."""

    def __init__(self, port, count, name):
        self.connections = connect(port, count, 4096)
        requests = memoryview(get(name) * 10_000)
        self.rest = {connection: requests for connection in self.connections}
        for connection in self.connections:
            connection.setblocking(False)

    def go_on(self):
        for connection, rest in self.rest.items():
            with contextlib.suppress(OSError):
                self.rest[connection] = rest[connection.send(rest) :]


class SlowReaders:
    """Each has asked for a large file, and takes 1 KiB a second of it."""

    def __init__(self, port, count, name):
        self.connections = connect(port, count, 4096)
        for connection in self.connections:
            connection.sendall(get(name))
            connection.setblocking(False)
        self.due = time.monotonic()

    def go_on(self):
        if time.monotonic() >= self.due:
            self.due += 1
            for connection in self.connections:
                with contextlib.suppress(OSError):
                    connection.recv(1024)


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
