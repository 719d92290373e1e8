#!/usr/bin/env python3
"""HTTP/2 of the real server: the cases of cases/, over TLS and in clear, clients of others, and reloads under load.

    http2.py BINARY
"""

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from browser import check_chromium, check_firefox, make_site  # noqa: E402
from cases import check_cases, check_encoders  # noqa: E402
from clients import check_clients  # noqa: E402
from reloads import check_reloads  # noqa: E402
from server_process import ServerProcess  # noqa: E402

# The server keeps small files in memory once they are older than two seconds.
SETTLED_SECONDS = 2

FILES = {
    "index.html": b"<!DOCTYPE html>\n<title>Page</title>\n",
    "text.txt": "".join(f"{number}\n" for number in range(20_000)).encode(),
    "large": random.Random(1).randbytes(1_000_000),
}


def main():
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        (work / "site").mkdir()
        for name, content in FILES.items():
            (work / "site" / name).write_bytes(content)
        (work / "certificates" / "first").mkdir(parents=True)
        command = ["openssl", "req", "-x509", "-config", "/dev/null", "-subj", "/CN=test", "-days", "30", "-nodes", "-newkey", "ec"]
        command += ["-addext", "subjectAltName=DNS:a.test,DNS:localhost", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command += ["-keyout", "privkey.pem", "-out", "fullchain.pem"]
        subprocess.run(command, check=True, capture_output=True, cwd=work / "certificates" / "first")
        command = [sys.argv[1], "--port=0", "--https-port=0", "--workers=2", "--http2=cleartext",
                   f"--certificates={work / 'certificates'}"]
        server = ServerProcess([*command, f"--root={work / 'site'}"], work / "log")
        try:
            server.wait_for("Ready; ")
            ports = {is_tls: int(server.wait_for(rf"Listening on {scheme}://127\.0\.0\.1:(\d+)/"))
                     for is_tls, scheme in [(True, "https"), (False, "http")]}
            time.sleep(SETTLED_SECONDS)
            results = [check_encoders(True)]
            for is_tls, port in ports.items():
                results += [check_cases(port, is_tls), check_clients(port, is_tls, FILES, work)]
        finally:
            server.close()
        results += [*browsers(command, work), reloads(command, work)]
        # A warning is for what an admin should know; nothing that a client sends is.
        complaints = [line for line in server.text().splitlines() if not line.startswith(" INFO")]
        print("".join(f"{line}\n" for line in complaints) + f"{'FAIL' if complaints else 'PASS'} the log has no warnings")
        return 0 if all(results) and not complaints else 1


def browsers(command, work):
    make_site(work / "assets")
    command = [*command, f"--root={work / 'assets'}"]
    return [with_access_log(command, work / f"{check.__name__}.log", check, work) for check in (check_chromium, check_firefox)]


def reloads(command, work):
    return with_access_log([*command, f"--root={work / 'site'}"], work / "reloads.log", check_reloads, FILES, work)


def with_access_log(command, log, check, *parameters):
    """A check of a server whose access log says on what it has acted."""
    server = ServerProcess([*command, "--access-log=stderr", "--log-rate=1000000"], log)
    try:
        server.wait_for("Ready; ")
        return check(server, int(server.wait_for(r"Listening on https://127\.0\.0\.1:(\d+)/")), *parameters)
    finally:
        server.close()


if __name__ == "__main__":
    sys.exit(main())
