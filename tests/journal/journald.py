"""A real systemd-journald, its socket held as systemd holds it, and what it has written. It has /run to itself, for this is
a mount namespace of its own."""

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import time
import uuid
from pathlib import Path

PROGRAM = "/lib/systemd/systemd-journald"
SOCKET = Path("/run/systemd/journal/socket")
JOURNAL = Path("/run/log/journal")
SETTINGS = """[Journal]
Storage=volatile
RuntimeMaxUse=400M
RateLimitIntervalSec=0
ReadKMsg=no
Audit=no
"""

# As systemd sets it at boot: how many datagrams wait in the socket.
QUEUE = 512

# socket(7), as a .socket unit sets them for journald: PassCredentials=, Timestamping=us.
SO_PASSCRED, SO_TIMESTAMP = 16, 29

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
TIMEOUT = 20.0


def prepare():
    """Makes /run and the network of these namespaces."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", "/run"], check=True)
    Path("/proc/sys/net/unix/max_dgram_qlen").write_text(str(QUEUE))
    with socket.socket() as any_socket:
        flags = fcntl.ioctl(any_socket, SIOCGIFFLAGS, struct.pack("16sH22x", b"lo", 0))
        up = struct.pack("16sH22x", b"lo", struct.unpack("16sH22x", flags)[1] | IFF_UP)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, up)
    settings = Path("/run/systemd/journald.conf.d/test.conf")
    settings.parent.mkdir(parents=True)
    settings.write_text(SETTINGS)
    SOCKET.parent.mkdir()


class Journald:
    """journald with an empty journal."""

    def __init__(self):
        shutil.rmtree(JOURNAL, ignore_errors=True)
        JOURNAL.mkdir(parents=True)
        self.bind()
        self.start()

    def bind(self):
        """Makes the socket, as systemd does at boot. What is sent before journald is there waits in it."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        for option in (SO_PASSCRED, SO_TIMESTAMP):
            self.socket.setsockopt(socket.SOL_SOCKET, option, 1)
        SOCKET.unlink(missing_ok=True)
        self.socket.bind(str(SOCKET))
        SOCKET.chmod(0o666)

    def start(self):
        activate = 'exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec "$0"'
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(["sh", "-c", activate, PROGRAM], stdin=self.socket, **quiet)

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def kill(self):
        """Ends it between two records: what it has in its hands would be lost, and no sender could know."""
        for _ in until(TIMEOUT):
            self.freeze()
            wait_until("journald to be stopped", lambda: state(self.process.pid) == "T")
            if is_waiting(self.process.pid):
                break
            self.thaw()
        else:
            raise TimeoutError("journald is never idle")
        self.process.kill()
        self.process.wait()

    def hide(self):
        """Takes the socket's file away, and gives a function that puts it back."""
        aside = SOCKET.with_name("aside")
        SOCKET.rename(aside)
        return lambda: aside.rename(SOCKET)

    def replace(self):
        """A journald with another socket at the old place. The old one has written all that it was sent."""
        self.hide()
        wait_until("the old socket to be empty", lambda: not select.select([self.socket], [], [], 0)[0])
        self.kill()
        self.socket.close()
        self.bind()
        self.start()

    def close(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        self.socket.close()

    def sync(self):
        """Waits until all that was sent so far is in the journal."""
        mark = uuid.uuid4().hex
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(TIMEOUT)
            sender.sendto(f"MESSAGE=mark\nMARK={mark}\n".encode(), str(SOCKET))
        wait_until("journald to have written all", lambda: query("cat", f"MARK={mark}"))

    def records(self, *matches):
        return [json.loads(line) for line in query("json", *matches).splitlines()]

    def lines(self, *matches):
        """As -o cat shows them, in bytes."""
        return query("cat", *matches).splitlines()


def query(form, *matches):
    # Without --all, -o json leaves out what is longer than 4 KiB.
    command = ["journalctl", "--directory", JOURNAL, "--all", "--quiet", "--no-pager", "--output", form, *matches]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def state(pid):
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_waiting(pid):
    """Whether it is in epoll_wait or epoll_pwait, which have different numbers on different machines."""
    return Path(f"/proc/{pid}/syscall").read_text().split()[0] in EPOLL_WAIT


EPOLL_WAIT = {"x86_64": ("232", "281"), "aarch64": ("22",)}[os.uname().machine]


def until(timeout):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        yield
        time.sleep(0.01)


def wait_until(what, condition, timeout=TIMEOUT):
    """Waits for it, and gives what it gave."""
    for _ in until(timeout):
        if value := condition():
            return value
    raise TimeoutError(f"waited {timeout:.0f} s in vain: {what}")
