"""The server under test behind sockets that it gets as from systemd, one for visitors, one for metrics and one for TLS."""

import contextlib
import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import urllib.request
from pathlib import Path

from journald import wait_until

# In struct tcp_info; of a listening socket it is the length of its queue.
UNACKED = 24


class Server:
    """Two workers for `root`, with `options`; `listener` is what visitors connect to. Its log goes to a file, or to `pipe`. With
    `has_tls` there is a socket for HTTPS; `environment` has further variables."""

    def __init__(self, binary, root, options=(), listener=None, is_journal=False, pipe=None, has_tls=False, environment=()):
        self.root = root
        self.listener = listener or listen(socket.AF_INET, ("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.metrics_listener = listen(socket.AF_INET, ("127.0.0.1", 0))
        self.output = root.parent / "output"
        # The third one is passed above the numbers that the sockets get.
        self.tls_listener = listen(socket.AF_INET, ("127.0.0.1", 0)) if has_tls else None
        third = [fcntl.fcntl(self.tls_listener, fcntl.F_DUPFD, 100)] if has_tls else []
        moves = "".join(f" 5<&{fd} {fd}<&-" for fd in third)
        activate = f'exec 3<&0 4<&1{moves} </dev/null >/dev/null; exec "$0" "$@"'
        names = ["http", "metrics", *["https" for _ in third]]
        variables = {"LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names), "OTUS_USER": "root", **dict(environment)}
        with open(self.output, "wb") as output:
            status = os.fstat(output.fileno())
            if is_journal:
                variables["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
            self.process = subprocess.Popen(
                ["bash", "-c", activate, binary, "--workers=2", f"--root={root}", *options],
                env={"PATH": os.environ["PATH"], **variables},
                stdin=self.listener, stdout=self.metrics_listener, stderr=pipe or output, pass_fds=third,
            )
        for fd in third:
            os.close(fd)
        wait_until("the server to be ready", lambda: self.process.poll() is not None or self.is_ready())
        if self.process.returncode is not None:
            raise RuntimeError(f"the server ended: {self.said()}")

    def is_ready(self):
        # If the server has ended, nobody ever answers: its sockets are still there.
        with contextlib.suppress(OSError):
            return self.metrics(0.5)["otus_workers_ready"] == 2

    def url(self, name=""):
        return f"http://127.0.0.1:{self.address[1]}/{name}"

    def said(self):
        return self.output.read_text(errors="replace")

    def metrics(self, timeout=10):
        """{name with labels: value}"""
        address = f"http://127.0.0.1:{self.metrics_listener.getsockname()[1]}/metrics"
        with urllib.request.urlopen(address, timeout=timeout) as answer:
            samples = re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", answer.read().decode(), re.MULTILINE)
        return {name: float(value) for name, value in samples}

    def queue(self):
        """How many connections wait to be accepted."""
        return struct.unpack_from("=I", self.listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), UNACKED)[0]

    def workers(self):
        pid = self.process.pid
        children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return [child for child in children if is_worker(child)]

    def stop(self, timeout=20):
        """In peace: what it has to log is logged before it ends."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout)

    def close(self):
        if self.process.poll() is None:
            for pid in [*self.workers(), self.process.pid]:
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.listener.close()
        self.metrics_listener.close()
        if self.tls_listener:
            self.tls_listener.close()


def listen(family, address):
    listener = socket.socket(family)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(address)
    listener.listen(4096)
    return listener


def is_worker(pid):
    """Whether it is not the helper process. It may have ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "otus-httpd\n"
    except (FileNotFoundError, ProcessLookupError):
        return False
