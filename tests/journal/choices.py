"""The options of the log: what is left out, and where it goes."""

import contextlib
import json
import os
import socket

from client import Client, request
from record import own_fields
from scene import individual

# The name of journald's socket for streams.
OUTPUT = "/run/systemd/journal/stdout"

SECRET = "token-4711"


def visit(server, source=None):
    """A success, two errors, a request of another version, bytes, and a connection without a request."""
    with Client(server.address, source) as client:
        fields = {"referer": f"http://x/y?{SECRET}", "user_agent": "visitor"}
        statuses = [client.ask(target, **fields)[0] for target in (f"/page.html?{SECRET}", f"/none?{SECRET}")]
        assert statuses == [200, 404]
        assert client.ask("/page.html", method="DELETE", **fields)[0] == 405
    for wrong in (f"GET /page.html?{SECRET} HTTP/9.1\r\n\r\n", f"GET /page.html?{SECRET}\r\n\r\n"):
        with Client(server.address, source) as client:
            assert client.send(wrong.encode()).answer()[0] >= 400
    Client(server.address, source).close()


# Records of a visit: of errors, and of all.
ERRORS, ALL = 4, 6


def no_query(check, scene):
    """--log-query=no: what stands behind a question mark is nowhere."""
    visit(scene.start("--log-query=no"))
    records = individual(scene.stopped())
    check.equal("records", len(records), ALL)
    check.expect(not any(SECRET in str(one) for one in scene.journald.records()), "no query in any field")
    targets = sorted(one.get("HTTP_TARGET", "-").removesuffix("?") for one in records)
    check.equal("targets", targets, ["-", "-", "-", "/none", "/page.html", "/page.html"])
    check.equal("referers", {one["HTTP_REFERER"].removesuffix("?") for one in records if "HTTP_REFERER" in one}, {"http://x/y"})
    scene.start()
    visit(scene.server)
    scene.server.stop()
    check.expect(any(SECRET in str(one) for one in scene.written()), "else they are there")


def addresses(check, scene):
    """--log-address=net and none."""
    choices = [("net", "127.1.2.0", "127.1.2.0"), ("none", None, "-"), ("full", "127.1.2.3", "127.1.2.3")]
    for choice, wanted, told in choices:
        server = scene.start(f"--log-address={choice}")
        before = len(individual(scene.written()))
        visit(server, "127.1.2.3")
        records = individual(scene.stopped())[before:]
        check.equal(f"{choice}: records", len(records), ALL)
        check.equal(choice, {one.get("CLIENT_ADDRESS") for one in records}, {wanted})
        check.equal("in MESSAGE", {one["MESSAGE"].split(" ")[0] for one in records}, {told})
        check.equal("ports", any("CLIENT_PORT" in one for one in records), choice == "full")
        if choice != "full":
            text = str([own_fields(one) for one in scene.journald.records("TARGET=access")][before:])
            check.expect("127.1.2.3" not in text, "not the whole address")


def errors(check, scene):
    """--access-log=errors: what failed or was cut, where the server's log goes."""
    server = scene.start(log="errors", is_journal=True)
    visit(server)
    with Client(server.address, receive_buffer=65536) as client:
        client.send(request("/large")).socket.recv(65536)
        client.reset()
    records = individual(scene.stopped())
    found = sorted(one.get("HTTP_STATUS", "-") for one in records)
    check.equal("statuses", found, ["200", "400", "404", "405", "505"])
    check.expect(all("CAUSE" in one for one in records), "each with its cause")


def off(check, scene):
    """--access-log=off, and no word where the journal does not read the server's output; and the journal where it does."""
    off, default, service = {"log": "off", "is_journal": True}, {"log": None}, {"log": None, "is_journal": True}
    for how, is_logged in [(off, False), (default, False), (service, True)]:
        server = scene.start(**how)
        before = len(scene.written())
        visit(server)
        server.stop()
        check.equal(f"{how}", len(scene.written()) - before, ALL if is_logged else 0)
        check.expect("HTTP_STATUS" not in server.said(), "nothing on stderr")


def lines(check, scene):
    """--access-log=stderr: the same in JSON, a line each, that no control byte breaks."""
    asked = [
        ("/page.html?a=b", {}), ("/none", {"user_agent": 'x\t"\\\x80\xff'}),
        ("/packed.txt", {"accept_encoding": "gzip"}), ("/page.html", {"range": "bytes=1-2"}),
    ]
    told = {}
    for log in ("journal", "stderr"):
        server = scene.start(log=log)
        with Client(server.address) as client:
            for target, fields in asked:
                client.ask(target, **fields)
        with Client(server.address) as client:
            client.send(b'x\x00\x1b[31m\x7f\xff"\\\xe2\x80\xa8 \r\n\r\n').answer()
        server.stop()
        said = [json.loads(line) for line in server.said().splitlines() if log == "stderr"]
        told[log] = [line for line in said if line.get("target") == "access"]
        check.expect(len(said) > len(told[log]) or log != "stderr", "the server's own events are of the same form")
        raw = server.output.read_bytes()
        check.expect(all(byte >= 0x20 or byte == 0x0a for byte in raw) and b"\x7f" not in raw, "no control byte")
    kept = [own_fields(one) for one in individual(scene.written())]
    check.equal("records", len(kept), len(asked) + 1)
    check.equal("lines", (len(told["journal"]), len(told["stderr"])), (0, len(asked) + 1))
    changing = {"DURATION_US", "CLIENT_PORT", "WORKER", "CONNECTION", "PRIORITY", "SYSLOG_IDENTIFIER", "TARGET"}
    told = [{name.upper(): str(value) for name, value in line.items()} for line in told["stderr"]]
    by_request = lambda one: (one.get("HTTP_STATUS", ""), one.get("HTTP_TARGET", ""))
    for one, line in zip(sorted(kept, key=by_request), sorted(told, key=by_request)):
        for name in one.keys() - changing - {"MESSAGE"}:
            check.equal(name, line.get(name), one[name])
        check.expect({"DURATION_US", "CLIENT_PORT", "WORKER", "CONNECTION"} <= line.keys(), f"all in {line}")


def no_journal(check, scene):
    """Without a journal it says so, and does not start."""
    scene.start().stop()
    show = scene.journald.hide()
    try:
        scene.start()
        check.expect(False, "it started")
    except RuntimeError as error:
        check.expect("journal" in str(error), str(error).strip())
    finally:
        show()


def old_systemd(check, scene):
    """Before 231, systemd sets no JOURNAL_STREAM: that journald reads the output is seen by whom it is connected to."""
    with journald_output() as output:
        server = scene.start(log=None, pipe=output)
        visit(server)
        server.stop()
    check.equal("records", len(individual(scene.written())), ALL)
    own = [one for one in scene.journald.records("SYSLOG_IDENTIFIER=otus-httpd") if one.get("SYSLOG_FACILITY") == "3"]
    check.expect(own and all("TARGET" in one for one in own), "the server's own events have fields")


@contextlib.contextmanager
def journald_output():
    """The output of a service: connected to a socket with the name of journald's socket for streams."""
    # In a run of all checks, journald may have created its own.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(OUTPUT)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as output:
        listener.bind(OUTPUT)
        try:
            listener.listen()
            output.connect(OUTPUT)
            with listener.accept()[0]:
                yield output
        finally:
            os.unlink(OUTPUT)


CHECKS = {
    "--log-query": no_query,
    "--log-address": addresses,
    "--access-log=errors": errors,
    "--access-log by default and off": off,
    "--access-log=stderr": lines,
    "JOURNAL_STREAM unset, as by systemd 229": old_systemd,
    "--access-log=journal without a journal": no_journal,
}
