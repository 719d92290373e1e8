"""The fronts, with the configurations in packaging/examples."""

import csv
import io
import os
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from machines import FRONT, NAMES, wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "packaging" / "examples"

# What stands in /etc/haproxy/haproxy.cfg of Debian, without the paths of that file.
HAPROXY = """global
    stats socket {socket} level admin
defaults
    mode http
    timeout connect 5000
    timeout client 50000
    timeout server 50000
"""


def is_listening():
    with socket.socket() as connection:
        return connection.connect_ex((FRONT, 80)) == 0


class Front:
    """A process in the foreground."""

    def __init__(self, *command):
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        wait_until(command[0], is_listening)

    def close(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


class HAProxy(Front):
    """HAProxy with the example. A thread notes, twenty times a second, what it says of each server."""

    def __init__(self, work):
        self._socket = work / "haproxy.sock"
        (work / "head.cfg").write_text(HAPROXY.format(socket=self._socket))
        super().__init__("haproxy", "-db", "-q", "-f", str(work / "head.cfg"), "-f", str(EXAMPLES / "haproxy.cfg"))
        # By backend and server: (time, status, sessions until then), where one of the latter has changed.
        self.history = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self):
        self._end.set()
        self._thread.join()
        super().close()

    def _statistics(self):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(b"show stat\n")
            text = b"".join(iter(lambda: connection.recv(65_536), b"")).decode()
        return [row for row in csv.DictReader(io.StringIO(text.removeprefix("# "))) if row["svname"] in NAMES]

    def _watch(self):
        while not self._end.wait(0.05):
            for row in self._statistics():
                # "UP 1/3" is still up.
                state = row["status"].split()[0], int(row["stot"])
                history = self.history.setdefault((row["pxname"], row["svname"]), [])
                if not history or history[-1][1:] != state:
                    history.append((time.time(), *state))

    def is_down(self, name):
        """Whether it sends nothing to this machine, neither HTTP nor TLS."""
        return {history[-1][1] for (_, server), history in list(self.history.items()) if server == name} == {"DOWN"}

    def are_all_up(self):
        return len(self.history) == 2 * len(NAMES) and {history[-1][1] for history in list(self.history.values())} == {"UP"}

    def last_sent(self, name, begin, end):
        """By backend, the seconds from `begin` until it sent a machine the last request or connection before `end`."""
        return {backend: max((after[0] - begin for before, after in zip(history, history[1:])
                              if after[2] > before[2] and begin < after[0] < end), default=0.0)
                for (backend, server), history in self.history.items() if server == name}


def nginx(work):
    (work / "nginx.conf").write_text(f"""daemon off; pid {work}/nginx.pid; error_log {work}/nginx.log;
        events {{}} http {{ access_log off; include {EXAMPLES}/nginx-front.conf; }}\n""")
    return Front("nginx", "-q", "-p", str(work), "-e", str(work / "nginx.log"), "-c", str(work / "nginx.conf"))


def caddy(work):
    os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = str(work)
    return Front("caddy", "run", "--adapter", "caddyfile", "--config", str(EXAMPLES / "Caddyfile"))
