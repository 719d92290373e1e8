"""The columns of the benchmark: each server, how it is configured and started, and how its CPU time is read."""

import functools
import http.client
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import network

WORKERS = 2
# One number for all of them, so that none is measured closing connections that another one keeps (lighttpd takes no more).
REQUESTS_PER_CONNECTION = 65535


@dataclass(frozen=True)
class Server:
    name: str
    label: str
    version: list  # the command that tells it
    configure: Callable  # (folder of its own, document root, port) -> a command that stays in the foreground
    status: int = 200  # of its answer to a plain request for a file
    tls: bool = False


def otus(binary, extra="", name="otus", label="otus-httpd"):
    def configure(folder, root, port):
        address = ["-s", network.server_address(), "-p", str(port)]
        return [binary, *address, "-w", str(WORKERS), "-r", str(root), *shlex.split(extra)]

    return Server(name, label, [binary, "--version"], configure)


def nginx(name, label, listen="", http="", tls=False):
    def configure(folder, root, port):
        temporary = "\n".join(
            f"{kind}_temp_path {folder};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(f"""
            daemon off;
            worker_processes {WORKERS};
            pid {folder}/pid;
            error_log stderr;
            events {{ worker_connections 16384; }}
            http {{
                include /etc/nginx/mime.types;
                types_hash_max_size 2048;
                access_log off;
                log_not_found off;
                keepalive_requests {REQUESTS_PER_CONNECTION};
                {temporary}
                {http}
                server {{
                    listen {network.server_address()}:{port} {listen};
                    root {root};
                }}
            }}
        """)
        return ["nginx", "-c", str(folder / "nginx.conf")]

    return Server(name, label, ["nginx", "-v"], configure, tls=tls)


def caddy():
    """Caddy, which compresses. It has one process, which runs on as many processors as the others have workers."""

    def configure(folder, root, port):
        (folder / "Caddyfile").write_text(f"""
            {{
                admin off
                auto_https off
                storage file_system {folder}
                log {{
                    output discard
                }}
            }}
            http://:{port} {{
                bind 127.0.0.1
                root * {root}
                encode zstd gzip
                file_server
            }}
        """)
        home = ["env", f"HOME={folder}", f"GOMAXPROCS={WORKERS}"]
        return [*home, "caddy", "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]

    return Server("caddy-encode", "Caddy, encode zstd gzip", ["caddy", "version"], configure)


def lighttpd(extra="", tls=False):
    def configure(folder, root, port):
        (folder / "lighttpd.conf").write_text(f"""
            server.document-root = "{root}"
            server.bind = "{network.server_address()}"
            server.port = {port}
            server.max-worker = {WORKERS}
            server.max-fds = 20000
            server.max-connections = 16384
            server.max-keep-alive-idle = 60
            server.max-keep-alive-requests = {REQUESTS_PER_CONNECTION}
            mimetype.assign = ( ".html" => "text/html", ".css" => "text/css", ".js" => "text/javascript", ".png" => "image/png", ".woff2" => "font/woff2" )
            {extra}
        """)
        return ["lighttpd", "-D", "-f", str(folder / "lighttpd.conf")]

    return Server("lighttpd", "lighttpd", ["lighttpd", "-v"], configure, tls=tls)


def apache():
    modules = "/usr/lib/apache2/modules"
    # A process whose threads are all busy closes keep-alive connections, which wrk counts as errors; none gets more than 100.
    threads = 128

    def configure(folder, root, port):
        (folder / "apache.conf").write_text(f"""
            LoadModule mpm_event_module {modules}/mod_mpm_event.so
            LoadModule authz_core_module {modules}/mod_authz_core.so
            LoadModule mime_module {modules}/mod_mime.so
            {"User www-data" if os.geteuid() == 0 else ""}
            {"Group www-data" if os.geteuid() == 0 else ""}
            ServerRoot {folder}
            DefaultRuntimeDir {folder}
            PidFile {folder}/pid
            ErrorLog {folder}/error.log
            ServerName localhost
            Listen 127.0.0.1:{port}
            EnableSendfile On
            TypesConfig /dev/null
            AddType text/html .html
            DocumentRoot {root}
            <Directory {root}>
                Options FollowSymLinks
                AllowOverride None
                Require all granted
            </Directory>
            ServerLimit {WORKERS}
            StartServers {WORKERS}
            ThreadLimit {threads}
            ThreadsPerChild {threads}
            MaxRequestWorkers {WORKERS * threads}
            MinSpareThreads 1
            MaxSpareThreads {WORKERS * threads}
            MaxKeepAliveRequests {REQUESTS_PER_CONNECTION}
        """)
        return ["apache2", "-D", "FOREGROUND", "-f", str(folder / "apache.conf")]

    return Server("apache", "Apache event", ["apache2", "-v"], configure)


def floor(program, file):
    """A constant answer of the usual fields with the file's content: what cannot be undercut on this machine."""

    def configure(folder, root, port):
        content = (root / file).read_bytes()
        fields = f"Content-Type: text/html\nContent-Length: {len(content)}\nAccept-Ranges: bytes\nX-Content-Type-Options: nosniff\n"
        return constant(program, folder, port, FLOOR_HEAD.format("200 OK", fields), content)

    return Server("floor", "constant answer", None, configure)


def floor_not_modified(program):
    """The same for a file that the client has."""

    def configure(folder, root, port):
        return constant(program, folder, port, FLOOR_HEAD.format("304 Not Modified", ""))

    return Server("floor-304", "constant 304", None, configure, status=304)


def constant(program, folder, port, head, content=b""):
    (folder / "answer").write_bytes(head.replace("\n", "\r\n").encode() + content)
    return [program, str(port), str(WORKERS), str(folder / "answer")]


FLOOR_HEAD = """HTTP/1.1 {}
Date: Sat, 22 Nov 2025 10:00:00 GMT
Server: Floor
Connection: keep-alive
Last-Modified: Sat, 22 Nov 2025 10:00:00 GMT
ETag: "187a4f2d3c1b5e00-61"
{}
"""


def everyone(otus_binary, compared_binary, otus_args, floor_program, file):
    return [
        otus(otus_binary, otus_args),
        otus(compared_binary, otus_args, "compared", "compared otus-httpd"),
        nginx("nginx-tuned", "nginx tuned", "reuseport deferred", OPEN_FILES + "sendfile off;"),
        nginx("nginx-sendfile", "nginx tuned, sendfile", "reuseport deferred", OPEN_FILES + SENDFILE),
        nginx("nginx", "nginx plain", "", SENDFILE),
        nginx("nginx-gzip", "nginx with Debian's gzip", "", SENDFILE + "gzip on;"),
        nginx("nginx-gzip-types", "nginx with gzip_types", "", SENDFILE + GZIP_TYPES),
        caddy(),
        otus(otus_binary, f"{otus_args} --compress-cache 0", "otus-uncompressed", "otus-httpd, --compress-cache 0"),
        otus(otus_binary, f"{otus_args} --compress-cache 1m", "otus-small-cache", "otus-httpd, --compress-cache 1m"),
        otus(otus_binary, f"{otus_args} -w 16", "otus-16-workers", "otus-httpd, 16 workers"),
        otus(otus_binary, f"{otus_args} -w 16 --compress-cache 0", "otus-16-uncompressed", "otus-httpd, 16 workers, --compress-cache 0"),
        lighttpd(),
        apache(),
        floor(floor_program, file),
        floor_not_modified(floor_program),
    ]


OPEN_FILES = "open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s; "
# As Debian's nginx.conf has it. With it nginx is cheaper where the connection ends with the answer (the body leaves in one
# packet with the FIN), and dearer on keep-alive (a file of 97 bytes sent by sendfile, corked): hence two tuned columns.
SENDFILE = "sendfile on; tcp_nopush on;"


# As the comments in Debian's nginx.conf propose it.
GZIP_TYPES = """gzip on; gzip_vary on; gzip_comp_level 6; gzip_types text/plain text/css application/json application/javascript text/xml
application/xml application/xml+rss text/javascript;"""


# All but empty: no OTUS_ variable changes the defaults, no journal or notify socket is inherited. otus-httpd serves as root
# only if it is told so.
ENVIRONMENT = {"PATH": os.environ["PATH"], **({"OTUS_USER": "root"} if os.geteuid() == 0 else {})}


class Running:
    """A started server. It leads a session of its own: Ctrl-C in the terminal does not reach it, and the session tells
    which processes are its own, however they were forked."""

    def __init__(self, server, folder, root):
        self.server = server
        self.folder, self.root = folder, root
        self.port = free_port()
        self.stopped = False
        folder.mkdir()
        self.log = folder / "output"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                server.configure(folder, root, self.port),
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )

    def url(self, name):
        return f"{'https' if self.server.tls else 'http'}://127.0.0.1:{self.port}/{name}"

    def connect(self, timeout):
        """A connection, after the handshake of a server with TLS."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        # A request after the end of a handshake must not wait for the server's acknowledgement.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client_context().wrap_socket(connection) if self.server.tls else connection

    def check(self, name, expected):
        """Waits until the server answers at all, then demands the right answer."""
        deadline = time.monotonic() + 15
        while True:
            try:
                answer = self.ask(name)
                break
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{self.server.label} does not answer ({error}). It said:\n{self.said()}")
                time.sleep(0.02)
        expected = expected if self.server.status == 200 else b""
        if answer.status != self.server.status or answer.content != expected:
            raise SystemExit(
                f"{self.server.label} answers /{name} with status {answer.status} and {len(answer.content)} bytes, "
                f"not with {self.server.status} and {len(expected)} bytes. It said:\n{self.said()}"
            )

    def etag(self, name):
        """The file's entity tag, after the server has shown that it answers 304 to it."""
        tag = self.ask(name).getheader("ETag")
        status = self.ask(name, {"If-None-Match": tag or "none"}).status
        if status != 304:
            raise SystemExit(f"{self.server.label} answers {status} to its own ETag {tag}, not 304.")
        return tag

    def ask(self, name, headers={}):
        if self.server.tls:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=client_context())
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("GET", "/" + name, headers=headers)
        answer = connection.getresponse()
        answer.content = answer.read()
        connection.close()
        return answer

    def said(self):
        return self.log.read_text(errors="replace")[-2000:]

    def cpu_seconds(self):
        """User and system time that all processes of the server have used so far.

        /proc/PID/stat counts in ticks of 10 ms, rounded down twice a process: 2 % of a run. The process CPU clock is the
        same sum over all threads, ended ones included, in nanoseconds. Only what processes that have ended leave behind
        with their parent (cutime, cstime) is to be had in ticks alone; servers here keep their processes.
        """
        total = 0.0
        for pid, fields in session_processes(self.process.pid):
            try:
                total += time.clock_gettime(process_clock(pid))
            except OSError:
                continue  # ended since it was listed: its parent has its time
            total += (int(fields[CUTIME]) + int(fields[CSTIME])) / os.sysconf("SC_CLK_TCK")
        return total

    def memory(self):
        """Bytes that the server's processes take, what they share counted once (Pss)."""
        total = 0
        for pid, _ in session_processes(self.process.pid):
            with suppress(FileNotFoundError, ProcessLookupError):
                total += int(re.search(r"^Pss: +(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) * 1024
        return total

    def threads(self):
        return sum(int(fields[THREADS]) for _, fields in session_processes(self.process.pid))

    def stop(self):
        if self.stopped:
            return  # by now the number of its session may be another's
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            print(f"{self.server.label} does not stop within 10 s of TERM; it is killed.", file=sys.stderr, flush=True)
        # The number of a session is not given away while a process of it lives: these are ours alone.
        for pid, _ in session_processes(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(timeout=10)
        self.stopped = True


# Places in /proc/PID/stat, counted after the command name, which may itself hold spaces and brackets (man 5 proc_pid_stat).
STATE, SESSION, CUTIME, CSTIME, THREADS = 0, 3, 13, 14, 17


@functools.cache
def client_context():
    """Of a client that accepts every certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def session_processes(session):
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[SESSION]) == session and fields[STATE] != "Z":
                yield int(entry.name), fields


def process_clock(pid):
    """What clock_getcpuclockid(3) makes of a process number; Python has it for threads only."""
    return (~pid << 3) | 2


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
