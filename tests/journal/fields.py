"""What a record says, by what the client did."""

import os
import re
import signal
import socket
import time

from client import Client, request
from journald import wait_until
from record import COMMON, own_fields, unescape
from scene import individual
from server import listen

PAGE, LARGE = 97, 50_000_000
LATE_US = 200_000
UNUSED = re.compile(r'\S+ - - \[[^]]+\] "-" - 0 "-" "-"')


def requests(check, scene):
    """Every kind of request, each with all fields that a client can send, on a connection of its own."""
    server = scene.start("--head-timeout=1")
    told = {"host": "shop.example:80", "user_agent": 'A "b" \\c/1.0', "referer": "http://x/?y"}
    fields = {"HTTP_HOST": "shop.example:80", "HTTP_USER_AGENT": 'A "b" \\x5Cc/1.0', "HTTP_REFERER": "http://x/?y"}
    with Client(server.address) as client:
        client.send(request("/page.html"))
        head = client.socket.recv(65536)
    etag = re.search(rb"\r\netag: *(\S+)", head, re.IGNORECASE)[1].decode()
    packed = (server.root / "packed.txt.gz").stat().st_size
    cases = [
        # target, how it is asked; status, content or None for as much as the client got, further fields
        ("/page.html?a=b", {}, 200, PAGE, {}),
        ("/page.html", {"method": "HEAD"}, 200, 0, {}),
        ("/page.html", {"range": "bytes=0-9"}, 206, 10, {"RANGE": "bytes=0-9"}),
        ("/page.html", {"range": "bytes=0-9,20-29"}, 206, None, {"RANGE": "bytes=0-9,20-29"}),
        ("/page.html", {"range": "bytes=500-"}, 416, None, {"RANGE": "bytes=500-", "CAUSE": any}),
        ("/packed.txt", {"accept_encoding": "gzip"}, 200, packed, {"ENCODING": "gzip"}),
        ("/packed.txt", {}, 200, 10_000, {}),
        ("/large", {"range": "bytes=5-3000004"}, 206, 3_000_000, {"RANGE": "bytes=5-3000004"}),
        ("/page.html", {"if_none_match": etag}, 304, 0, {}),
        ("/page.html", {"if_match": '"other"'}, 412, None, {"CAUSE": any}),
        ("/directory", {}, 301, None, {}),
        ("/none", {}, 404, None, {"CAUSE": any}),
        ("/none", {"method": "HEAD"}, 404, 0, {"CAUSE": any}),
        ("/page.html", {"method": "OPTIONS"}, 204, 0, {}),
        ("/page.html", {"method": "DELETE"}, 405, None, {"CAUSE": any}),
        ("/page.html", {"method": "BREW"}, 501, None, {"CAUSE": any}),
        ("/page.html", {"content_length": "9000"}, 413, None, {"CAUSE": any}),
        ("/../page.html", {}, 400, None, {"CAUSE": any}),
    ]
    clients = {}
    for target, asked, status, content, further in cases:
        begin = time.monotonic()
        with Client(server.address) as client:
            seen, length = client.ask(target, **asked, **told)
            wanted = {
                "HTTP_METHOD": asked.get("method", "GET"), "HTTP_TARGET": target, "HTTP_STATUS": str(status), "REQUEST": "1",
                "BYTES_SENT": str(length if content is None else content), "CLIENT_ADDRESS": "127.0.0.1", **fields, **further,
            }
            assert seen == status, f"{target} {asked} got {seen}"
            clients[client.port] = (wanted, time.monotonic() - begin)
    with Client(server.address) as client:
        assert client.ask("/page.html", version="HTTP/1.0") == (200, PAGE)
        bare = client.port
    records = {int(one["CLIENT_PORT"]): one for one in individual(scene.stopped())}
    check.equal("records", len(records), len(cases) + 2)
    for port, (wanted, took) in clients.items():
        compare(check, records.get(port, {}), wanted)
        # The server may have to wait for a processor before it notes that it has sent the last byte.
        duration = int(records.get(port, {}).get("DURATION_US", 1e9))
        check.expect(duration <= took * 1e6 + LATE_US, f"{duration} us, {took:.4f} s for the client")
    compare(check, records.get(bare, {}), {
        "HTTP_METHOD": "GET", "HTTP_TARGET": "/page.html", "HTTP_STATUS": "200", "REQUEST": "1", "BYTES_SENT": str(PAGE),
        "CLIENT_ADDRESS": "127.0.0.1",
    })
    check.expect('"GET /page.html HTTP/1.0" 200' in records.get(bare, {}).get("MESSAGE", ""), "HTTP/1.0 is told")
    check.note(f"{len(records)} records")


# What a record has besides, whatever was asked.
ALWAYS = {"MESSAGE", "PRIORITY", "SYSLOG_IDENTIFIER", "TARGET", "DURATION_US", "WORKER", "CONNECTION", "CLIENT_PORT"}


def compare(check, one, wanted, besides=ALWAYS):
    """No other fields than these; `any` is something, whatever it is."""
    seen = {name: value for name, value in own_fields(one).items() if name not in besides}
    label = f"{wanted.get('HTTP_METHOD', '')} {wanted.get('HTTP_TARGET', '')} {wanted.get('HTTP_STATUS', '')}".strip()
    for name in sorted(seen.keys() | wanted.keys()):
        if wanted.get(name) is any:
            check.expect(seen.get(name), f"{label}: {name} is {seen.get(name)!r}")
        else:
            check.equal(f"{label}: {name}", seen.get(name), wanted.get(name))


def no_requests(check, scene):
    """Bytes that are no request, heads that do not come to their end, and connections on which nothing comes."""
    server = scene.start("--head-timeout=1", "--idle-timeout=1")
    refused = {"HTTP_STATUS": "400", "REQUEST": "1", "CLIENT_ADDRESS": "127.0.0.1", "CAUSE": any}
    clients = {}
    for line, rest in [(b"\x17\x03\x01\x02\x00\xff", b""), (b'no "request"', b"A: b\r\n"), (b"GET /a b HTTP/1.1", b"Host: a\r\n"),
                       (b"GET /page.html HTTP/1.1", b""), (b"HEAD /page.html HTTP/3.0", b"")]:
        client = Client(server.address).send(line + b"\r\n" + rest + b"\r\n")
        status, length = client.answer(is_head=line.startswith(b"HEAD"))
        clients[client] = line, {**refused, "HTTP_STATUS": str(status), "BYTES_SENT": str(length)}
    late = Client(server.address).send(b"GET /page.html HT")
    silent = Client(server.address)
    gone = Client(server.address)
    gone.close()
    broken = Client(server.address).send(b"GET /page.html HT")
    broken.close()
    status, length = late.answer()
    assert status == 408, f"{status} instead of 408"
    clients[late] = b"GET /page.html HT", {**refused, "HTTP_STATUS": "408", "BYTES_SENT": str(length)}
    assert silent.wait_for_end() == b"", "bytes without a request"
    records = {int(one["CLIENT_PORT"]): one for one in individual(scene.stopped())}
    check.equal("records", len(records), len(clients) + 3)
    for client, (line, wanted) in clients.items():
        one = records.get(client.port, {})
        compare(check, one, wanted)
        quoted = one.get("MESSAGE", '"').split('"')[1]
        check.equal("the first line", unescape(quoted), line)
        client.close()
    causes = {}
    for client in (silent, gone, broken):
        one = records.get(client.port, {})
        compare(check, one, {"BYTES_SENT": "0", "CLIENT_ADDRESS": "127.0.0.1", "CAUSE": any})
        causes[client] = one.get("CAUSE")
        if client is not broken:
            check.expect(UNUSED.fullmatch(one.get("MESSAGE", "")), f"MESSAGE {one.get('MESSAGE')!r}")
    check.expect(causes[silent] != causes[gone], f"{causes[silent]!r} and {causes[gone]!r}")
    waited = int(records.get(silent.port, {}).get("DURATION_US", 0))
    check.expect(900_000 < waited < 5_000_000, f"{waited} us without a request")
    check.note(f"{len(records)} records")


def cut(check, scene):
    """A download whose client leaves; one that is slow; and both say how long it took and how much was sent."""
    server = scene.start()
    begin = time.monotonic()
    leaving, slow = (Client(server.address, receive_buffer=size).send(request("/large")) for size in (65536, None))
    received = 0
    while received < 1_000_000:
        received += len(leaving.socket.recv(65536))
    time.sleep(0.5)
    leaving.reset()
    assert slow.answer() == (200, LARGE)
    took_us = (time.monotonic() - begin) * 1e6
    slow.close()
    records = {int(one["CLIENT_PORT"]): one for one in individual(scene.stopped())}
    wanted = {
        "HTTP_METHOD": "GET", "HTTP_TARGET": "/large", "HTTP_HOST": "test", "HTTP_STATUS": "200", "REQUEST": "1",
        "CLIENT_ADDRESS": "127.0.0.1",
    }
    compare(check, records.get(slow.port, {}), {**wanted, "BYTES_SENT": str(LARGE)})
    sent = records.get(leaving.port, {}).get("BYTES_SENT", "0")
    compare(check, records.get(leaving.port, {}), {**wanted, "BYTES_SENT": sent, "CAUSE": any})
    # The head is at most 1 KiB of what came; what the kernel held for a client that read no more is megabytes at most.
    check.expect(received - 1024 <= int(sent) <= received + 10_000_000, f"{sent} bytes sent, {received} received")
    for client in (leaving, slow):
        duration = int(records.get(client.port, {}).get("DURATION_US", 0))
        check.expect(500_000 <= duration <= took_us + LATE_US, f"{duration} us")


def ended_by_server(check, scene):
    """A download that takes longer than the server waits for it when it stops."""
    server = scene.start("--stop-timeout=1")
    with Client(server.address, receive_buffer=65536) as client:
        client.send(request("/large")).socket.recv(65536)
        server.stop()
    records = individual(scene.written())
    check.equal("records", [one.get("HTTP_TARGET") for one in records], ["/large"])
    for one in records:
        check.expect(one.get("CAUSE"), "no cause")
        check.expect(0 < int(one["BYTES_SENT"]) < LARGE, f"{one['BYTES_SENT']} bytes")


def pipelined(check, scene):
    """Requests that come together are told apart by their number, and connections by theirs."""
    server = scene.start()
    clients = [Client(server.address) for _ in range(5)]
    targets = [f"/page.html?{n}" for n in range(20)]
    for client in clients:
        client.send(b"".join(map(request, targets)))
        assert [client.answer() for _ in targets] == [(200, PAGE)] * len(targets)
        assert client.ask("/none")[0] == 404
        client.close()
    records = individual(scene.stopped())
    check.equal("records", len(records), 5 * 21)
    connections = {(one["WORKER"], one["CONNECTION"]) for one in records}
    check.equal("connections", len(connections), 5)
    for client in clients:
        own = [one for one in records if one["CLIENT_PORT"] == str(client.port)]
        check.equal("numbers", [one["REQUEST"] for one in own], [str(n) for n in range(1, 22)])
        check.equal("targets", [one["HTTP_TARGET"] for one in own], [*targets, "/none"])
        check.equal("connections of a client", len({(one["WORKER"], one["CONNECTION"]) for one in own}), 1)


def addresses(check, scene):
    """IPv6, a socket for both families, as systemd's are, and a unix socket."""
    for family, address, client_address, wanted in [
        (socket.AF_INET6, ("::1", 0), "::1", "::1"),
        (socket.AF_INET6, ("::", 0), "127.0.0.1", "127.0.0.1"),
        (socket.AF_UNIX, str(scene.root.parent / "socket"), None, None),
    ]:
        server = scene.start(listener=listen(family, address))
        to = (client_address, server.address[1]) if client_address else address
        with Client(to) as client:
            assert client.ask() == (200, PAGE)
        server.stop()
        one = individual(scene.written())[-1]
        check.equal("address", one.get("CLIENT_ADDRESS"), wanted)
        check.equal("port", one.get("CLIENT_PORT"), str(client.port) if wanted else None)
        check.equal("in MESSAGE", one["MESSAGE"].split(" ")[0], wanted or "-")


def turned_away(check, scene):
    """A client that has as many connections as it may."""
    server = scene.start("--max-per-client=1")
    with Client(server.address) as first:
        assert first.ask() == (200, PAGE)
        with Client(server.address) as second:
            second.send(request())
            status, length = second.answer()
            assert status == 503, f"{status} instead of 503"
    records = individual(scene.stopped())
    check.equal("records", len(records), 2)
    [one] = [one for one in records if one["CLIENT_PORT"] == str(second.port)] or [{}]
    check.equal("status", one.get("HTTP_STATUS"), "503")
    check.equal("bytes", one.get("BYTES_SENT"), str(length))
    check.equal("priority", one.get("PRIORITY"), "3")
    check.expect(one.get("CAUSE"), f"cause {one.get('CAUSE')!r}")


def queries(check, scene):
    """journalctl finds what it is asked for, and -o cat is a log of a line for each request."""
    server = scene.start()
    asked = ["/page.html", "/none", "/page.html", "/nothing", "/none?a", "/packed.txt"]
    with Client(server.address) as client:
        statuses = [client.ask(target)[0] for target in asked]
        assert client.ask(method="BREW")[0] == 501
    all_records = individual(scene.stopped())
    check.equal("records", len(all_records), len(asked) + 1)
    found = [one["HTTP_TARGET"] for one in scene.written("HTTP_STATUS=404")]
    check.equal("404s", found, [target for target, status in zip(asked, statuses) if status == 404])
    check.equal("one target's", len(scene.written("HTTP_TARGET=/page.html", "HTTP_STATUS=200")), 2)
    check.equal("errors", [one["HTTP_STATUS"] for one in scene.written("PRIORITY=3")], ["501"])
    check.equal("by identifier", len([*scene.written("SYSLOG_IDENTIFIER=otus-httpd", "TARGET=access")]), len(asked) + 1)
    lines = scene.journald.lines("TARGET=access")
    check.equal("lines", lines, [one["MESSAGE"].encode() for one in all_records])


def events(check, scene):
    """The server's own events have the identifiers and the fields that scripts look for."""
    server = scene.start("--max-per-client=1", is_journal=True)
    with Client(server.address) as first, Client(server.address) as second:
        assert first.ask() == (200, PAGE)
        second.send(request())
        assert second.answer()[0] == 503
    os.kill(server.workers()[0], signal.SIGKILL)
    for event, priority, names in [
        ("97c1a62bf90547bcbd57e73a408f5fd5", "4", {"CLIENT_ADDRESS"}),
        ("45433acbf8c749f793c552da82f38f6b", "3", {"WORKER", "WORKER_PID", "SIGNAL", "LIVED_MS", "PAUSE_MS"}),
    ]:
        found = []
        wait_until(f"MESSAGE_ID={event}", lambda: found.extend(scene.journald.records(f"MESSAGE_ID={event}")) or found)
        check.equal(f"fields of {event}", set(own_fields(found[0])), COMMON | {"MESSAGE_ID"} | names)
        check.equal(f"priority of {event}", found[0]["PRIORITY"], priority)
    server.stop()


CHECKS = {
    "events of the server": events,
    "fields of requests": requests,
    "bytes and connections without a request": no_requests,
    "downloads that are cut or slow": cut,
    "a download that the server's end cuts": ended_by_server,
    "pipelined requests": pipelined,
    "clients' addresses": addresses,
    "a client that is turned away": turned_away,
    "queries": queries,
}
