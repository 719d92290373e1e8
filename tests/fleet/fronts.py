"""The fronts, with the configurations in packaging/examples."""

import csv
import io
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from machines import FRONT, HOST, NAMES, wait_until

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
    """A process in the foreground. `certificate` is that of its own authority, if TLS ends there."""

    certificate = None

    def __init__(self, log, *command):
        with open(log, "wb") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(command[0], is_listening)

    def close(self):
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)


class HAProxy(Front):
    """HAProxy with the example. A thread notes, twenty times a second, what it says of each server."""

    def __init__(self, work):
        self._socket = work / "haproxy.sock"
        (work / "head.cfg").write_text(HAPROXY.format(socket=self._socket))
        super().__init__(work / "haproxy.log", "haproxy", "-db", "-q", "-f", str(work / "head.cfg"), "-f", str(EXAMPLES / "haproxy.cfg"))
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
        """The seconds from `begin` until it sent a machine the last request or connection before `end`."""
        return max((after[0] - begin for (_, server), history in self.history.items() if server == name
                    for before, after in zip(history, history[1:]) if after[2] > before[2] and begin < after[0] < end), default=0.0)

    def down_after(self, name, begin):
        """The seconds from `begin` until the checks had failed, of both backends."""
        return max(next((time - begin for time, status, _ in history if time > begin and status == "DOWN"), 0.0)
                   for (_, server), history in self.history.items() if server == name)


def nginx(work):
    (work / "nginx.conf").write_text(f"""daemon off; pid {work}/nginx.pid;
        events {{}} http {{ access_log off; include {EXAMPLES}/nginx-front.conf; }}\n""")
    return Front(work / "nginx.log", "nginx", "-q", "-p", str(work), "-e", "stderr", "-c", str(work / "nginx.conf"))


def caddy(work):
    """With certificates of its own instead of Let's Encrypt's."""
    (work / "Caddyfile").write_text("{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n}\n" + (EXAMPLES / "Caddyfile").read_text())
    command = ["env", f"XDG_DATA_HOME={work}", f"XDG_CONFIG_HOME={work}", "caddy", "run", "--adapter", "caddyfile"]
    front = Front(work / "caddy.log", *command, "--config", str(work / "Caddyfile"))
    front.certificate = work / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    wait_until("a certificate", lambda: front.certificate.exists() and has_certificate(front.certificate))
    return front


def has_certificate(authority):
    context = ssl.create_default_context(cafile=authority)
    try:
        with socket.create_connection((FRONT, 443), 10) as connection, context.wrap_socket(connection, server_hostname=HOST):
            return True
    except OSError:
        return False
