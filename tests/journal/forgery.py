"""Clients that try to write into the log what did not happen."""

import random

from client import Client
from record import COMBINED, is_of, unescape
from scene import individual

SEED, REQUESTS = 20261122, 600

# So many bytes at least are kept of what is long.
KEPT = {"HTTP_TARGET": 256, "HTTP_REFERER": 64, "HTTP_USER_AGENT": 64, "RANGE": 32}

PIECES = [
    b"\nMESSAGE=forged\nPRIORITY=0\n", b"\r\nHTTP_STATUS=200\r\n", b'" 200 5 "-" "-"\n127.0.0.1 - - [', b"\\", b"\\x0a", b"\\n",
    b'"', b"%0AMESSAGE=forged", b"\x1b[2J\x1b]0;forged\x07", b"\x00", b"\x7f", b"\t", b"\xe2\x80\xa8", b"\xc2\x85", b"\xff\xfe",
    b"\xf0\x9f\xa6\x89", b"\xc3", b"...", b"{\"a\":1}", b"${jndi:x}", b"<script>", b"'", b"TARGET=access_dropped", b"=", b" ",
    b"MESSAGE\n\x05\0\0\0\0\0\0\0forged\n",
]

# journald's own trusted fields begin with an underscore; no client may have one, nor these values.
FORGED = [b"MESSAGE=forged", b"PRIORITY=0", b"TARGET=forged", b"_PID=1"]


def value(dice):
    """Bytes that are up to no good, of all lengths."""
    kind = dice.randrange(10)
    if kind == 0:
        return dice.choice([b"a", b'"', b"\\", b"\xff", b"\xc3\xa4"]) * dice.choice([50, 255, 256, 257, 1000, 3000])
    if kind == 1:
        return bytes(dice.randrange(256) for _ in range(dice.randrange(1, 60)))
    if kind < 4:
        return bytes(dice.choice([*range(0x20, 0x7f), *range(0x80, 0x100)]) for _ in range(dice.randrange(1, 400)))
    return b"".join(dice.choice(PIECES) for _ in range(dice.randrange(1, 8)))


def harmless(data):
    """Without the bytes that end a request's part or the request."""
    return bytes(byte for byte in data if byte >= 0x20 and byte != 0x7f)


def forge(dice):
    """A request's target, referer, user agent and range, in bytes. Most of them stay within what HTTP allows."""
    parts = [value(dice) for _ in range(4)]
    if dice.random() < 0.8:
        parts = [harmless(part) for part in parts]
        parts[0] = bytes(byte for byte in parts[0] if 0x20 < byte < 0x7f)
    parts[0] = b"/" + parts[0]
    return parts


def clients_forge_nothing(check, scene):
    """What a client sends stands where it belongs, and nowhere else. What is refused is told as bytes, not as a request."""
    server = scene.start()
    dice = random.Random(SEED)
    sent = {}
    for number in range(REQUESTS):
        parts = forge(dice)
        # Each from an address of its own: a port may come again.
        address = f"127.1.{number // 200}.{number % 200 + 1}"
        target, referer, agent, ranges = parts
        fields = b"Host: a\r\nReferer: %s\r\nUser-Agent: %s\r\nRange: %s\r\n" % (referer, agent, ranges)
        data = b"GET %s HTTP/1.1\r\n%s\r\n" % (target, fields)
        with Client(server.address, address) as client:
            status, _ = client.send(data).answer()
            sent[address] = data, parts, status
    records = individual(scene.stopped())
    check.equal("records", len(records), REQUESTS)
    read = 0
    for one in records:
        data, parts, status = sent[one["CLIENT_ADDRESS"]]
        check.equal("status", one["HTTP_STATUS"], str(status))
        read += "HTTP_TARGET" in one
        for problem in truths(one, data, parts):
            check.expect(False, f"{problem} for {data}")
    check.note(f"{read} requests and {REQUESTS - read} refused")
    check.expect(read > REQUESTS / 2 and REQUESTS - read > REQUESTS / 20, f"{read} requests and {REQUESTS - read} refused")
    lines = scene.journald.lines("TARGET=access")
    check.equal("lines", len(lines), REQUESTS)
    check.expect(all(COMBINED.fullmatch(line.decode("ascii", "replace")) for line in lines), "each a line of the combined format")
    for text in FORGED:
        check.equal(f"with {text.decode()}", len(scene.journald.records(text.decode())), 0)


def truths(one, data, parts):
    """What a record says that was not sent."""
    target, referer, agent, ranges = parts
    if "HTTP_TARGET" not in one:
        line = data.partition(b"\n")[0].removesuffix(b"\r")
        quoted = COMBINED.fullmatch(one["MESSAGE"])["request"]
        if not is_of(quoted, line, KEPT["HTTP_TARGET"]) and not line.startswith(unescape(quoted)):
            yield f"the first line {quoted!r}"
        return
    for name, part in [("HTTP_TARGET", target), ("HTTP_REFERER", referer), ("HTTP_USER_AGENT", agent), ("RANGE", ranges)]:
        part = part.strip(b" \t")
        if name in one and not is_of(one[name], part, KEPT[name]):
            yield f"{name} {one[name]!r}"
        if part and name not in one:
            yield f"no {name}"


def lengths(check, scene):
    """What is long is cut, and says so; what is not is whole."""
    server = scene.start()
    dice = random.Random(SEED)
    whole = {}
    for length in [1, 100, 255, 256, 300, 500, 511, 512, 513, 1000, 2000, 4000, 8000]:
        text = "/" + "".join(dice.choice("abcdef") for _ in range(length - 1))
        with Client(server.address) as client:
            client.ask(text, user_agent=text[:7000], referer=text[:1000])
            whole[client.port] = text
    kept = 0
    for one in individual(scene.stopped()):
        text = whole.pop(int(one["CLIENT_PORT"]))
        for name, sent in [("HTTP_TARGET", text), ("HTTP_USER_AGENT", text[:7000]), ("HTTP_REFERER", text[:1000])]:
            check.expect(is_of(one[name], sent.encode(), KEPT[name]), f"{name} of {len(sent)} bytes: {one[name][-20:]}")
        kept = max(kept, len(one["HTTP_TARGET"]))
        check.expect(len(one["MESSAGE"]) < 10_000, "a bounded MESSAGE")
    check.equal("without a record", len(whole), 0)
    check.note(f"up to {kept} bytes of a target are kept")


CHECKS = {
    "clients forge nothing": clients_forge_nothing,
    "long values": lengths,
}
