#!/usr/bin/env python3
"""Measures logins (--auth): what a first one takes, what others notice of eight at a time, and the memory of the login process.

    tests/bench/logins.py PROGRAM               # an otus-httpd; needs htpasswd, argon2 and openssl

All users of a kind of hash have one password, so that each user is a first login. The passwords are right: wrong ones would soon
get 429. The machine's other load is in the times: the first line has its load average.
"""
import base64
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PASSWORD = "correct horse battery"
FIRST_LOGINS = 20  # of each kind
REQUESTS = 2_000  # of the client beside the logins
PARALLEL = 8
SALT = "c2FsdHNhbHQ"
# The parameters of argon2: those of RustCrypto and of OWASP's advice, and the most that is accepted.
ARGON2 = ["-id", "-t", "2", "-p", "1", "-e", "-k", "19456"]
ARGON2_MOST = ["-id", "-t", "1", "-p", "1", "-e", "-k", "65536"]


def output(command, text=None):
    return subprocess.run(command, input=text, capture_output=True, check=True, text=True).stdout.strip()


def hashes():
    """A hash of the password, by kind."""
    return {
        "bcrypt, cost 10": output(["htpasswd", "-nbB", "-C", "10", "user", PASSWORD]).split(":")[1],
        "argon2id, 19 MiB, 2 passes": output(["argon2", SALT, *ARGON2], PASSWORD),
        "SHA-512-crypt, 5,000 rounds": output(["openssl", "passwd", "-6", PASSWORD]),
        "argon2id, 64 MiB, 1 pass": output(["argon2", SALT, *ARGON2_MOST], PASSWORD),
    }


class Server:
    def __init__(self, program, top, lines):
        os.mkdir(os.path.join(top, "etc"))
        os.makedirs(os.path.join(top, "srv/site/private"))
        for name in ("private/page.html", "open.html"):
            with open(os.path.join(top, "srv/site", name), "w", encoding="ascii") as out:
                out.write("a" * 97)
        users = os.path.join(top, "etc/users")
        with open(users, "w", encoding="ascii") as out:
            out.writelines(lines)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [os.path.abspath(program), "-r", os.path.join(top, "srv/site"), "-s", "127.0.0.1", "-p", str(self.port)]
        command += ["-w", "1", "--access-log", "off", f"--auth=/private={users}"]
        if os.geteuid() == 0:
            command.append("--user=root")
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self.is_ready():
            if time.monotonic() > deadline or self.process.poll() is not None:
                sys.exit("The server did not start.")
            time.sleep(0.05)

    def is_ready(self):
        try:
            self.get(self.connect(), "/open.html")
            return True
        except OSError:
            return False

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def get(self, connection, path, user=None):
        """Returns the time of a request in milliseconds."""
        fields = {}
        if user:
            fields["Authorization"] = "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
        begin = time.perf_counter()
        connection.request("GET", path, headers=fields)
        response = connection.getresponse()
        response.read()
        if response.status != 200:
            sys.exit(f"{path} for {user}: {response.status}")
        return 1_000 * (time.perf_counter() - begin)

    def log_in(self, connection, user):
        return self.get(connection, "/private/page.html", user)

    def login_process(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            for pid in children.read().split():
                with open(f"/proc/{pid}/comm", encoding="ascii") as name:
                    if name.read() == "otus-logins\n":
                        return pid
        sys.exit("There is no login process.")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def with_server(program, prefix, line, count, measure):
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o755)
        server = Server(program, top, [f"{prefix}{number}:{line}\n" for number in range(count)])
        try:
            return measure(server)
        finally:
            server.stop()


def first_logins(server):
    connection = server.connect()
    server.get(connection, "/open.html")
    first = [server.log_in(connection, f"u{number}") for number in range(FIRST_LOGINS)]
    known = [server.log_in(connection, f"u{number}") for number in range(FIRST_LOGINS)]
    return statistics.median(first), max(first), statistics.median(known)


def beside_logins(server):
    """The 99th percentile of another client without and with logins in parallel, and the most memory of the login process."""
    connection = server.connect()

    def p99():
        return statistics.quantiles((server.get(connection, "/open.html") for _ in range(REQUESTS)), n=100)[98]

    quiet, is_over, lock, users = p99(), threading.Event(), threading.Lock(), iter(range(10_000))

    def log_in():
        own = server.connect()
        while not is_over.is_set():
            with lock:
                user = next(users)
            server.log_in(own, f"u{user}")

    threads = [threading.Thread(target=log_in) for _ in range(PARALLEL)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    begin = time.perf_counter()
    busy = p99()
    seconds = time.perf_counter() - begin
    is_over.set()
    for thread in threads:
        thread.join()
    pid = server.login_process()
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        most = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
    # Besides the thread that reads requests, each compares one password at a time.
    return quiet, busy, seconds, most, len(os.listdir(f"/proc/{pid}/task")) - 1


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    program, kinds = sys.argv[1], hashes()
    print(f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.1f}")
    for kind, line in kinds.items():
        first, longest, known = with_server(program, "u", line, FIRST_LOGINS, first_logins)
        print(f"{kind}: a first login {first:.0f} ms (longest {longest:.0f}), a known one {known:.2f} ms")
    for kind in ("bcrypt, cost 10", "argon2id, 64 MiB, 1 pass"):
        quiet, busy, seconds, most, threads = with_server(program, "u", kinds[kind], 10_000, beside_logins)
        who = "1 thread that compares" if threads == 1 else f"{threads} threads that compare"
        print(
            f"{PARALLEL} first logins at a time ({kind}), for {seconds:.1f} s: p99 of another client {busy:.2f} ms, {quiet:.2f} ms "
            f"without; the login process has {who}, and took up to {most:.0f} MiB"
        )


if __name__ == "__main__":
    main()
