"""The real server behind a socket that it gets as from systemd, the numbers of its processes, and its visitors."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
TIMEOUT = 30.0

# Bytes in a packet, as on an Ethernet: of loopback's 64 KiB the kernel holds twenty for a client that does not read.
SEGMENT = 1460

# As SocketOptions of the .socket unit: DeferAcceptSec=, in seconds.
DEFER_ACCEPT = 5


class Server:
    """Two workers for `root`, with `options`, that log to the file `log`."""

    def __init__(self, binary, root, log, options):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT)
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_ACCEPT)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(4096)
        self.port = self.listener.getsockname()[1]
        self.log = log
        activate = 'exec 3<&0 </dev/null; exec "$0" "$@"'
        with open(log, "wb") as stderr:
            self.process = subprocess.Popen(
                ["sh", "-c", activate, binary, "--workers=2", f"--root={root}", *options],
                env={"PATH": os.environ["PATH"], "LISTEN_FDS": "1", **({"OTUS_USER": "root"} if os.geteuid() == 0 else {})},
                stdin=self.listener, stdout=stderr, stderr=stderr,
            )
        wait_until("the server to be ready", lambda: "Ready; " in self.said())
        self.workers = self.children()
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

    def said(self):
        return self.log.read_text(errors="replace")

    def complaints(self):
        """What an admin would see that is more than a start."""
        return [line for line in self.said().splitlines() if not line.startswith(" INFO")]

    def children(self):
        pid = self.process.pid
        children = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return [child for child in children if not is_helper(child)]

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
        """That all workers have used so far, with what they had the kernel do."""
        fields = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.workers]
        return sum(int(user) + int(system) for *_, user, system in (f[:13] for f in fields)) / os.sysconf("SC_CLK_TCK")


class Visitors:
    """Well-behaved clients of a server while the block lasts; then their `report`."""

    def __init__(self, server, length):
        self.command = [sys.executable, HERE / "visitor.py", *map(str, [server.port, length, *server.workers])]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_):
        self.report = json.loads(self.process.communicate()[0])


def is_helper(pid):
    """Whether it is the helper process, which ends by itself, even while this looks."""
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "otus-helper\n"
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_until(what, condition, timeout=TIMEOUT):
    """Waits for it, and says how many seconds it took."""
    begin = time.monotonic()
    while not condition():
        if time.monotonic() > begin + timeout:
            raise TimeoutError(f"waited {timeout:.0f} s in vain: {what}")
        time.sleep(0.02)
    return time.monotonic() - begin
