"""A client of HTTP/2 that sends any bytes, and knows what it gets."""

import select
import socket
import ssl
import struct
import time

import hpack

from notation import CODES, raw_frame

# How long a server may take.
TIMEOUT = 15.0


class Ended(Exception):
    """The connection has ended."""


class Connection:
    """A connection to `port` of this machine, with TLS if `is_tls`."""

    def __init__(self, port, is_tls):
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if is_tls:
            context = ssl._create_unverified_context()
            context.set_alpn_protocols(["h2"])
            self._socket = context.wrap_socket(self._socket, server_hostname="a.test")
            if self._socket.selected_alpn_protocol() != "h2":
                raise RuntimeError("the server does not speak HTTP/2")
        self._socket.setblocking(False)
        self._received = b""
        self._section = b""
        self._decoder = hpack.Decoder()
        # What it gets, in the words of the cases.
        self.got = []
        # By stream, the bytes of content; and the streams that have ended.
        self.content = {}
        self.ended = set()
        self.has_settings = False
        self.is_over = False

    def close(self):
        self._socket.close()

    def send(self, data):
        """Sends, and meanwhile receives. What a server does not want any more is dropped."""
        deadline = time.monotonic() + TIMEOUT
        view = memoryview(data)
        while view and not self.is_over:
            if time.monotonic() > deadline:
                raise TimeoutError("the server does not read")
            wanted = [self._socket]
            try:
                view = view[self._socket.send(view) :]
                continue
            except (ssl.SSLWantWriteError, BlockingIOError):
                select.select([], wanted, [], 0.05)
            except ssl.SSLWantReadError:
                select.select(wanted, [], [], 0.05)
            except OSError:
                # What it has sent before can still be read.
                self.wait(lambda: self.is_over)
                return
            self._receive()

    def wait(self, condition):
        """Receives until a condition holds, or the connection is over. Returns whether it holds."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            left = deadline - time.monotonic()
            if self.is_over or left <= 0:
                return False
            if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
                select.select([self._socket], [], [], min(left, 0.5))
            self._receive()
        return True

    def _receive(self):
        try:
            data = self._socket.recv(256 * 1024)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            return
        except OSError:
            data = b""
        self.is_over = not data
        self._received += data
        while len(self._received) >= 9:
            length = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + length:
                break
            frame, self._received = self._received[: 9 + length], self._received[9 + length :]
            self._act(frame[3], frame[4], int.from_bytes(frame[5:9], "big"), frame[9:])

    def _act(self, kind, flags, stream, payload):
        match kind:
            case 0:
                self.content[stream] = self.content.get(stream, 0) + len(payload)
            case 1 | 9:
                self._section += payload
                if flags & 4:
                    fields = dict(self._decoder.decode(self._section))
                    self._section = b""
                    self.got.append(f"answer {stream} {fields[':status']}")
            case 3:
                self.got.append(f"stream {stream} {code(payload)}")
                self.ended.add(stream)
            case 4 if not flags & 1:
                self.has_settings = True
            case 6 if flags & 1:
                self.got.append(f"pong {payload!r}"[:5] + repr(payload)[1:])
            case 7:
                self.got.append(f"connection {code(payload[4:])}")
        if kind in (0, 1) and flags & 1:
            self.ended.add(stream)

    def note_table_size(self, frame):
        """What it sends may allow a smaller table: then the next field section has to say so (RFC 7541 section 4.2)."""
        if frame[3:5] == b"\4\0" and self._decoder.max_allowed_table_size > 0:
            for at in range(9, len(frame) - 5, 6):
                number, size = struct.unpack(">HI", frame[at : at + 6])
                if number == 1 and size < self._decoder.header_table_size:
                    self._decoder.max_allowed_table_size = size

    def ping(self, data):
        """Whether the server answers it."""
        self.send(raw_frame(6, 0, 0, data))
        pong = f"pong {data!r}".replace(" b'", " '")
        found = self.wait(lambda: pong in self.got)
        if found:
            self.got.remove(pong)
        return found


def code(payload):
    number = int.from_bytes(payload[:4], "big")
    return CODES[number] if number < len(CODES) else hex(number)
