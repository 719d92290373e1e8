"""The real server behind a socket that it gets as from systemd, the numbers of its processes, and its visitors."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
TIMEOUT = 30.0

# Bytes in a packet, as on an Ethernet: of loopback's 64 KiB the kernel holds twenty for a client that does not read.
SEGMENT = 1460

# As SocketOptions of the .socket unit: DeferAcceptSec=, in seconds.
DEFER_ACCEPT = 5


class Server:
    """Two workers for `root`, with `options`, that log to the file `log`. With `certificates`, a directory, they speak TLS."""

    def __init__(self, binary, root, log, options, certificates=None):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_ACCEPT)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4096)
        self.port = self.listener.getsockname()[1]
        self.log = log
        self.metrics_listener = socket.create_server(("127.0.0.1", 0))
        activate = 'exec 3<&0 4<&1 </dev/null >&2; exec "$0" "$@"'
        names = f"{'https' if certificates else 'http'}:metrics"
        environment = {"PATH": os.environ["PATH"], "LISTEN_FDS": "2", "LISTEN_FDNAMES": names}
        if os.geteuid() == 0:
            environment["OTUS_USER"] = "root"
        if certificates:
            options = [f"--certificates={certificates}", *options]
        self.has_tls = certificates is not None
        with open(log, "wb") as stderr:
            self.process = subprocess.Popen(
                ["sh", "-c", activate, binary, "--workers=2", f"--root={root}", *options],
                env=environment, stdin=self.listener, stdout=self.metrics_listener, stderr=stderr,
            )
        wait_until("the server to be ready", lambda: "Ready; " in self.said())
        self.workers = self.children()
        self.key_processes = [pid for pid in descendants(self.process.pid) if name(pid) == "otus-keys"]
        self.own_descriptors = 0
        self.own_descriptors = self.descriptors()

    def close(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            # Twice: at once.
            self.process.terminate()
            self.process.wait(TIMEOUT)
        self.listener.close()
        self.metrics_listener.close()

    def metric(self, sample):
        """The value of a sample: its name, and its labels if it has some."""
        url = f"http://127.0.0.1:{self.metrics_listener.getsockname()[1]}/metrics"
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            lines = response.read().decode().splitlines()
        return next(int(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} "))

    def said(self):
        return self.log.read_text(errors="replace")

    def complaints(self):
        """What an admin would see that is more than a start, unless it is for debugging."""
        return [line for line in self.said().splitlines() if not line.startswith((" INFO", "DEBUG"))]

    def children(self):
        """The workers. Other processes end by themselves, even while this looks."""
        return [child for child in children(self.process.pid) if name(child) not in ("otus-helper", "otus-keys", None)]

    def memory(self):
        """Bytes of all processes together, what they share counted once (proc(5), Pss)."""
        rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in [self.process.pid, *self.workers])
        return sum(int(rollup.partition("\nPss:")[2].split()[0]) * 1024 for rollup in rollups)

    def threads(self):
        """Of all workers."""
        return sum(len(os.listdir(f"/proc/{pid}/task")) for pid in self.workers)

    def descriptors(self):
        """Of all workers, beyond those that they had from the beginning: connections, and the files that they get."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.workers) - self.own_descriptors

    def listings(self):
        """Bytes of all listings that the workers hold, which no process maps: each file in memory counts once."""
        sizes = {}
        for path in (path for pid in self.workers for path in Path(f"/proc/{pid}/fd").iterdir()):
            with contextlib.suppress(OSError):
                if os.readlink(path).startswith("/memfd:listing"):
                    sizes[path.stat().st_ino] = path.stat().st_size
        return sum(sizes.values())

    def cpu_seconds(self):
        """That all workers and the key process have used so far, with what they had the kernel do."""
        pids = [*self.workers, *self.key_processes]
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        return sum(int(user) + int(system) for *_, user, system in (f[:13] for f in fields)) / os.sysconf("SC_CLK_TCK")


class Visitors:
    """Well-behaved clients of a server while the block lasts; then their `report`."""

    def __init__(self, server, length):
        scheme = "https" if server.has_tls else "http"
        groups = [",".join(map(str, pids)) for pids in [server.workers, server.key_processes] if pids]
        self.command = [sys.executable, HERE / "visitor.py", scheme, str(server.port), str(length), *groups]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.report = json.loads(self.process.communicate()[0])


def name(pid):
    """The name of a process, if it has not ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(pid):
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def descendants(pid):
    return [each for child in children(pid) for each in [child, *descendants(child)]]


def wait_until(what, condition, timeout=TIMEOUT):
    """Waits for it, and says how many seconds it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() > begin + timeout:
            raise TimeoutError(f"waited {timeout:.0f} s in vain: {what}")
        time.sleep(0.02)
    return time.monotonic() - begin
