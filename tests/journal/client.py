"""Clients that send what they are told, and ab, which sends as fast as it can."""

import re
import socket
import struct
import subprocess

TIMEOUT = 20.0


def request(target="/page.html", method="GET", version="HTTP/1.1", **fields):
    """A request in bytes; `user_agent` stands for User-Agent. Text is latin-1: a byte for each character."""
    lines = [f"{method} {target} {version}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    if "host" not in fields and version != "HTTP/1.0":
        lines.insert(1, "Host: test")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Client:
    """A connection, perhaps from `source`; with a small receive buffer it is slow at once."""

    def __init__(self, address, source=None, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.socket = socket.socket(family)
        self.socket.settimeout(TIMEOUT)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.connect(address)
        self.port = None if family == socket.AF_UNIX else self.socket.getsockname()[1]
        self.received = bytearray()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def ask(self, *arguments, **fields):
        return self.send(request(*arguments, **fields)).answer(fields.get("method") == "HEAD")

    def answer(self, is_head=False):
        """(status, bytes of content)"""
        while b"\r\n\r\n" not in self.received:
            self.read()
        head, end, _ = self.received.partition(b"\r\n\r\n")
        del self.received[: len(head + end)]
        status = int(head.split(b" ")[1])
        told = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        length = int(told[1]) if told and status not in (204, 304) and not is_head else 0
        while len(self.received) < length:
            self.read()
        del self.received[:length]
        return status, length

    def read(self):
        piece = self.socket.recv(1 << 20)
        if not piece:
            raise ConnectionError(f"the server ended after {bytes(self.received[:100])}")
        self.received += piece

    def wait_for_end(self):
        """Reads until the server has ended, and gives what came."""
        while piece := self.socket.recv(1 << 20):
            self.received += piece
        return self.received

    def reset(self):
        """Ends it without a word of farewell: the server gets a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Load:
    """A run of ab, which has begun; `report` waits for its end. When it has the answers that it wants, it may have asked for
    some more, one for each of its connections."""

    def __init__(self, server, requests, *options, clients=20):
        command = ["ab", "-q", "-r", "-s", "30", "-n", str(requests), "-c", str(clients), *options, server.url("page.html")]
        self.least, self.most = requests, requests + clients
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def report(self):
        """What it counted: {complete, failed, bytes (of content), rate (a second), p99_ms, longest_ms}"""
        text = self.process.communicate(timeout=60)[0]
        if self.process.returncode:
            raise RuntimeError(f"ab failed: {text}")

        def number(pattern):
            found = re.search(pattern, text)
            return float(found[1]) if found else 0

        failed = number(r"Failed requests: +(\d+)") + number(r"Non-2xx responses: +(\d+)")
        return {
            "complete": int(number(r"Complete requests: +(\d+)")),
            "failed": int(failed),
            "bytes": int(number(r"HTML transferred: +(\d+)")),
            "rate": number(r"Requests per second: +([\d.]+)"),
            "p99_ms": number(r"  99% +(\d+)"),
            "longest_ms": number(r" 100% +(\d+)"),
        }
