#!/usr/bin/env python3
"""Raw requests and the answers that RFC 9110 and RFC 9112 allow a static origin server.

    raw.py HOST PORT --root DIR [--only TEXT] [--verbose]

DIR is the server's document root; the files that the cases ask for are written there first. Each case has a
connection of its own: it sends its bytes, then a probe for a file that nothing else asks for. What is answered before
the probe's own answer must be one of the case's outcomes, and so must be what happens to the connection:

    open    the probe is answered: the server has found the end of the request
    close   the server ends the connection, and the probe gets nothing
    any     either of the two

A request that is smuggled in a body or behind a malformed head shows as one answer too many. Every answer is also
checked by itself: framing, Date, Allow with 405, Content-Range with 206 and 416, no content with 304.
"""

import argparse
import concurrent.futures
import os
import re
import socket
import sys
import time
import urllib.parse

LETTERS = b"abcdefghijklmnopqrstuvwxyz"
PROBE_BODY = b"this is the probe"
PROBE = b"GET /probe.txt HTTP/1.1\r\nHost: x\r\n\r\n"
MODIFIED = 784111777
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
TIMEOUT = 3.0

CASES = []


# --- what a case expects -------------------------------------------------------------------------------------------

def seq(end, *statuses):
    """One outcome: the statuses of the answers in order, and what becomes of the connection."""
    return ([{s} if isinstance(s, int) else set(s) for s in statuses], end)


def refused(*statuses):
    """An error and the end; or the end alone, as nobody is owed an answer to what is no request."""
    return [seq("close", statuses or (400,)), seq("close")]


def answered(*statuses):
    return [seq("any", statuses or (200,))]


def keeps(*statuses):
    return [seq("open", statuses or (200,))]


def closes(*statuses):
    return [seq("close", statuses or (200,))]


def body_is_not_a_request(*statuses):
    """For a request with a body and another request behind it: both are answered, or one and the end."""
    first = statuses or (200, 400, 411, 413)
    return [seq("any", first, 200), seq("close", first), seq("close")]


def never_reads_on(*statuses):
    """For a body whose end cannot be known: at most one answer, then the end."""
    return [seq("close", statuses or (200, 400, 411, 413, 501)), seq("close")]


def case(group, name, raw, outcomes, check=None, heads=(), pieces=None, half_close=False):
    assert not any(c["name"] == f"{group}: {name}" for c in CASES), name
    CASES.append(dict(name=f"{group}: {name}", raw=raw, outcomes=outcomes, check=check, heads=heads,
                      pieces=pieces or [raw], half_close=half_close))


def b(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def req(*fields, method="GET", target="/a.txt", version="HTTP/1.1", host="Host: x", body=b""):
    lines = [b(method) + b" " + b(target) + b" " + b(version)]
    lines += [b(line) for line in ([host] if host is not None else []) + list(fields)]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


NEXT = req()
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


# --- what an answer must look like ---------------------------------------------------------------------------------

class Answer:
    def __init__(self, status, fields, body, interim):
        self.status, self.fields, self.body, self.interim = status, fields, body, interim

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        return ", ".join(self.all(name)) or None


class Malformed(Exception):
    pass


def body_is(expected):
    return lambda answers: None if answers[0].body == expected else f"body is {answers[0].body[:60]!r}"


def field_is(name, pattern):
    def check(answers):
        value = answers[0].get(name) or ""
        return None if re.fullmatch(pattern, value) else f"{name} is {value!r}"
    return check


def lacks_field(name):
    return lambda answers: f"{name} is there" if answers and answers[0].all(name) else None


def whole(answers):
    return body_is(LETTERS)(answers) if answers[0].status == 200 else None


def part(first, last):
    def check(answers):
        answer = answers[0]
        if answer.status != 206:
            return whole(answers)
        return body_is(LETTERS[first:last + 1])(answers) or field_is("content-range", f"bytes {first}-{last}/26")(answers)
    return check


def parts_of_letters(answers):
    """206 with several parts: each is what its Content-Range says; one part stands alone."""
    answer = answers[0]
    if answer.status != 206:
        return None
    found = re.fullmatch(r'multipart/byteranges; *boundary="?([^"]+)"?', answer.get("content-type") or "")
    if not found:
        return None if answer.all("content-range") else "206 is neither one part nor multipart/byteranges"
    boundary = b"--" + found[1].encode()
    sections = (b"\r\n" + answer.body).split(b"\r\n" + boundary)
    if len(sections) < 3 or sections[-1].strip() != b"--":
        return "the parts are not delimited"
    for section in sections[1:-1]:
        head, _, content = section.partition(b"\r\n\r\n")
        span = re.search(rb"(?i)\r\ncontent-range: *bytes (\d+)-(\d+)/26", head)
        if not span or content != LETTERS[int(span[1]):int(span[2]) + 1]:
            return f"part {section!r} is not what it says"
    if answer.all("content-range"):
        return "a multipart answer has a Content-Range of its own"
    return None


def small(answers):
    size = len(answers[0].body)
    return f"{size} bytes for a file of 26" if size > 4096 else None


def not_the_system(answers):
    return "a file outside of the root" if any(b"root:" in a.body for a in answers) else None


def no_interim(answers):
    return f"interim answers {answers[0].interim}" if answers and answers[0].interim else None


def local_location(answers):
    location = answers[0].get("location")
    if location is None:
        return None
    host = urllib.parse.urlsplit(urllib.parse.urljoin("http://x/a", location.replace("\\", "/")))
    return None if (host.scheme, host.netloc) == ("http", "x") else "Location leaves the site: " + location


def leads(base, to, is_needed=True):
    """Location, followed from `base` as RFC 3986 §5.2 has it, is `to`."""
    def check(answers):
        location = answers[0].get("location")
        if location is None and not is_needed:
            return None
        followed = urllib.parse.urljoin(base, location or "")
        return None if location and followed == to else f"Location {location!r} leads from {base} to {followed}"
    return check


def validators(answers):
    answer = answers[0]
    if answer.status == 304 and not answer.get("etag"):
        return "304 lacks the ETag that 200 has"
    return None


def inspect(answer):
    """What holds for every final answer."""
    if len(answer.all("date")) != 1:
        return f"{answer.status} has {len(answer.all('date'))} Date fields"
    if answer.status == 405 and not answer.all("allow"):
        return "405 lacks Allow"
    if answer.status in (301, 302, 307, 308) and not answer.all("location"):
        return f"{answer.status} lacks Location"
    if answer.status == 416 and answer.get("content-range") not in ("bytes */26", None):
        return f"416 has Content-Range {answer.get('content-range')}"
    return None


# --- the connection ------------------------------------------------------------------------------------------------

class Client:
    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=TIMEOUT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ended = False

    def send(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # The server has ended; what it said before is still to be read.

    def more(self, deadline):
        """Whether more has come; False at the end of the stream."""
        if self.ended:
            return False
        self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self.socket.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        self.ended = not data
        self.buffer += data
        return bool(data)

    def answer(self, is_head, deadline):
        """The next final answer, or None if the connection ended instead."""
        interim = []
        while True:
            while b"\r\n\r\n" not in self.buffer:
                if not self.more(deadline):
                    if self.buffer:
                        raise Malformed(f"the stream ends within a head: {self.buffer[:80]!r}")
                    return None
            head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            first, *lines = head.split(b"\r\n")
            line = re.fullmatch(rb"HTTP/1\.1 ([1-5]\d\d) [\t\x20-\x7e\x80-\xff]*", first)
            if not line:
                raise Malformed(f"status line {first[:80]!r}")
            status = int(line[1])
            fields = []
            for text in lines:
                field = re.fullmatch(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*", text)
                if not field:
                    raise Malformed(f"field line {text[:80]!r}")
                fields.append((field[1].decode().lower(), field[2].decode("latin-1")))
            answer = Answer(status, fields, b"", interim)
            if status >= 200:
                break
            interim.append(status)
        answer.body = self.body(answer, is_head, deadline)
        return answer

    def body(self, answer, is_head, deadline):
        lengths, codings = answer.all("content-length"), answer.all("transfer-encoding")
        if lengths and codings or len(lengths) > 1 or answer.status == 204 and (lengths or codings):
            raise Malformed(f"{answer.status} is framed as {answer.fields}")
        if is_head or answer.status in (204, 304):
            return b""
        if codings:
            return self.chunks(deadline)
        if lengths:
            return self.take(int(lengths[0]), deadline)
        while self.more(deadline):
            pass
        body, self.buffer = self.buffer, b""
        return body

    def take(self, size, deadline):
        while len(self.buffer) < size:
            if not self.more(deadline):
                raise Malformed("the stream ends within a body")
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def chunks(self, deadline):
        body = b""
        while True:
            while b"\r\n" not in self.buffer:
                if not self.more(deadline):
                    raise Malformed("the stream ends within a chunk size")
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            size = int(line, 16)
            body += self.take(size, deadline)
            if self.take(2, deadline) != b"\r\n":
                raise Malformed("a chunk does not end with CR LF")
            if size == 0:
                return body


def run(case, address, etag):
    """The reason why the case fails, or None; and what was seen."""
    pieces = [piece.replace(b"@ETAG@", etag).replace(b"@CUT@", etag[:-2] + b'"') for piece in case["pieces"]]
    client = Client(address)
    answers, end = [], None
    deadline = time.monotonic() + TIMEOUT
    try:
        for index, piece in enumerate(pieces):
            if index:
                # Not a wait for an outcome: it only makes it likely that the server reads the pieces one by one.
                time.sleep(0.01)
            client.send(piece)
        if case["half_close"]:
            client.socket.shutdown(socket.SHUT_WR)
        # The probe is sent when every answer that each outcome promises is there, so that it never mends the case.
        least = min(len(statuses) for statuses, _ in case["outcomes"] if statuses) if any(
            statuses for statuses, _ in case["outcomes"]) else 0
        is_probed = case["half_close"]
        while end is None:
            if not is_probed and len(answers) >= least:
                client.send(PROBE)
                is_probed = True
            answer = client.answer(len(answers) in case["heads"], deadline)
            if answer is None:
                end = "close"
            elif answer.body == PROBE_BODY:
                end = "open"
            else:
                answers.append(answer)
    except TimeoutError:
        end = "neither an answer nor the end"
    except Malformed as error:
        return f"malformed answer: {error}", "malformed"
    finally:
        client.socket.close()
    seen = f"{[a.status for a in answers]} {end}"
    if not any(len(answers) == len(statuses) and end in (("open", "close") if wanted == "any" else (wanted,))
               and all(a.status in s for a, s in zip(answers, statuses)) for statuses, wanted in case["outcomes"]):
        return "not an outcome that is allowed", seen
    for answer in answers:
        if why := inspect(answer):
            return why, seen
    if case["check"] and answers and (why := case["check"](answers)):
        return why, seen
    return None, seen


# --- the cases -----------------------------------------------------------------------------------------------------

def line_ends():
    g = "line end"
    case(g, "bare CR between fields", b"GET /a.txt HTTP/1.1\r\nHost: x\rA: b\r\n\r\n", refused())
    case(g, "bare CR after the request line", b"GET /a.txt HTTP/1.1\rHost: x\r\n\r\n", refused(400, 505))
    case(g, "bare CR in a value", req("A: b\rc"), refused())
    case(g, "CR CR LF", b"GET /a.txt HTTP/1.1\r\nHost: x\r\r\n\r\n", refused())
    case(g, "bare CR as empty line", b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\r" + SMUGGLED, refused())
    case(g, "bare CR in a field name", req("A\rB: c"), refused())
    case(g, "bare CR in the target", req(target="/a.txt\r"), refused())
    # RFC 9112 §2.2 lets a lone LF end a line.
    case(g, "lone LF everywhere", b"GET /a.txt HTTP/1.1\nHost: x\n\n", keeps() + refused())
    case(g, "lone LF after the request line", b"GET /a.txt HTTP/1.1\nHost: x\r\n\r\n", keeps() + refused())
    case(g, "lone LF as empty line", b"GET /a.txt HTTP/1.1\r\nHost: x\r\n\n", keeps() + refused())
    case(g, "LF CR", b"GET /a.txt HTTP/1.1\n\rHost: x\n\r\n\r", refused())
    case(g, "lone LF before a field without a colon", req("A: b\nc"), refused())
    case(g, "two lone LF end the head", b"GET /a.txt HTTP/1.1\r\nHost: x\r\nA: b\n\n" + NEXT,
         [seq("open", 200, 200)] + refused())
    case(g, "obs-fold with a space", req("A: b\r\n c"), refused())
    case(g, "obs-fold with a tab", req("A: b\r\n\tc"), refused())
    case(g, "obs-fold of Host", b"GET /a.txt HTTP/1.1\r\nHost:\r\n x\r\n\r\n", refused())
    case(g, "obs-fold hides Content-Length", req("A: b\r\n Content-Length: 5", body=b"hello"), refused())
    case(g, "obs-fold of Transfer-Encoding", req("Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n"), refused(400, 501))
    case(g, "white space before the first field", b"GET /a.txt HTTP/1.1\r\n Host: x\r\n\r\n", refused())
    case(g, "fold before the first field, then Host", b"GET /a.txt HTTP/1.1\r\n \r\nHost: x\r\n\r\n", refused())
    case(g, "vertical tab and form feed as white space", req("A:\x0b\x0cb"), refused())
    case(g, "one empty line first", b"\r\n" + req(), keeps())
    case(g, "four empty lines first", b"\r\n" * 4 + req(), keeps() + refused())
    case(g, "an empty LF line first", b"\n" + req(), keeps() + refused())
    case(g, "empty line between two requests", req() + b"\r\n" + NEXT, [seq("open", 200, 200)])
    case(g, "10,000 empty lines first", b"\r\n" * 10000 + req(), keeps() + refused(400, 414, 431))
    case(g, "a lone CR first", b"\r" + req(), refused() + keeps())


def field_names():
    g = "field"
    for name, line in [("space before the colon", "A : b"), ("tab before the colon", "A\t: b"), ("empty name", ": b"),
                       ("no colon", "Abc"), ("space in the name", "A B: c"), ("paren in the name", "A(: b"),
                       ("slash in the name", "A/B: c"), ("quotes in the name", "\"A\": b"), ("at in the name", "A@: b"),
                       ("bracket in the name", "A[]: b"), ("NUL in the name", "A\0B: c"), ("DEL in the name", "A\x7f: b"),
                       ("8-bit name", "A\x80: b"), ("comma in the name", "A,B: c"), ("equals in the name", "A=B: c"),
                       ("semicolon in the name", "A;B: c"), ("question mark in the name", "A?: b"),
                       ("backslash in the name", "A\\: b"), ("brace in the name", "{A}: b"), ("angle in the name", "<A>: b"),
                       ("control byte in the name", "A\x01: b"), ("only a space", " ")]:
        case(g, name, req(line), refused())
    for name, line in [("NUL in a value", "A: b\0c"), ("NUL alone as a value", "A: \0"), ("0x01 in a value", "A: b\x01c"),
                       ("ESC in a value", "A: \x1b[0m"), ("DEL in a value", "A: b\x7fc"), ("0x1f at the end", "A: b\x1f")]:
        case(g, name, req(line), refused())
    for name, line in [("tab in a value", "A: b\tc"), ("8-bit value", "A: \xff\xfe"), ("no value", "A:"),
                       ("spaces for a value", "A:   \t "), ("no space after the colon", "A:b"), ("all tchars", "!#$%&'*+-.^_`|~09aZ: b"),
                       ("colons in a value", "A: b:c:d"), ("white space behind a value", "A: b \t"),
                       ("underscore", "A_B: c"), ("name of 200 letters", "A" * 200 + ": b")]:
        # 9110 §5.5 and §5.6.2 allow them.
        case(g, name, req(line), keeps())
    case(g, "50 fields", req(*["A: b"] * 50), keeps())
    case(g, "1,000 fields", req(*["A: b"] * 1000), keeps() + refused(400, 431))
    case(g, "20,000 fields", req(*["A: b"] * 20000), refused(400, 431))
    case(g, "4,000 bytes in a value", req("A: " + "b" * 4000), keeps())
    case(g, "200,000 bytes in a value", req("A: " + "b" * 200000), refused(400, 431))
    case(g, "a name of 100,000 bytes", req("A" * 100000 + ": b"), refused(400, 431))


def host():
    g = "Host"
    case(g, "missing in 1.1", req(host=None), refused())
    case(g, "missing in 1.0", req(host=None, version="HTTP/1.0"), closes())
    case(g, "twice the same", req("Host: x"), refused())
    case(g, "twice, different", req("Host: y"), refused())
    case(g, "twice in 1.0", req("Host: y", version="HTTP/1.0"), refused())
    case(g, "missing in absolute form", req(host=None, target="http://x/a.txt"), refused())
    # An http URI has a host (RFC 9110 §4.2.1).
    case(g, "empty", req(host="Host:"), refused())
    case(g, "empty, with white space", req(host="Host: \t "), refused())
    case(g, "empty in HTTP/1.0", req(host="Host:", version="HTTP/1.0"), refused())
    for name, value in [("with a space", "a b"), ("list", "a, b"), ("path", "a/b"), ("userinfo", "u@a"), ("password", "u:p@a"),
                        ("port no number", "a:b"), ("port signed", "a:-1"), ("two ports", "a:80:80"), ("open bracket", "[::1"),
                        ("text behind the bracket", "[::1]x"), ("empty brackets", "[]"), ("bare IPv6", "::1"), ("a URI", "http://a"),
                        ("fragment", "a#b"), ("query", "a?b"), ("backslash", "a\\b"), ("broken escape", "a%zz"), ("markup", "<a>"),
                        ("quote", "a\"b"), ("8-bit", "a\xe9"), ("caret", "a^b"), ("pipe", "a|b"), ("brace", "a{b}"),
                        ("only a port", ":80") , ("inner tab", "a\tb"), ("bracket name", "[a]"), ("at alone", "@")]:
        case(g, "malformed: " + name, req(host="Host: " + value), refused())
    for name, value in [("name and port", "a.example:8080"), ("IPv4", "127.0.0.1"), ("IPv6", "[::1]"), ("IPv6 and port", "[::1]:80"),
                        ("empty port", "a:"), ("underscore", "a_b"), ("upper case", "A.EXAMPLE"), ("dot at the end", "a.example."),
                        ("white space around", "  a \t")]:
        case(g, "good: " + name, req(host="Host: " + value), keeps())
    case(g, "space before the colon", req(host="Host : x"), refused())
    case(g, "lower-case name", req(host="host: x"), keeps())
    case(g, "a port beyond 65535", req(host="Host: a:99999"), keeps() + refused())


def content_length():
    g = "Content-Length"
    for name, value in [("plus", "+5"), ("minus", "-1"), ("hexadecimal", "0x5"), ("letters", "five"), ("fraction", "5.0"),
                        ("exponent", "1e1"), ("inner space", "5 5"), ("two values", "5, 6"), ("trailing comma", "5,"),
                        ("leading comma", ",5"), ("semicolon", "5;"), ("quoted", "\"5\""), ("empty", ""), ("vertical tab", "\x0b5"),
                        ("8-bit digit", "\xb2"), ("NUL", "5\0"), ("underscore", "1_0"), ("minus zero", "-0")]:
        case(g, name, req("Content-Length: " + value, body=b"hello" + SMUGGLED), refused())
    case(g, "list of the same", req("Content-Length: 5, 5", body=b"hello" + NEXT), refused() + body_is_not_a_request())
    case(g, "repeated, the same", req("Content-Length: 5", "Content-Length: 5", body=b"hello" + NEXT),
         refused() + body_is_not_a_request())
    case(g, "repeated, different", req("Content-Length: 5", "Content-Length: 6", body=b"hello" + NEXT), refused())
    case(g, "repeated, first zero", req("Content-Length: 0", f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED), refused())
    case(g, "repeated, case of the name", req("content-length: 0", "CONTENT-LENGTH: 5", body=b"hello" + NEXT), refused())
    case(g, "leading zeros", req("Content-Length: 0005", body=b"hello" + NEXT), refused() + body_is_not_a_request())
    case(g, "white space around", req("Content-Length: \t5 ", body=b"hello" + NEXT), body_is_not_a_request())
    case(g, "2 to the 64 and five", req("Content-Length: 18446744073709551621", body=b"hello" + SMUGGLED), never_reads_on())
    case(g, "2 to the 63", req("Content-Length: 9223372036854775808", body=b"hello" + SMUGGLED), never_reads_on())
    case(g, "2 to the 32 and five", req("Content-Length: 4294967301", body=b"hello" + SMUGGLED),
         never_reads_on() + [seq("neither an answer nor the end", (200, 413))])
    case(g, "100 digits", req("Content-Length: " + "9" * 100, body=SMUGGLED), never_reads_on())
    case(g, "space before the colon", req("Content-Length : 5", body=b"hello" + NEXT), refused())
    case(g, "zero", req("Content-Length: 0", body=NEXT), [seq("open", 200, 200)])
    case(g, "GET with a body", req("Content-Length: 5", body=b"hello" + NEXT), body_is_not_a_request())
    case(g, "the body is a request", req(f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED + NEXT), body_is_not_a_request())
    case(g, "HEAD with a body", req(f"Content-Length: {len(SMUGGLED)}", method="HEAD", body=SMUGGLED + NEXT),
         body_is_not_a_request(), heads=(0,))
    case(g, "404 with a body", req(f"Content-Length: {len(SMUGGLED)}", target="/none", body=SMUGGLED + NEXT),
         body_is_not_a_request(404))
    case(g, "HTTP/1.0 with a body", req(f"Content-Length: {len(SMUGGLED)}", version="HTTP/1.0", body=SMUGGLED), closes(200, 400, 411, 413))
    case(g, "304 with a body", req(f"Content-Length: {len(SMUGGLED)}", "If-None-Match: *", body=SMUGGLED + NEXT),
         body_is_not_a_request(304, 200, 400, 413))
    case(g, "a body in two pieces", b"", body_is_not_a_request(),
         pieces=[req("Content-Length: 40"), SMUGGLED[:20], (SMUGGLED + b"padding padding")[20:40], NEXT])
    case(g, "Content-Length in Connection", req(f"Content-Length: {len(SMUGGLED)}", "Connection: Content-Length", body=SMUGGLED + NEXT),
         body_is_not_a_request())
    case(g, "GET with a body of 100,000", req("Content-Length: 100000", body=b"x" * 100000 + NEXT), body_is_not_a_request())


CHUNKED = b"5\r\nhello\r\n0\r\n\r\n"


def transfer_encoding():
    g = "Transfer-Encoding"
    case(g, "chunked", req("Transfer-Encoding: chunked", body=CHUNKED + NEXT), body_is_not_a_request())
    case(g, "Chunked", req("Transfer-Encoding: Chunked", body=CHUNKED + NEXT), body_is_not_a_request() + refused(400, 501))
    case(g, "white space around", req("Transfer-Encoding: \tchunked ", body=CHUNKED + NEXT), body_is_not_a_request())
    case(g, "name in lower case", req("transfer-encoding: chunked", body=CHUNKED + NEXT), body_is_not_a_request())
    for name, value in [("chunked, identity", "chunked, identity"), ("identity", "identity"), ("xchunked", "xchunked"),
                        ("chunkedx", "chunkedx"), ("gzip", "gzip"), ("chunked, chunked", "chunked, chunked"),
                        ("chunked, gzip", "chunked, gzip"), ("vertical tab", "\x0bchunked"), ("form feed behind", "chunked\x0c"),
                        ("quoted", "\"chunked\""), ("parameter", "chunked;a=b"), ("NUL", "chunked\0"), ("8-bit", "chunked\xff"),
                        ("empty", ""), ("semicolon", "chunked;"), ("two words", "x chunked"), ("single quotes", "'chunked'"),
                        ("gzip, chunked, chunked", "gzip, chunked, chunked"), ("chunked, gzip, chunked", "chunked, gzip, chunked"),
                        ("gzip, chunked with a parameter", "gzip, chunked;a=b"), ("gzip, quoted", "gzip, \"chunked\""),
                        ("no coding, chunked", "gzip;, chunked"), ("chunked in a quoted value", "gzip;a=\"b, chunked\"")]:
        # RFC 9112 §6.3, 4: 400 where chunked is not the last, which a coding that is not known (501, §6.1) does not change.
        case(g, "not chunked: " + name, req("Transfer-Encoding: " + value, body=CHUNKED + SMUGGLED), refused())
    for name, value in [("gzip", "gzip, chunked"), ("identity", "identity, chunked"), ("no space", "gzip,Chunked"),
                        ("two", "deflate, gzip, chunked"), ("a parameter", "gzip;level=\"9, x\" , chunked")]:
        case(g, "unknown, then chunked: " + name, req("Transfer-Encoding: " + value, body=CHUNKED + SMUGGLED), refused(501))
    case(g, "unknown in HTTP/1.0", req("Transfer-Encoding: gzip, chunked", version="HTTP/1.0", body=CHUNKED + SMUGGLED), refused())
    case(g, "unknown with Content-Length", req("Transfer-Encoding: gzip, chunked", "Content-Length: 15", body=CHUNKED + SMUGGLED), refused())
    case(g, "unknown behind Content-Length", req("Content-Length: 15", "Transfer-Encoding: gzip, chunked", body=CHUNKED + SMUGGLED), refused())
    for name, value in [("comma behind", "chunked,"), ("comma before", ", chunked")]:
        # Empty members are to be ignored (RFC 9110 §5.6.1.2), so these two are chunked to a lenient reader.
        case(g, name, req("Transfer-Encoding: " + value, body=CHUNKED + NEXT), body_is_not_a_request() + refused(400, 501))
    case(g, "with Content-Length first", req("Content-Length: 5", "Transfer-Encoding: chunked", body=CHUNKED + SMUGGLED), never_reads_on(200, 400))
    case(g, "with Content-Length behind", req("Transfer-Encoding: chunked", "Content-Length: 15", body=CHUNKED + SMUGGLED), never_reads_on(200, 400))
    case(g, "with Content-Length: 0", req("Transfer-Encoding: chunked", "Content-Length: 0", body=CHUNKED + SMUGGLED), never_reads_on(200, 400))
    case(g, "identity with Content-Length", req("Transfer-Encoding: identity", "Content-Length: 5", body=b"hello" + SMUGGLED),
         never_reads_on(400, 501))
    case(g, "two lines chunked", req("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKED + SMUGGLED), refused())
    case(g, "lines chunked and identity", req("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=CHUNKED + SMUGGLED),
         refused())
    case(g, "lines x and chunked", req("Transfer-Encoding: x", "Transfer-Encoding: chunked", body=CHUNKED + SMUGGLED), refused(501))
    case(g, "in HTTP/1.0", req("Transfer-Encoding: chunked", "Connection: keep-alive", version="HTTP/1.0", body=CHUNKED + SMUGGLED),
         never_reads_on(200, 400, 501))
    case(g, "space before the colon", req("Transfer-Encoding : chunked", body=CHUNKED + SMUGGLED), refused(400, 501))
    case(g, "NUL in the name", req("Transfer-Encoding\0: chunked", body=CHUNKED + SMUGGLED), refused(400, 501))
    case(g, "TE: chunked is another field", req("TE: trailers, chunked;q=0.5", body=NEXT), [seq("open", 200, 200)])


def chunked():
    g = "chunked"
    te = "Transfer-Encoding: chunked"

    def good(name, body):
        case(g, name, req(te, body=body + NEXT), body_is_not_a_request())

    def lenient(name, body):
        case(g, name, req(te, body=body + NEXT), body_is_not_a_request() + never_reads_on())

    def bad(name, body):
        case(g, name, req(te, body=body + SMUGGLED), never_reads_on())

    good("no content", b"0\r\n\r\n")
    good("upper-case size", b"A\r\n0123456789\r\n0\r\n\r\n")
    good("lower-case size", b"a\r\n0123456789\r\n0\r\n\r\n")
    good("leading zeros", b"0005\r\nhello\r\n000\r\n\r\n")
    good("extension", b"5;a=b\r\nhello\r\n0;c\r\n\r\n")
    good("quoted extension", b'5;a="b;c"\r\nhello\r\n0\r\n\r\n')
    good("trailer", b"5\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n")
    good("Content-Length in the trailer", b"0\r\nContent-Length: 50\r\n\r\n")
    good("Host in the trailer", b"0\r\nHost: y\r\n\r\n")
    good("the content is a request", b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED))
    good("two chunks", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")
    # Bad white space is to be accepted (RFC 9110 §5.6.3, RFC 9112 §7.1.1).
    good("white space before an extension", b"5 ;a=b\r\nhello\r\n0\r\n\r\n")
    good("white space within an extension", b"5; a\t=\tb ;c\r\nhello\r\n0\t;d\r\n\r\n")
    good("escapes in a quoted extension", b'5;a="\\"\\\\;\xff"\r\nhello\r\n0\r\n\r\n')
    lenient("extension of 20,000 bytes", b"5;" + b"a" * 20000 + b"\r\nhello\r\n0\r\n\r\n")
    lenient("30 zeros before the size", b"0" * 30 + b"5\r\nhello\r\n0\r\n\r\n")
    for name, extension in [("empty", b""), ("a bracket", b"bad[=x"), ("no name", b"=x"), ("no value", b"a="), ("two semicolons", b";a"),
                            ("a semicolon at the end", b"a;"), ("two words", b"a b"), ("two values", b"a=b=c"), ("an open quote", b'a="b'),
                            ("text behind a quote", b'a="b"c'), ("white space at the end", b"a "), ("an 8-bit name", b"\xe9")]:
        # One answer, as the end of such a body differs between readers.
        case(g, "extension: " + name, req(te, body=b"5;" + extension + b"\r\nhello\r\n0\r\n\r\n" + SMUGGLED), refused())
        case(g, "last extension: " + name, req(te, body=b"5\r\nhello\r\n0;" + extension + b"\r\n\r\n" + SMUGGLED), refused())
    bad("size no number", b"xyz\r\nhello\r\n0\r\n\r\n")
    bad("size empty", b"\r\nhello\r\n0\r\n\r\n")
    bad("size signed", b"+5\r\nhello\r\n0\r\n\r\n")
    bad("size negative", b"-5\r\nhello\r\n0\r\n\r\n")
    bad("size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n")
    bad("size of 17 digits", b"10000000000000005\r\nhello\r\n0\r\n\r\n")
    bad("size of 2 to the 64 less one", b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n")
    bad("size with an underscore", b"0_5\r\nhello\r\n0\r\n\r\n")
    bad("size quoted", b'"5"\r\nhello\r\n0\r\n\r\n')
    bad("size decimal point", b"5.0\r\nhello\r\n0\r\n\r\n")
    bad("nothing between content and size", b"5\r\nhello0\r\n\r\n")
    bad("content longer than its size", b"5\r\nhello!\r\n0\r\n\r\n")
    bad("content shorter than its size", b"6\r\nhello\r\n0\r\n\r\n")
    bad("bare CR behind the size", b"5\rhello\r\n0\r\n\r\n")
    bad("bare CR in an extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n")
    bad("NUL behind the size", b"5\0\r\nhello\r\n0\r\n\r\n")
    bad("trailer without a colon", b"0\r\nabc\r\n\r\n")
    bad("trailer with a space before the colon", b"0\r\nA : b\r\n\r\n")
    bad("trailer folded", b"0\r\nA: b\r\n c\r\n\r\n")
    bad("trailer with a NUL", b"0\r\nA: \0\r\n\r\n")
    bad("trailer with an empty name", b"0\r\n: b\r\n\r\n")
    # What ends a line differs between readers: the end of the body is then not the same for all.
    bad("lone LF behind the size", b"5\nhello\r\n0\r\n\r\n")
    bad("lone LF in an extension", b"5;a\nhello\r\n0\r\n\r\n")
    bad("lone LF behind the content", b"5\r\nhello\n0\r\n\r\n")
    bad("two bytes for the line end behind the content", b"5\r\nhelloXX0\r\n\r\n")
    bad("lone LF at the end", b"5\r\nhello\r\n0\r\n\n")
    bad("lone LF behind the last size", b"5\r\nhello\r\n0\n\r\n")
    case(g, "in small pieces", b"", body_is_not_a_request(),
         pieces=[req(te), b"5", b"\r", b"\nhel", b"lo\r", b"\n0\r\n", b"\r", b"\n", NEXT])
    case(g, "100,000 bytes of one-byte chunks", req(te, body=b"1\r\nx\r\n" * 16000 + b"0\r\n\r\n" + NEXT), body_is_not_a_request())
    case(g, "HEAD", req(te, method="HEAD", body=CHUNKED + NEXT), body_is_not_a_request(), heads=(0,))
    case(g, "POST", req(te, method="POST", body=CHUNKED + NEXT), body_is_not_a_request(405, 411, 413))


def expect():
    g = "Expect"
    e = "Expect: 100-continue"
    # The body is never sent: an answer without 100 and then the next request would take the probe for the body.
    case(g, "100-continue, body withheld", req(e, "Content-Length: 500"),
         closes(200, 400, 413, 417) + [seq("neither an answer nor the end", 200)])
    case(g, "100-continue, body sent", req(e, f"Content-Length: {len(SMUGGLED)}", body=SMUGGLED + NEXT), body_is_not_a_request(200, 417))
    case(g, "100-continue, chunked", req(e, "Transfer-Encoding: chunked", body=CHUNKED + NEXT), body_is_not_a_request(200, 417))
    case(g, "100-continue without a body", req(e), answered(200, 417))
    case(g, "100-Continue in another case", req("Expect: 100-Continue"), answered(200, 417))
    case(g, "in HTTP/1.0 is ignored", req(e, "Content-Length: 5", version="HTTP/1.0", body=b"hello"), closes(200, 400, 413), check=no_interim)
    case(g, "another expectation", req("Expect: 200-ok"), answered(200, 417))
    case(g, "POST", req(e, "Content-Length: 500", method="POST"), [seq("any", (405, 413, 417)), seq("neither an answer nor the end", 405)],
         check=no_interim)


def methods():
    g = "method"
    case(g, "GET", req(), keeps(), check=body_is(LETTERS))
    case(g, "HEAD", req(method="HEAD"), keeps(), heads=(0,), check=field_is("content-length", "26"))
    case(g, "HEAD of nothing", req(method="HEAD", target="/none"), keeps(404), heads=(0,))
    case(g, "HEAD of a directory without its slash", req(method="HEAD", target="/dir"), keeps(301, 308), heads=(0,))
    case(g, "HEAD refused has no content", req(method="HEAD", host=None), refused(), heads=(0,))
    case(g, "HEAD in HTTP/1.0", req(method="HEAD", version="HTTP/1.0"), closes(), heads=(0,))
    for method in ["DELETE", "PATCH", "PUT", "POST"]:
        case(g, method, req("Content-Length: 0", method=method), answered(405, 501, 403))
    case(g, "POST with a body", req("Content-Length: 5", method="POST", body=b"hello" + NEXT), body_is_not_a_request(405, 411, 413))
    case(g, "POST whose body is a request", req(f"Content-Length: {len(SMUGGLED)}", method="POST", body=SMUGGLED + NEXT),
         body_is_not_a_request(405, 411, 413))
    case(g, "TRACE", req("Cookie: secret", method="TRACE"), answered(405, 501, 403),
         check=lambda answers: "the request is echoed" if b"secret" in answers[0].body else None)
    case(g, "CONNECT", req(method="CONNECT", target="x:80"), answered(400, 403, 404, 405, 501))
    case(g, "CONNECT of a path", req(method="CONNECT"), answered(400, 403, 404, 405, 501))
    case(g, "OPTIONS *", req(method="OPTIONS", target="*"), answered(200, 204, 405, 501),
         check=lambda answers: None if answers[0].status != 204 or answers[0].get("allow") else "204 lacks Allow")
    case(g, "OPTIONS of a path", req(method="OPTIONS"), answered(200, 204, 405, 501),
         check=lambda answers: None if answers[0].status != 204 or answers[0].get("allow") else "204 lacks Allow")
    case(g, "PROPFIND", req(method="PROPFIND"), answered(405, 501))
    case(g, "a made-up one", req(method="FOO"), answered(405, 501, 400))
    case(g, "lower case", req(method="get"), answered(405, 501, 400))
    case(g, "mixed case", req(method="Get"), answered(405, 501, 400))
    case(g, "beginning of GET", req(method="GE"), answered(405, 501, 400))
    case(g, "more than GET", req(method="GETX"), answered(405, 501, 400))
    # RFC 9112 §3: a method that is too long is 501, and a target that is too long 414.
    case(g, "1,000 letters", req(method="A" * 1000), answered(501))
    case(g, "10,000 letters", req(method="A" * 10000), refused(501))
    case(g, "100,000 letters", req(method="A" * 100000), refused(501))
    case(g, "100,000 letters without an end", b"A" * 100000, refused(501), half_close=True)
    case(g, "a long target behind it", req(method="A" * 5000, target="/" + "a" * 5000), answered(501))
    for name, method in [("NUL", "G\0T"), ("colon", "GET:"), ("paren", "G(T"), ("8-bit", "G\xc9T"), ("control", "\x01GET"), ("quote", "\"GET\"")]:
        case(g, "illegal: " + name, req(method=method), refused(400, 501))
    case(g, "empty", b" /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", refused())


def request_line():
    g = "request line"
    case(g, "two spaces before the target", b"GET  /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", keeps() + refused())
    case(g, "two spaces before the version", b"GET /a.txt  HTTP/1.1\r\nHost: x\r\n\r\n", keeps() + refused())
    case(g, "tabs for spaces", b"GET\t/a.txt\tHTTP/1.1\r\nHost: x\r\n\r\n", keeps() + refused())
    case(g, "vertical tab for space", b"GET\x0b/a.txt HTTP/1.1\r\nHost: x\r\n\r\n", keeps() + refused())
    case(g, "space at the end", b"GET /a.txt HTTP/1.1 \r\nHost: x\r\n\r\n", keeps() + refused())
    case(g, "space at the beginning", b" GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n", keeps() + refused())
    case(g, "a fourth word", b"GET /a.txt HTTP/1.1 x\r\nHost: x\r\n\r\n", refused(400, 505))
    case(g, "space in the target", b"GET /a .txt HTTP/1.1\r\nHost: x\r\n\r\n", refused(400, 505))
    case(g, "no target", b"GET HTTP/1.1\r\nHost: x\r\n\r\n", refused())
    case(g, "no version", b"GET /a.txt\r\nHost: x\r\n\r\n", refused(400, 505))
    case(g, "method alone", b"GET\r\n\r\n", refused())
    case(g, "HTTP/0.9", b"GET /a.txt\r\n", refused(400, 505) , half_close=True)
    case(g, "a response", b"HTTP/1.1 200 OK\r\nHost: x\r\n\r\n", refused(400, 501, 505))
    case(g, "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40) + b"\r\n\r\n", refused())
    case(g, "zeros", bytes(64) + b"\r\n\r\n", refused())
    case(g, "the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", refused(400, 405, 501, 505))
    case(g, "8,000 bytes", req(target="/a.txt?" + "x" * 7978), keeps())
    case(g, "100,000 bytes", req(target="/a.txt?" + "x" * 100000), refused(400, 414, 431))
    case(g, "a head cut short", b"GET /a.txt HTTP/1.1\r\nHost: x\r\n", refused(400, 408), half_close=True)
    case(g, "the end after a whole request", req(), closes(), half_close=True)
    case(g, "nothing at all", b"", [seq("close"), seq("close", (400, 408))], half_close=True)
    case(g, "byte by byte", b"", keeps(), pieces=[bytes([byte]) for byte in req()], check=body_is(LETTERS))
    case(g, "CR and LF apart", b"", keeps(), pieces=[b"GET /a.txt HTTP/1.1\r", b"\nHost: x\r", b"\n\r", b"\n"])


def versions():
    g = "version"
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9", "HTTP/9.9"]:
        case(g, version, req(version=version), refused(400, 505))
    # RFC 9110 §2.5: a higher minor version is answered as the highest that is known.
    case(g, "HTTP/1.2", req(version="HTTP/1.2"), keeps())
    for version in ["HTTP/1.10", "HTTP/1.01", "HTTP/01.1", "http/1.1", "Http/1.1", "HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP1.1",
                    "HTTP/1,1", "HTTP-1.1", "HTTPS/1.1", "HTTP/1.1x", "HTTP/+1.1", "HTTP/-1.1", "HTTP/1.x", "XTTP/1.1", "HTTP/1.1\0",
                    "HTTP/", "/1.1", "HTTP//1.1", "HTTP/1.1.1", "HTTP/ 1.1", "HTTP/\xb9.1"]:
        case(g, f"malformed {version.encode('latin-1')!r}"[0:40], req(version=version), refused(400, 505))


def targets():
    g = "target"
    case(g, "absolute form", req(target="http://x/a.txt"), keeps(), check=body_is(LETTERS))
    case(g, "absolute form, upper case", req(target="HTTP://X/a.txt"), keeps() + refused())
    case(g, "absolute form without a path", req(target="http://x"), keeps())
    case(g, "absolute form with a port", req(target="http://x:80/a.txt"), keeps())
    case(g, "absolute form, other Host", req(target="http://y/a.txt"), keeps(200, 400, 421) + refused(400, 421))
    case(g, "absolute form, query and no path", req(target="http://x?q"), keeps())
    case(g, "absolute form in HTTP/1.0", req(target="http://x/a.txt", version="HTTP/1.0", host=None), closes())
    for name, target in [("empty host", "http:///a.txt"), ("port no number", "http://x:y/a.txt"), ("open bracket", "http://[::1/a.txt"),
                         ("userinfo", "http://u:p@x/a.txt"), ("broken escape in the host", "http://a%zz/a.txt"),
                         ("space escape in the port", "http://x:%20/a.txt")]:
        case(g, "absolute form, " + name, req(target=target), refused() + answered(400, 421) + (keeps() if name == "userinfo" else []))
    case(g, "another scheme", req(target="ftp://x/a.txt"), answered(400, 403, 404, 421, 501) + refused())
    case(g, "no slashes", req(target="http:a.txt"), answered(400, 404))
    case(g, "authority form", req(target="x:80"), answered(400, 404))
    case(g, "asterisk for GET", req(target="*"), answered(400, 404, 405))
    case(g, "relative", req(target="a.txt"), answered(400, 404))
    case(g, "query alone", req(target="?a"), answered(400, 404))
    case(g, "query", req(target="/a.txt?a=b&c=%00?/../#"[:-1]), keeps(), check=body_is(LETTERS))
    case(g, "empty query", req(target="/a.txt?"), keeps(), check=body_is(LETTERS))
    case(g, "fragment", req(target="/a.txt#x"), answered(200, 400, 404))
    case(g, "escaped letter", req(target="/%61.txt"), keeps(), check=body_is(LETTERS))
    case(g, "escaped dot", req(target="/a%2Etxt"), keeps(), check=body_is(LETTERS))
    case(g, "lower-case escape", req(target="/a%2etxt"), keeps(), check=body_is(LETTERS))
    for name, target in [("not hexadecimal", "/%zz"), ("percent alone", "/%"), ("one digit", "/%6"), ("sign", "/%+1"), ("%u", "/%u0061.txt"),
                         ("NUL", "/a.txt%00"), ("NUL and another extension", "/a.txt%00.html"), ("NUL alone", "/%00"),
                         ("overlong dots", "/%c0%ae%c0%ae/%c0%ae%c0%ae/etc/passwd"), ("no UTF-8", "/%ff%fe"),
                         ("decoded twice", "/%2561.txt"), ("double-encoded dots", "/%252e%252e/etc/passwd"), ("line end", "/a%0d%0aX:%20y")]:
        case(g, "escape, " + name, req(target=target), answered(400, 404), check=lacks_field("x"))
    case(g, "NUL", req(target="/a.txt\0"), refused() + answered(404))
    for name, byte in [("0x01", "\x01"), ("tab", "\t"), ("DEL", "\x7f"), ("ESC", "\x1b")]:
        case(g, "control byte " + name, req(target=f"/a{byte}.txt"), refused(400, 505) + answered(400, 404))
    for byte in "\"<>\\^`{|}\xff\xe9":
        case(g, f"raw {byte.encode('latin-1')!r}", req(target=f"/a{byte}.txt"), answered(400, 404))
    for name, target in [("dots", "/../a.txt"), ("many dots", "/../../../../etc/passwd"), ("escaped dots", "/%2e%2e/%2e%2e/etc/passwd"),
                         ("half escaped", "/.%2e/%2e./etc/passwd"), ("escaped slashes", "/..%2f..%2f..%2fetc%2fpasswd"),
                         ("backslashes", "/..\\..\\etc\\passwd"), ("escaped backslashes", "/..%5c..%5cetc%5cpasswd"),
                         ("by a directory", "/dir/../../etc/passwd"), ("semicolon", "/..;/..;/etc/passwd"), ("absolute inside", "//etc/passwd"),
                         ("file scheme", "file:///etc/passwd"), ("in an absolute form", "http://x/../../etc/passwd"),
                         ("three dots", "/.../etc/passwd"), ("dots at the end", "/dir/../..")]:
        case(g, "climbs: " + name, req(target=target), answered(200, 400, 403, 404, 421, 501) if name == "dots" else answered(400, 403, 404, 421, 501),
             check=not_the_system)
    case(g, "dot segment", req(target="/./a.txt"), answered(200, 400, 404))
    case(g, "dots within the root", req(target="/dir/../a.txt"), answered(200, 400, 404))
    case(g, "slash behind a file", req(target="/a.txt/"), answered(404, 301, 308))
    case(g, "a path behind a file", req(target="/a.txt/b"), keeps(404))
    case(g, "two slashes", req(target="//a.txt"), answered(200, 301, 308, 404), check=local_location)
    case(g, "another host for a redirect", req(target="//evil.example/%2e%2e"), answered(200, 301, 308, 400, 404), check=local_location)
    case(g, "another host, directory", req(target="//dir"), answered(200, 301, 308, 400, 404), check=local_location)
    case(g, "directory without its slash", req(target="/dir"), keeps(301, 308), check=leads("http://x/dir", "http://x/dir/"))
    case(g, "redirect keeps the query", req(target="/dir?a=b"), keeps(301, 308), check=leads("http://x/dir?a=b", "http://x/dir/?a=b"))
    # A front that strips /app from the path sends the same request.
    case(g, "redirect behind a stripped prefix", req(target="/dir"), keeps(301, 308), check=leads("http://x/app/dir", "http://x/app/dir/"))
    case(g, "redirect of a deeper directory", req(target="/dir/sub?/a"), keeps(301, 308), check=leads("http://x/app/dir/sub?/a", "http://x/app/dir/sub/?/a"))
    case(g, "redirect behind a dot segment", req(target="/dir/../dir/sub"), keeps(301, 308, 400), check=leads("http://x/dir/../dir/sub", "http://x/dir/sub/", False))
    case(g, "redirect of a name with a colon", req(target="/dir/http:"), keeps(301, 308), check=leads("http://x/dir/http:", "http://x/dir/http:/"))
    case(g, "redirect of a name with a backslash", req(target="/%5Cevil"), keeps(301, 308), check=leads("http://x/%5Cevil", "http://x/%5Cevil/"))
    case(g, "redirect of a raw backslash", req(target="/\\evil"), answered(301, 308, 400, 404), check=local_location)
    case(g, "three slashes, directory", req(target="///dir"), answered(200, 301, 308, 400, 404), check=local_location)
    case(g, "redirect with a line end", req(target="/dir?%0d%0aX:%20y"), answered(301, 308, 400), check=lacks_field("x"))
    case(g, "directory", req(target="/dir/"), keeps(), check=body_is(b"<p>dir</p>\n"))
    case(g, "root", req(target="/"), keeps(), check=field_is("content-type", "text/html.*"))
    case(g, "nothing there", req(target="/none"), keeps(404))
    case(g, "a name of 300 letters", req(target="/" + "a" * 300), answered(404, 400, 414))
    case(g, "2,000 directories", req(target="/a" * 2000), answered(404, 400, 414))
    case(g, "markup is not echoed", req(target="/%3Cscript%3E"), answered(404, 400),
         check=lambda answers: "markup" if b"<script>" in answers[0].body else None)


def conditions():
    g = "condition"
    tag = "@ETAG@"
    later, earlier = "Sun, 06 Nov 1994 08:49:38 GMT", "Sun, 06 Nov 1994 08:49:36 GMT"

    def none_match(name, *fields, statuses=(304,)):
        case(g, name, req(*fields), keeps(*statuses), check=lambda answers: validators(answers) or whole(answers))

    none_match("If-None-Match", "If-None-Match: " + tag)
    none_match("If-None-Match, weak", "If-None-Match: W/" + tag)
    none_match("If-None-Match, list", f'If-None-Match: "x", {tag}, "y"')
    none_match("If-None-Match, comma in a tag", f'If-None-Match: "x,y", {tag}')
    none_match("If-None-Match, two lines", 'If-None-Match: "x"', "If-None-Match: " + tag)
    none_match("If-None-Match, any", "If-None-Match: *")
    none_match("If-None-Match, empty members", f"If-None-Match: , ,{tag},")
    none_match("If-None-Match, other", 'If-None-Match: "x"', statuses=(200,))
    none_match("If-None-Match, beginning of the tag", "If-None-Match: @CUT@", statuses=(200,))
    none_match("If-None-Match, no tag", "If-None-Match: x", statuses=(200, 400))
    none_match("If-None-Match, empty tag", 'If-None-Match: ""', statuses=(200,))
    none_match("If-None-Match beats If-Modified-Since", 'If-None-Match: "x"', "If-Modified-Since: " + DATE, statuses=(200,))
    none_match("If-None-Match beats an old If-Modified-Since", "If-None-Match: " + tag, "If-Modified-Since: " + earlier)
    none_match("If-Modified-Since, equal", "If-Modified-Since: " + DATE)
    # Section 13.1.3 recommends 304; a file that was replaced by an older one is then taken for the newer one.
    none_match("If-Modified-Since, later", "If-Modified-Since: " + later, statuses=(200, 304))
    none_match("If-Modified-Since, earlier", "If-Modified-Since: " + earlier, statuses=(200,))
    none_match("If-Modified-Since, RFC 850", "If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT")
    none_match("If-Modified-Since, asctime", "If-Modified-Since: Sun Nov  6 08:49:37 1994")
    none_match("If-Modified-Since, no date", "If-Modified-Since: yesterday", statuses=(200,))
    none_match("If-Modified-Since, empty", "If-Modified-Since:", statuses=(200,))
    none_match("If-Modified-Since, wrong zone", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 +0000", statuses=(200, 304))
    none_match("If-Modified-Since, day 32", "If-Modified-Since: Sun, 32 Nov 1994 08:49:37 GMT", statuses=(200,))
    none_match("If-Modified-Since, two", "If-Modified-Since: " + DATE, "If-Modified-Since: " + earlier, statuses=(200, 400))
    none_match("If-Modified-Since, far future", "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT", statuses=(200, 304))
    case(g, "If-Modified-Since for HEAD", req("If-Modified-Since: " + DATE, method="HEAD"), keeps(304), heads=(0,))
    case(g, "If-None-Match for HEAD", req("If-None-Match: " + tag, method="HEAD"), keeps(304), heads=(0,))
    case(g, "If-None-Match of nothing", req("If-None-Match: *", target="/none"), keeps(404))
    case(g, "304 and the next request", req("If-None-Match: " + tag) + NEXT, [seq("open", 304, 200)])
    case(g, "If-Match", req("If-Match: " + tag), keeps(), check=whole)
    case(g, "If-Match, any", req("If-Match: *"), keeps(), check=whole)
    case(g, "If-Match, list", req(f'If-Match: "x" , {tag}'), keeps(), check=whole)
    case(g, "If-Match, other", req('If-Match: "x"'), answered(412))
    case(g, "If-Match, weak never matches", req("If-Match: W/" + tag), answered(412))
    case(g, "If-Match of nothing", req("If-Match: *", target="/none"), answered(404, 412))
    case(g, "If-Match, other, HEAD", req('If-Match: "x"', method="HEAD"), answered(412), heads=(0,))
    case(g, "If-Unmodified-Since, equal", req("If-Unmodified-Since: " + DATE), keeps(), check=whole)
    case(g, "If-Unmodified-Since, later", req("If-Unmodified-Since: " + later), keeps(), check=whole)
    case(g, "If-Unmodified-Since, earlier", req("If-Unmodified-Since: " + earlier), answered(412))
    case(g, "If-Unmodified-Since, no date", req("If-Unmodified-Since: x"), keeps(), check=whole)
    case(g, "If-Match beats If-Unmodified-Since", req("If-Match: " + tag, "If-Unmodified-Since: " + earlier), keeps(), check=whole)
    case(g, "If-Match before If-None-Match", req('If-Match: "x"', "If-None-Match: " + tag), answered(412))
    case(g, "If-Unmodified-Since before If-None-Match", req("If-Unmodified-Since: " + earlier, "If-None-Match: " + tag), answered(412))
    case(g, "If-Match holds, If-None-Match fails", req("If-Match: " + tag, "If-None-Match: " + tag), keeps(304))


def ranges():
    g = "range"

    def one(name, value, first, last, *more, statuses=(206,)):
        case(g, name, req("Range: " + value, *more), keeps(*statuses), check=part(first, last))

    def ignored(name, *fields, statuses=(200,), method="GET"):
        case(g, name, req(*fields, method=method), keeps(*statuses), check=None if method == "HEAD" else whole,
             heads=(0,) if method == "HEAD" else ())

    def unsatisfiable(name, value, *more, statuses=(416,)):
        case(g, name, req("Range: " + value, *more), keeps(*statuses),
             check=lambda a: field_is("content-range", r"bytes \*/26")(a) if a[0].status == 416 else whole(a))

    one("first and last", "bytes=0-4", 0, 4)
    one("the first byte", "bytes=0-0", 0, 0)
    one("the last byte", "bytes=25-25", 25, 25)
    one("open", "bytes=5-", 5, 25)
    one("suffix", "bytes=-5", 21, 25)
    one("clamped", "bytes=20-99", 20, 25)
    one("longer suffix", "bytes=-99", 0, 25, statuses=(206, 200))
    one("all", "bytes=0-", 0, 25, statuses=(206, 200))
    one("unit in another case", "Bytes=0-4", 0, 4, statuses=(206, 200))
    one("empty members", "bytes=,0-4,", 0, 4, statuses=(206, 200))
    one("leading zeros", "bytes=0000-0004", 0, 4, statuses=(206, 200))
    one("last beyond 64 bits", "bytes=0-18446744073709551616", 0, 25, statuses=(206, 200, 416))
    one("suffix beyond 64 bits", "bytes=-18446744073709551616", 0, 25, statuses=(206, 200, 416))
    unsatisfiable("behind the end", "bytes=26-")
    unsatisfiable("far behind the end", "bytes=99-100")
    unsatisfiable("suffix of nothing", "bytes=-0", statuses=(416, 200))
    unsatisfiable("first beyond 64 bits", "bytes=18446744073709551616-", statuses=(416, 200))
    for name, value in [("last before first", "bytes=5-2"), ("no range", "bytes="), ("letters", "bytes=a-b"), ("dash alone", "bytes=-"),
                        ("no dash", "bytes=5"), ("no equals", "bytes 0-4"), ("signed", "bytes=+0-4"), ("two dashes", "bytes=0--4"),
                        ("hexadecimal", "bytes=0x0-4"), ("one of two invalid", "bytes=0-4,x"), ("empty", "")]:
        # RFC 9110 §14.2 lets a server ignore or reject them.
        unsatisfiable("invalid: " + name, value, statuses=(200, 400, 416))
    ignored("unknown unit", "Range: letters=0-4")
    ignored("two lines", "Range: bytes=0-4", "Range: bytes=5-9", statuses=(200, 400, 416))
    ignored("HEAD", "Range: bytes=0-4", method="HEAD")
    ignored("HEAD, behind the end", "Range: bytes=99-", method="HEAD")
    case(g, "of nothing", req("Range: bytes=0-4", target="/none"), keeps(404))
    case(g, "two", req("Range: bytes=0-4,10-14"), keeps(206, 200), check=lambda a: parts_of_letters(a) or whole(a))
    case(g, "two, white space", req("Range: bytes=0-4 , \t10-14"), keeps(206, 200), check=lambda a: parts_of_letters(a) or whole(a))
    case(g, "two, backwards", req("Range: bytes=20-24,0-4"), keeps(206, 200), check=lambda a: parts_of_letters(a) or whole(a))
    case(g, "two that overlap", req("Range: bytes=0-9,5-14"), keeps(206, 200, 416), check=lambda a: parts_of_letters(a) or whole(a))
    case(g, "two that touch", req("Range: bytes=0-4,5-9"), keeps(206, 200), check=lambda a: parts_of_letters(a) or whole(a))
    case(g, "one of two behind the end", req("Range: bytes=0-4,99-100"), keeps(206, 200), check=lambda a: parts_of_letters(a) or whole(a))
    case(g, "both behind the end", req("Range: bytes=99-100,200-"), keeps(416), check=field_is("content-range", r"bytes \*/26"))
    case(g, "1,000 of one byte", req("Range: bytes=" + ",".join(["0-0"] * 1000)), keeps(206, 200, 416) + refused(400, 431), check=small)
    case(g, "500 of the whole", req("Range: bytes=" + ",".join(["0-"] * 500)), keeps(206, 200, 416), check=small)
    case(g, "two, HEAD", req("Range: bytes=0-4,10-14", method="HEAD"), keeps(200), heads=(0,))
    case(g, "If-Range, tag", req("Range: bytes=0-4", "If-Range: @ETAG@"), keeps(206), check=part(0, 4))
    # Section 13.1.5: a date may be a weak validator, which selects no range.
    case(g, "If-Range, date", req("Range: bytes=0-4", "If-Range: " + DATE), keeps(200, 206))
    case(g, "If-Range behind the end", req("Range: bytes=99-", "If-Range: @ETAG@"), keeps(416))
    ignored("If-Range, other tag", "Range: bytes=0-4", 'If-Range: "x"')
    ignored("If-Range, weak tag", "Range: bytes=0-4", "If-Range: W/@ETAG@")
    ignored("If-Range, later date", "Range: bytes=0-4", "If-Range: Sun, 06 Nov 1994 08:49:38 GMT")
    ignored("If-Range, earlier date", "Range: bytes=0-4", "If-Range: Sun, 06 Nov 1994 08:49:36 GMT")
    ignored("If-Range, other tag, behind the end", "Range: bytes=99-", 'If-Range: "x"')
    ignored("If-Range, nonsense", "Range: bytes=0-4", "If-Range: x")
    ignored("If-Range without Range", 'If-Range: "x"')
    case(g, "after If-None-Match", req("Range: bytes=0-4", "If-None-Match: @ETAG@"), keeps(304))
    case(g, "after If-Match", req("Range: bytes=0-4", 'If-Match: "x"'), answered(412))
    case(g, "and If-Match", req("Range: bytes=0-4", "If-Match: @ETAG@"), keeps(206), check=part(0, 4))
    case(g, "behind the end, If-None-Match", req("Range: bytes=99-", "If-None-Match: @ETAG@"), keeps(304))
    case(g, "and the next request", req("Range: bytes=0-4") + NEXT, [seq("open", 206, 200)])
    case(g, "in HTTP/1.0", req("Range: bytes=0-4", version="HTTP/1.0"), closes(206, 200), check=part(0, 4))
    case(g, "Accept-Ranges", req(), keeps(), check=field_is("accept-ranges", "bytes"))


def connection():
    g = "connection"
    case(g, "1.1 goes on", req() + NEXT, [seq("open", 200, 200)])
    case(g, "1.0 ends", req(version="HTTP/1.0") + NEXT, closes())
    case(g, "1.0 with keep-alive", req("Connection: keep-alive", version="HTTP/1.0"), answered(),
         check=lambda a: None if (a[0].get("connection") or "").lower() in ("keep-alive", "close") else "an answer to 1.0 does not say whether it goes on")
    case(g, "1.0 with Keep-Alive and the next", req("Connection: Keep-Alive", version="HTTP/1.0") + NEXT, [seq("open", 200, 200), seq("close", 200)])
    case(g, "1.0 with close", req("Connection: close", version="HTTP/1.0") + NEXT, closes())
    case(g, "1.0 with keep-alive and close", req("Connection: keep-alive, close", version="HTTP/1.0") + NEXT, closes())
    for name, fields in [("close", ["Connection: close"]), ("Close", ["Connection: Close"]), ("in a list", ["Connection: TE, close"]),
                         ("empty members", ["Connection: , ,close"]), ("second line", ["Connection: TE", "Connection: close"]),
                         ("with keep-alive", ["Connection: keep-alive, close"]), ("tabs around", ["Connection:\tclose\t"])]:
        case(g, "close: " + name, req(*fields) + NEXT, closes(), check=field_is("connection", "(?i)close"))
    for name, value in [("closed", "closed"), ("not-close", "not-close"), ("keep-alive", "keep-alive"), ("an unknown option", "foo"), ("empty", "")]:
        case(g, "goes on: " + name, req("Connection: " + value) + NEXT, [seq("open", 200, 200)])
    case(g, "404 goes on", req(target="/none") + NEXT, [seq("open", 404, 200)])
    case(g, "HEAD, then GET", req(method="HEAD") + NEXT, [seq("open", 200, 200)], heads=(0,))
    case(g, "a hundred pipelined", NEXT * 100, [seq("open", *[200] * 100)])
    case(g, "three pipelined, the last closes", NEXT * 2 + req("Connection: close") + SMUGGLED, [seq("close", 200, 200, 200)])
    case(g, "nothing behind a malformed request", req("A : b") + SMUGGLED, refused())
    case(g, "good, then malformed, then good", NEXT + req("A : b") + SMUGGLED, [seq("close", 200, 400)])
    case(g, "Upgrade to h2c", req("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), keeps(), check=no_interim)
    case(g, "Upgrade to websocket", req("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"), keeps(200, 400), check=no_interim)
    case(g, "no chunks for 1.0", req(version="HTTP/1.0", target="/"), closes(), check=lacks_field("transfer-encoding"))
    case(g, "Accept: nothing of ours", req("Accept: image/avif"), keeps(200, 406))
    case(g, "Accept-Encoding: no identity", req("Accept-Encoding: identity;q=0"), keeps(200, 406, 415))
    case(g, "Accept-Encoding: malformed", req("Accept-Encoding: gzip;q=x, ,;"), keeps(200, 400))


def write_root(root):
    os.makedirs(os.path.join(root, "dir"), exist_ok=True)
    for name in ("sub", "http:"):
        os.makedirs(os.path.join(root, "dir", name), exist_ok=True)
    os.makedirs(os.path.join(root, "\\evil"), exist_ok=True)
    files = {"a.txt": LETTERS, "probe.txt": PROBE_BODY, "index.html": b"<p>index</p>\n", "dir/index.html": b"<p>dir</p>\n"}
    for name, content in files.items():
        path = os.path.join(root, name)
        with open(path, "wb") as file:
            file.write(content)
        os.utime(path, (MODIFIED, MODIFIED))
        os.chmod(path, 0o644)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--root", required=True, help="the server's document root; files are written there")
    parser.add_argument("--only", default="", help="run the cases whose name holds this text")
    parser.add_argument("--verbose", action="store_true", help="show the bytes of the cases that fail")
    options = parser.parse_args()
    write_root(options.root)
    for group in (line_ends, field_names, host, content_length, transfer_encoding, chunked, expect, methods, request_line, versions,
                  targets, conditions, ranges, connection):
        group()
    address = (options.host, options.port)
    first = Client(address)
    first.send(req("Connection: close"))
    answer = first.answer(False, time.monotonic() + TIMEOUT)
    if answer is None or answer.body != LETTERS or not answer.get("etag"):
        sys.exit(f"GET /a.txt on {options.host} port {options.port} did not give the 26 letters and an ETag; serve {options.root} there.")
    first.socket.close()
    etag = answer.get("etag").encode("latin-1").removeprefix(b"W/")
    cases = [case for case in CASES if options.only in case["name"]]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for case, (why, seen) in zip(cases, pool.map(lambda case: run(case, address, etag), cases)):
            if why is None:
                print(f"PASS {case['name']}  ({seen})")
                continue
            failed += 1
            wanted = " or ".join(f"{[sorted(s) for s in statuses]} {end}" for statuses, end in case["outcomes"])
            print(f"FAIL {case['name']}  ({seen}): {why}; allowed: {wanted}")
            if options.verbose:
                print("     " + repr(b"".join(case["pieces"])[:300]))
    print(f"{len(cases) - failed} of {len(cases)} cases pass, {failed} fail")
    sys.exit(1 if failed or not cases else 0)


if __name__ == "__main__":
    main()
