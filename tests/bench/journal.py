"""A real systemd-journald for one server, on a machine where another one runs or none: it has a /run of its own."""

import contextlib
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import servers

# As systemd does at boot: 512 datagrams wait in the socket. Without that, a log's writer is woken for every few.
SCRIPT = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal /run/systemd/journald.conf.d
printf '[Journal]\\nStorage=volatile\\nRateLimitIntervalSec=0\\nReadKMsg=no\\nAudit=no\\n' > /run/systemd/journald.conf.d/bench.conf
echo 512 > /proc/sys/net/unix/max_dgram_qlen
exec /lib/systemd/systemd-journald
"""


@contextlib.contextmanager
def logging(server):
    """Starts journald, and beside `server` another one like it that logs into it. Gives that one and a function that tells
    journald's CPU seconds."""
    command = ["unshare", "--mount", "sh", "-ec", SCRIPT]
    journald = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )
    run = Path(f"/proc/{journald.pid}/root/run")
    try:
        deadline = time.monotonic() + 10
        while not (run / "systemd/journal/socket").exists():
            if journald.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"journald does not start (this row needs root): {journald.stderr.read().decode()}")
            time.sleep(0.01)
        folder = server.folder / f"log-{time.monotonic_ns()}"
        other = servers.Running(into(server.server, journald.pid), folder, server.root)
        try:
            yield other, lambda: time.clock_gettime(servers.process_clock(journald.pid))
        finally:
            other.stop()
        found = ["journalctl", "--directory", run / "log/journal", "--quiet", "--output", "cat", "--lines", "1", "TARGET=access"]
        if not subprocess.run(found, stdout=subprocess.PIPE).stdout:
            raise SystemExit(f"{server.server.label} has logged nothing. It said:\n{other.said()}")
    finally:
        journald.kill()
        journald.wait()


def into(server, journald):
    """The server as it is, but for the log."""

    def configure(folder, root, port):
        return ["nsenter", f"--mount=/proc/{journald}/ns/mnt", *server.configure(folder, root, port), "--access-log=journal"]

    return replace(server, configure=configure)
