"""Clients of HTTP/2 that mean harm, over TLS: frames that cost the server more than the client (RFC 9113 section 10.5)."""

import contextlib
import fcntl
import ssl
import struct
import termios
import time

import crowd

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION, PRIORITY_UPDATE = 0, 1, 2, 3, 4, 6, 7, 8, 9, 16
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4
PROTOCOL_ERROR, ENHANCE_YOUR_CALM = 0x1, 0xB
INITIAL_WINDOW_SIZE, LARGEST_WINDOW = 4, 0x7FFFFFFF
STREAMS = 128


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def setting(number, value):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", number, value))


def string(text):
    assert len(text) < 0x7F
    return bytes([len(text)]) + text


def get(stream, name="page.html"):
    """A GET: its method and scheme by their index, its authority and path as literals."""
    section = b"\x82\x87\x01" + string(b"localhost") + b"\x04" + string(f"/{name}".encode())
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, section)


def streams(count):
    return range(1, 2 * count, 2)


def connect(port, count, first=b"", **options):
    """Connections that have spoken the preface, their settings, an acknowledgement, and what comes first."""
    context = ssl._create_unverified_context()
    context.set_alpn_protocols(["h2"])
    connections = []
    for plain in crowd.connect(port, count, **options):
        connection = context.wrap_socket(plain, server_hostname="localhost")
        assert connection.selected_alpn_protocol() == "h2"
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0) + first)
        connections.append(connection)
    return connections


def frames(connection):
    """The frames that come, until the end."""
    buffered = b""
    with contextlib.suppress(OSError):
        while piece := connection.recv(1 << 16):
            buffered += piece
            while len(buffered) >= 9 and len(buffered) >= 9 + int.from_bytes(buffered[:3], "big"):
                end = 9 + int.from_bytes(buffered[:3], "big")
                yield buffered[3], buffered[4], int.from_bytes(buffered[5:9], "big"), buffered[9:end]
                buffered = buffered[end:]


def ends_with(connection):
    """The error code with which the server ends it; None without a GOAWAY."""
    codes = [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in frames(connection) if kind == GOAWAY]
    return codes[-1] if codes else None


def is_calmed(port, attack):
    """Whether the server ends a connection for an attack."""
    return is_ended(port, attack, ENHANCE_YOUR_CALM)


def is_ended(port, attack, code):
    """Whether the server ends a connection with that code."""
    [connection] = connect(port, 1)
    with connection:
        # What the server has said can be read even if it did not read all.
        with contextlib.suppress(OSError):
            connection.sendall(attack)
        return ends_with(connection) == code


def unread_bytes(connection):
    """What has arrived of a connection (tcp(7), SIOCINQ)."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.FIONREAD, bytes(4)))[0]


def is_calmed_unread(port, name):
    """The same for a client that has a large file sent over all its streams, reads nothing, and sends PINGs: fewer than are a flood."""
    wide = setting(INITIAL_WINDOW_SIZE, LARGEST_WINDOW) + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - 65_535))
    [connection] = connect(port, 1, wide + b"".join(get(stream, name) for stream in streams(STREAMS)), receive_buffer=4096)
    with connection:
        # Before, the server would send the answers, and what it sends makes up for PINGs.
        before = None
        while (arrived := unread_bytes(connection)) != before or not arrived:
            before = arrived
            time.sleep(0.1)
        with contextlib.suppress(OSError):
            connection.sendall(frame(PING, 0, 0, bytes(8)) * 990)
        return ends_with(connection) == ENHANCE_YOUR_CALM


# More than a client needs, and what costs it nothing else.
OFTEN = 1_200

RAPID_RESETS = b"".join(get(stream) + frame(RST_STREAM, 0, stream, b"\0\0\0\x08") for stream in streams(300))
# CVE-2025-8671: the server is made to reset them.
MADE_RESETS = b"".join(get(stream) + frame(WINDOW_UPDATE, 0, stream, bytes(4)) for stream in streams(300))
MALFORMED = b"".join(frame(HEADERS, END_STREAM | END_HEADERS, stream, b"\x82") for stream in streams(300))

# A request on a stream of the server's (RFC 9113 section 5.1.1).
EVEN_STREAM = get(2)

# Why the server ends connections, as its debug lines say.
TOO_MANY_RESETS = "the client has had too many streams reset"
TOO_MANY_FRAMES = "the client has sent too many frames that ask for nothing"
LONG_SECTION = "a field section is far too long"
NOT_READ = "the client does not read what it has asked for"
EVEN_NUMBER = "a client opens a stream with an even number"

FLOODS = {
    "PING": frame(PING, 0, 0, bytes(8)) * OFTEN,
    "SETTINGS": frame(SETTINGS, 0, 0) * OFTEN,
    "SETTINGS that change windows": b"".join(get(stream, "large") for stream in streams(100))
    + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0) * 100) * OFTEN,
    "PRIORITY": frame(PRIORITY, 0, 1, bytes(5)) * OFTEN,
    "PRIORITY_UPDATE": b"".join(frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream) + b"u=1") for stream in streams(OFTEN)),
    "WINDOW_UPDATE": frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01") * OFTEN,
    "unknown frames": frame(0xFA, 0, 0) * OFTEN,
    "empty DATA": frame(HEADERS, END_HEADERS, 1, get(1)[9:]) + frame(DATA, 0, 1) * OFTEN,
    "CONTINUATION": frame(HEADERS, END_STREAM, 1, b"\x82") + frame(CONTINUATION, 0, 1, b"\x82") * OFTEN,
    "long CONTINUATION": frame(HEADERS, END_STREAM, 1) + frame(CONTINUATION, 0, 1, bytes(16_384)) * 8,
    "empty HEADERS": frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x82") * OFTEN,
    "malformed requests": MALFORMED,
}

# The reasons that are another one than too many frames. Of PINGs that arrive together, the answers are too much.
REASONS = {"PING": {NOT_READ, TOO_MANY_FRAMES}, "CONTINUATION": {LONG_SECTION}, "long CONTINUATION": {LONG_SECTION},
           "malformed requests": {TOO_MANY_RESETS}}

# An entry of the dynamic table of 4 KiB, and 60,000 references to it.
ENTRY = b"\x40\x01a\x7f\xb1\x1e" + b"v" * 4016
BOMB = (frame(HEADERS, END_STREAM, 1, b"\x82\x87\x84" + ENTRY + b"\xbe" * 12_000)
        + b"".join(frame(CONTINUATION, 0 if number < 2 else END_HEADERS, 1, b"\xbe" * 16_000) for number in range(3)))

# A hundred small entries fill the dynamic table.
FILL = b"".join(b"\x40" + string(b"x-%03d" % number) + string(b"v" * 3) for number in range(96))


def filled(stream):
    """A GET that fills the dynamic table."""
    section = get(stream)[9:] + FILL
    return frame(HEADERS, END_STREAM | END_HEADERS, stream, section)
