"""The servers that are compared: otus-httpd without an option but root and port, and nginx as Debian has it."""

import os
import re
import socket
import subprocess
import time
from pathlib import Path

from server_process import TIMEOUT, ServerProcess


class Server:
    """A server of `site`, with files of its own in `directory`."""

    def __init__(self, site, directory):
        self.site = site
        directory.mkdir()
        # Both take a socket that listens, on a port that is free.
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            command, environment = self.command(directory, listener.fileno(), port)
            self._process = ServerProcess(command, directory / "log", environment, [listener.fileno()])
        self.url = f"http://127.0.0.1:{port}"

    def close(self):
        self._process.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


class Otus(Server):
    """otus-httpd, whose environment says only which user may read the files."""

    binary = None
    name = "otus-httpd"

    def command(self, _, descriptor, __):
        shell = f'exec 3<&{descriptor}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$0" "$@"'
        environment = {"OTUS_USER": "root"} if os.geteuid() == 0 else {}
        return ["bash", "-c", shell, self.binary, "--root", self.site], environment


class Nginx(Server):
    """nginx with the configuration files of Debian's package, in which only root, address, user and logs are others."""

    name = "nginx"

    def command(self, directory, descriptor, port):
        site = Path("/etc/nginx/sites-available/default").read_text()
        site = re.sub(r"(?m)^\s*listen \[::\]:80.*$", "", site)
        site = change(site, r"listen 80 default_server;", f"listen 127.0.0.1:{port} default_server;")
        site = change(site, r"root /var/www/html;", f"root {self.site};")
        (directory / "site").write_text(site)
        main = Path("/etc/nginx/nginx.conf").read_text()
        main = change(main, r"user www-data;", "user root;" if os.geteuid() == 0 else "")
        main = change(main, r"include /etc/nginx/sites-enabled/\*;", f"include {directory}/site;")
        main = change(main, r"pid /run/nginx.pid;", f"pid {directory}/pid;")
        main = re.sub(r"/var/log/nginx", str(directory), main)
        (directory / "nginx.conf").write_text(main)
        return ["nginx", "-c", str(directory / "nginx.conf"), "-g", "daemon off;"], {"NGINX": f"{descriptor};"}


def change(text, pattern, replacement):
    """Replaces what is in the text exactly once."""
    changed, count = re.subn(f"(?m)^(\\s*){pattern}", lambda match: match[1] + replacement, text)
    if count != 1:
        raise RuntimeError(f"nginx's configuration has {count} lines with {pattern}")
    return changed


def version(server):
    """Returns the version of a server."""
    command = ["nginx", "-v"] if server is Nginx else [server.binary, "--version"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    return re.search(r"\d+(\.\d+)+", result.stdout + result.stderr)[0]


def wait_until_ready(url):
    """Clients may already wait on the socket: the first one that is served shows that the server runs."""
    host, port = url.removeprefix("http://").split(":")
    deadline = time.monotonic() + TIMEOUT
    with socket.create_connection((host, int(port)), TIMEOUT) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: site.example\r\nConnection: close\r\n\r\n")
        while client.recv(1 << 16):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{url} does not respond")
