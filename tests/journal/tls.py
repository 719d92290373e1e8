"""What a record says about TLS, and the events of certificates and of the process that has their keys."""

import ctypes
import os
import signal
import socket
import ssl
import subprocess
from pathlib import Path

from client import request
from fields import PAGE, compare
from journald import wait_until
from record import COMMON, own_fields
from scene import individual

NAME = "shop.example"
PIDFD_GETFD = 438


def write_certificate(folder, days=30):
    """One for NAME, which the server signs for itself."""
    folder.mkdir(parents=True)
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "privkey.pem"]
    call(folder, "req", "-new", "-config", "/dev/null", *key, "-subj", "/CN=test", "-addext", f"subjectAltName=DNS:{NAME}", "-out", "request")
    signed = ["-signkey", "privkey.pem", "-days", str(days), "-copy_extensions", "copy"]
    call(folder, "x509", "-req", "-in", "request", *signed, "-out", "fullchain.pem")


def call(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, stderr=subprocess.DEVNULL)


def ask(server, context, session=None):
    """A request over TLS. Returns its port and its session."""
    with socket.create_connection(server.tls_listener.getsockname(), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname=NAME, session=session) as client:
            client.sendall(request(host=NAME, connection="close"))
            received = b""
            while data := client.recv(65536):
                received += data
            assert received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"x" * PAGE), received[:80]
            return client.getsockname()[1], client.session


def records(check, scene):
    """The scheme of a request, and what client and server have agreed on."""
    folder = scene.root.parent / "tls-records" / "first"
    write_certificate(folder)
    server = scene.start(f"--certificates={folder.parent}", has_tls=True)
    wanted = {}
    for version, name in [(ssl.TLSVersion.TLSv1_3, "TLSv1.3"), (ssl.TLSVersion.TLSv1_2, "TLSv1.2")]:
        context = ssl.create_default_context(cafile=folder / "fullchain.pem")
        context.minimum_version = context.maximum_version = version
        session = None
        for resumed in ("no", "yes"):
            port, session = ask(server, context, session)
            wanted[port] = name, resumed
    found = {int(one["CLIENT_PORT"]): one for one in individual(scene.stopped())}
    check.equal("records", found.keys(), wanted.keys())
    for port, (version, resumed) in wanted.items():
        fields = {
            "HTTP_METHOD": "GET", "HTTP_TARGET": "/page.html", "HTTP_HOST": NAME, "HTTP_STATUS": "200", "REQUEST": "1",
            "BYTES_SENT": str(PAGE), "CLIENT_ADDRESS": "127.0.0.1", "HTTP_SCHEME": "https", "TLS_VERSION": version,
            "TLS_CIPHER": any, "TLS_NAME": NAME, "TLS_RESUMED": resumed,
        }
        # A session of TLS 1.2 is resumed without a key exchange.
        if (version, resumed) != ("TLSv1.2", "yes"):
            fields["TLS_GROUP"] = "X25519"
        compare(check, found.get(port, {}), fields)
    check.equal("by name", len(scene.written(f"TLS_NAME={NAME}", "TLS_RESUMED=yes")), 2)


def key_process(server):
    """The child of the monitor, which is a child of the server."""
    for child in children(server.process.pid):
        if Path(f"/proc/{child}/comm").read_text() == "otus-keys\n":
            return next(iter(children(child)), None)
    return None


def children(pid):
    return map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def requested(server):
    """Requests it from one worker, and says whether the key process has refused it, and so the worker was replaced."""
    worker = server.workers()[0]
    request_signature_of_digest(worker)
    try:
        wait_until("its end", lambda: worker not in server.workers(), 2)
    except TimeoutError:
        return False
    return True


def request_signature_of_digest(worker):
    """As a compromised worker does it: over its own sockets to the key process."""
    process = os.pidfd_open(worker)
    for name in os.listdir(f"/proc/{worker}/fd"):
        number = ctypes.CDLL(None).syscall(PIDFD_GETFD, process, int(name), 0)
        if number < 0 or not os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
            continue
        with socket.socket(fileno=number) as own:
            if own.type == socket.SOCK_SEQPACKET:
                try:
                    own.send(bytes([4, 9, 0, 0, 0]) + bytes(32) + bytes([3, 4, 32, 0]) + bytes(32))
                except OSError:
                    pass  # The worker was replaced after the request before.


def events(check, scene):
    """Those of certificates and of the key process have the identifiers and the fields that scripts look for."""
    directory = scene.root.parent / "tls-events"
    write_certificate(directory / "first")
    write_certificate(directory / "old", days=-1)
    (directory / "empty").mkdir()
    options = [f"--certificates={directory}"]
    server = scene.start(*options, is_journal=True, has_tls=True)
    context = ssl.create_default_context(cafile=directory / "first/fullchain.pem")
    os.kill(wait_until("the key process", lambda: key_process(server)), signal.SIGKILL)
    # A worker takes its next connection when it needs it.
    wait_until("the refusal", lambda: ask(server, context) and requested(server))
    for event, names in [
        ("ff72fae60f2c2ad992dde422426f4b3a", {"HOW", "LIVED_MS", "PAUSE_MS"}),
        ("946d3ce28dd3e8225c4b13ba335ed9f5", {"WORKER_PID", "WHY"}),
        ("30418de95d6472c12410fdf5e9f6f08e", {"CERTIFICATE"}),
        ("58a3ba6f3a8334bae230eea5a674fdbf", {"CERTIFICATE"}),
    ]:
        expect_event(check, scene, event, names)
    server.stop()
    server = scene.start(*options, is_journal=True, has_tls=True, environment={"OTUS_KEYS_SOCKET": "/none"})
    expect_event(check, scene, "e5afcb5ef7c3c83f194063c1de78d923", {"WHY"})
    server.stop()


def expect_event(check, scene, event, names):
    found = []
    wait_until(f"MESSAGE_ID={event}", lambda: found.extend(scene.journald.records(f"MESSAGE_ID={event}")) or found)
    check.equal(f"fields of {event}", set(own_fields(found[0])), COMMON | {"MESSAGE_ID"} | names)
    check.equal(f"priority of {event}", found[0]["PRIORITY"], "3")


CHECKS = {"TLS in records": records, "events of certificates and keys": events}
