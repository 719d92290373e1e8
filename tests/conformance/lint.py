#!/usr/bin/env python3
"""httplint over every kind of answer that the server gives.

    lint.py BINARY

It starts servers of its own. A note of httplint's that is a warning or worse has to be argued in ARGUED, with its reason;
a status that no answer had is a failure as well, so that no kind of answer is left out.
"""

import gzip
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from httplint import HttpRequestLinter, HttpResponseLinter, levels

from raw import DATE, MODIFIED, Client, b, req

# What the server may say. A 500 needs a disk that fails: its head and page are made by the same code as a 503's.
STATUSES = {200, 204, 206, 301, 304, 400, 403, 404, 405, 406, 408, 412, 413, 414, 416, 421, 431, 501, 503, 505}

# Why it is right, the note's class, and a pattern for the answers that may have it: their status and name.
ARGUED = {
    # How long a file may be kept is the site's to know; there is Last-Modified, and an ETag to ask again with (RFC 9111 §4.2.2).
    "FRESHNESS_HEURISTIC": r"(200|206|301) ",
    # RFC 9110 §15.3.7.2: an answer in several parts must not have Content-Range outside of them.
    "PARTIAL_WITHOUT_RANGE": r"206 parts$",
    # A listing is of the moment: caches have to ask again, and get it again.
    "FRESHNESS_NO_CACHE_NO_VALIDATOR": r"200 listing",
    # They say what the request was made to be answered with.
    "STATUS_BAD_REQUEST": r"400 (bad path|no host|bad chunks|without TLS)$",
    "STATUS_URI_TOO_LONG": r"414 long target$",
    "STATUS_VERSION_NOT_SUPPORTED": r"505 other version$",
}

DEADLINE = 30
ANSWERS = []


def ask(name, address, raw, method="GET", target="/", tls=None):
    """Sends bytes, over TLS with a context for it, and remembers the answer under a name."""
    client = Client(address)
    if tls:
        client.socket = tls.wrap_socket(client.socket, server_hostname="first.example")
    client.send(b(raw))
    answer = client.answer(method == "HEAD", time.monotonic() + DEADLINE)
    client.socket.close()
    if answer is None:
        sys.exit(f"FAIL httplint: {name}: no answer")
    ANSWERS.append((name, method, target, b(raw), answer, time.time()))
    return answer


def get(name, address, *fields, method="GET", target="/", tls=None, **more):
    return ask(name, address, req(*fields, method=method, target=target, **more), method, target, tls)


class Server:
    """A server on sockets that it gets as systemd would hand them over."""

    def __init__(self, binary, root, *options, names=("http",)):
        self.sockets = [socket.create_server(("127.0.0.1", 0), backlog=64) for _ in names]
        self.addresses = [s.getsockname() for s in self.sockets]
        # A descriptor that is moved above those that the sockets get is not overwritten by them.
        high = [os.dup2(s.fileno(), 50 + n) for n, s in enumerate(self.sockets)]
        moves = " ".join(f"{3 + n}<&{fd} {fd}<&-" for n, fd in enumerate(high))
        script = f"exec {moves}; LISTEN_PID=$$ LISTEN_FDS={len(high)} LISTEN_FDNAMES={':'.join(names)} exec \"$@\""
        command = ["bash", "-c", script, "bash", binary, "--root", root, "--workers=1", *options]
        environment = {**os.environ, **({"OTUS_USER": "root"} if os.geteuid() == 0 else {})}
        self.process = subprocess.Popen(command, pass_fds=high, env=environment, stderr=subprocess.PIPE, text=True)
        for fd in high:
            os.close(fd)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.terminate()
        errors = [line for line in self.process.communicate(timeout=DEADLINE)[1].splitlines() if re.match(" *ERROR", line)]
        if errors:
            sys.exit("FAIL httplint: " + errors[0])


def write_root(root):
    files = {
        "index.html": b"<!DOCTYPE html>\n<title>a</title>\n", "small.txt": b"abcdefghijklmnopqrstuvwxyz", "large.bin": bytes(100_000),
        "a.css": b"a{}", "a.js": b"1", "a.svg": b"<svg xmlns='http://www.w3.org/2000/svg'/>", "a.png": b"\x89PNG\r\n\x1a\n", "empty": b"",
        "a.html": b"<!DOCTYPE html>\n<title>a</title>\n", "a.json": b"{}", "list/a": b"", "list/b c": b"", "own/index.html": b"",
    }
    files["a.css.gz"] = gzip.compress(files["a.css"] * 9)
    files["a.svgz"] = gzip.compress(files["a.svg"])
    for name, content in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.utime(path, (MODIFIED, MODIFIED))
    os.symlink("/etc/passwd", os.path.join(root, "out"))
    # A file on the disk has no tag while another write could leave its times as they are: for 20 ms.
    while time.time_ns() - os.stat(os.path.join(root, "large.bin")).st_ctime_ns <= 50_000_000:
        time.sleep(0.005)


def ask_everything(site, metrics):
    for target in ("/", "/small.txt", "/large.bin", "/a.css", "/a.js", "/a.svg", "/a.svgz", "/a.png", "/a.json", "/a.html", "/empty"):
        etag = get("whole " + target, site, target=target).get("etag")
        get("head " + target, site, target=target, method="HEAD")
        get("not modified " + target, site, "If-None-Match: " + etag, target=target)
        get("not modified since " + target, site, "If-Modified-Since: " + DATE, target=target)
        if target not in ("/a.png", "/empty"):
            get("part " + target, site, "Range: bytes=1-1", target=target)
        get("precondition " + target, site, 'If-Match: "x"', target=target)
    get("coded", site, "Accept-Encoding: gzip", target="/a.css")
    get("coded, head", site, "Accept-Encoding: gzip", target="/a.css", method="HEAD")
    get("coded, part", site, "Accept-Encoding: gzip", "Range: bytes=0-4", target="/a.css")
    get("no coding", site, "Accept-Encoding: *;q=0", target="/a.css")
    get("parts", site, "Range: bytes=0-9,5000-5009", target="/large.bin")
    get("behind the end", site, "Range: bytes=999999-", target="/large.bin")
    get("last of a connection", site, "Connection: close", target="/small.txt")
    get("HTTP/1.0", site, target="/small.txt", version="HTTP/1.0")
    get("HTTP/1.0 that goes on", site, "Connection: keep-alive", target="/small.txt", version="HTTP/1.0")
    get("directory", site, target="/list")
    get("directory with a query", site, target="/list?a=b")
    get("directory, head", site, target="/list", method="HEAD")
    get("listing", site, target="/list/")
    get("listing, head", site, target="/list/", method="HEAD")
    get("listing as JSON", site, "Accept: application/json", target="/list/")
    get("options", site, target="/small.txt", method="OPTIONS")
    get("options of all", site, target="*", method="OPTIONS")
    get("nothing there", site, target="/none")
    get("nothing there, head", site, target="/none", method="HEAD")
    get("outside", site, target="/out")
    get("bad path", site, target="/%zz")
    get("other method", site, method="PUT", target="/small.txt")
    get("unknown method", site, method="BREW", target="/small.txt")
    get("method too long", site, method="M" * 9000, target="/small.txt")
    get("unknown coding", site, "Transfer-Encoding: gzip, chunked", target="/small.txt", method="POST")
    get("no host", site, host=None, target="/small.txt")
    get("bad chunks", site, "Transfer-Encoding: chunked", target="/small.txt", body=b"5;\r\n")
    get("large body", site, "Content-Length: 99999", target="/small.txt")
    get("long target", site, target="/" + "a" * 9000)
    get("large head", site, "A: " + "a" * 20000, target="/small.txt")
    get("other version", site, target="/small.txt", version="HTTP/2.0")
    ask("slow head", site, "GET /slow HTTP/1.1\r\n", target="/slow")
    for target in ("/metrics", "/health", "/", "/none"):
        get("metrics " + target, metrics, target=target)
        get("metrics, head " + target, metrics, target=target, method="HEAD")
    get("metrics, other method", metrics, target="/metrics", method="POST")


def write_certificates(directory):
    """For first.example and second.example. Returns the context of a client that trusts them."""
    context = ssl.create_default_context()
    for name in ("first.example", "second.example"):
        folder = os.path.join(directory, name)
        os.mkdir(folder)
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "privkey.pem"]
        names = ["-subj", "/CN=test", "-addext", f"subjectAltName=DNS:{name}", "-days", "30"]
        command = ["openssl", "req", "-x509", "-config", "/dev/null", *key, *names, "-out", "fullchain.pem"]
        subprocess.run(command, cwd=folder, check=True, stderr=subprocess.DEVNULL)
        context.load_verify_locations(os.path.join(folder, "fullchain.pem"))
    return context


def notes_of(method, target, raw, answer, at):
    request = HttpRequestLinter(start_time=at)
    head = raw.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    request.process_request_topline(method.encode(), (target if target == "*" else "http://x" + target).encode(), b"HTTP/1.1")
    request.process_headers([tuple(part.strip() for part in line.split(b":", 1)) for line in head if b":" in line])
    request.finish_content(True)
    response = HttpResponseLinter(start_time=at, _related=request)
    response.base_uri = "http://x" + target
    response.is_head_response = method == "HEAD"
    response.process_response_topline(b"HTTP/1.1", str(answer.status).encode(), b"x")
    response.process_headers([(name.encode(), value.encode("latin-1")) for name, value in answer.fields])
    response.feed_content(answer.body)
    response.finish_content(True)
    todo = list(response.notes)
    while todo:
        note = todo.pop(0)
        todo.extend(note.subnotes)
        yield note


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        write_root(root)
        with Server(binary, root, "--listing", "--head-timeout=1", names=("http", "metrics")) as server:
            ask_everything(*server.addresses)
        with Server(binary, root, "--max-per-client=1") as server:
            first = Client(server.addresses[0])
            first.send(req(target="/small.txt"))
            first.answer(False, time.monotonic() + DEADLINE)
            get("too many connections", server.addresses[0], target="/small.txt")
            first.socket.close()
        for name in ("404.html", "403.html"):
            with open(os.path.join(root, name), "w", encoding="ascii") as file:
                file.write("<!DOCTYPE html>\n<title>a page of the site</title>\n")
        with Server(binary, root) as server:
            get("a page of the site, nothing there", server.addresses[0], target="/none")
            get("a page of the site, outside", server.addresses[0], target="/out")
            get("a page of the site, head", server.addresses[0], target="/none", method="HEAD")
        with tempfile.TemporaryDirectory() as certificates:
            tls = write_certificates(certificates)
            with Server(binary, root, f"--certificates={certificates}", names=("https",)) as server:
                get("over TLS", server.addresses[0], host="Host: first.example", target="/small.txt", tls=tls)
                get("misdirected", server.addresses[0], host="Host: second.example", target="/small.txt", tls=tls)
                get("without TLS", server.addresses[0], target="/small.txt")

    failures = [f"no answer has the status {status}" for status in sorted(STATUSES - {answer.status for *_, answer, _ in ANSWERS})]
    used = set()
    for name, method, target, raw, answer, at in ANSWERS:
        for note in notes_of(method, target, raw, answer, at):
            if note.level not in (levels.WARN, levels.BAD):
                continue
            kind, where = type(note).__name__, f"{answer.status} {name}"
            if kind in ARGUED and re.match(ARGUED[kind], where):
                used.add(kind)
            else:
                failures.append(f"{where}: {kind} ({note.level.value}, {note.subject}): {note.summary}")
    for failure in failures:
        print("FAIL httplint: " + failure)
    for kind in ARGUED.keys() - used:
        print(f"httplint: no answer has {kind} any more, which need not be argued")
    if failures:
        sys.exit(1)
    print(f"PASS httplint: {len(ANSWERS)} answers with {len(STATUSES)} statuses, no finding but {len(used)} kinds that are argued")


if __name__ == "__main__":
    main()
