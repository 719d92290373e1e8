#!/usr/bin/env python3
"""TLS as others judge it, each with a line of PASS or FAIL.

    tls.py BINARY --sslyze PROGRAM
"""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import clients
import scanners
import testssl
from authority import Authority
from browser import Browser
from server import FILES, RESULT, Server

# Long outputs are cut to so many characters in a line of FAIL.
LONG = 4000


def chromium(server, directory, root):
    """Returns what is wrong, and a summary: with the root trusted for each version of TLS, and without."""
    faults, seen = [], []
    for version in ("1.3", "1.2"):
        home = directory / f"chromium-{version}"
        home.mkdir()
        user_agent = f"chromium-{version}"
        with Browser(home, root, server.port, f"--ssl-version-max=tls{version}", f"--user-agent={user_agent}") as browser:
            error, events, result = browser.visit()
        faults += [f"TLS {version}: {fault}" for fault in examine(error, events, result, version)]
        paths = ["/" if name == "index.html" else f"/{name}" for name in FILES if name != "text.txt"]
        records = server.records(user_agent, len(paths))
        # The icon is the picture as well, and Chromium may cancel its load.
        records = [r for r in records if (r["http_target"], r["http_status"]) != ("/image.png", 499)]
        if {record["http_target"] for record in records} != set(paths) or any(r["http_status"] not in (200, 304) for r in records):
            faults.append(f"TLS {version}: the access log has {[(r['http_target'], r['http_status']) for r in records]}")
        if {record["tls_version"] for record in records} != {f"TLSv{version}"}:
            faults.append(f"TLS {version}: the access log has {records}")
        seen.append(f"TLS {version} with {records[0]['tls_group']}")
    home = directory / "chromium-without-root"
    home.mkdir()
    with Browser(home, None, server.port) as browser:
        error, _, _ = browser.visit()
    if error != "net::ERR_CERT_AUTHORITY_INVALID":
        faults.append(f"without the root certificate, the error is {error}")
    return faults, f"{' and '.join(seen)}: page, style, script and picture, state \"secure\", no warning; an error without the root"


def examine(error, events, result, version):
    """Yields what is wrong with a visit."""
    if error:
        yield error
        return
    if result != RESULT:
        yield f"the script has written {result} instead of {RESULT}"
    states = [event["params"]["visibleSecurityState"] for event in events if event["method"] == "Security.visibleSecurityStateChanged"]
    certificates = [state["certificateSecurityState"] for state in states if state["securityState"] == "secure"]
    if not certificates:
        yield f"the security state is {states[-1:]}"
    for certificate in certificates:
        faults = {key: value for key, value in certificate.items() if value is True and key not in ("modernSSL",)
                  and not key.startswith("certificateHas") or key == "certificateNetworkError"}
        if certificate["protocol"] != f"TLS {version}" or any(faults.values()):
            yield f"the certificate's state is {certificate}"
    for event in events:
        if event["method"] in ("Log.entryAdded", "Runtime.consoleAPICalled", "Network.loadingFailed"):
            yield f"{event['method']}: {event['params']}"


def version(*command):
    """Returns the version that a program prints."""
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return re.search(r"\d+(\.\d+)+[a-z]?", re.sub(r"\x1b\[[0-9;]*m", "", result.stdout + result.stderr))[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--sslyze", required=True)
    arguments = parser.parse_args()
    failures = []

    def judge(name, check, *parameters):
        """Prints the line of a check."""
        try:
            faults, summary = check(*parameters)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            faults, summary = [f"{type(error).__name__}: {error}"], None
        for fault in faults:
            print(f"FAIL {name}: {fault[:LONG]}", flush=True)
        if not faults:
            print(f"PASS {name}: {summary}", flush=True)
        failures.extend(faults)

    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        authority = Authority(directory)
        server = Server(str(Path(arguments.binary).resolve()), directory, authority.certificates)
        background = testssl.Testssl(directory, authority.root, server.port)
        try:
            judge(f"curl {version('curl', '--version')}", clients.exchange, clients.curl, server, directory, authority.root)
            judge(f"OpenSSL {version('openssl', 'version')}", clients.exchange, clients.openssl, server, directory, authority.root)
            judge(f"GnuTLS {version('gnutls-cli', '--version')}", clients.exchange, clients.gnutls, server, directory, authority.root)
            judge(f"Chromium {version('chromium', '--version')}", chromium, server, directory, authority.root)
            judge(f"sslyze {version(arguments.sslyze, '--help')}", scanners.sslyze, arguments.sslyze, directory, authority.root,
                  server.port)
            judge(f"sslscan {version('sslscan', '--version')}", scanners.sslscan, directory, server.port)
            judge(f"testssl.sh {version('testssl', '--version')}", lambda: testssl.judge(background.findings()))
            judge("server log", quiet, server)
        finally:
            background.close()
            server.close()
    return 1 if failures else 0


def quiet(server):
    """Nothing that a scanner sends is worth a warning."""
    complaints, lines = server.complaints()
    return complaints, f"no warning in {lines} lines"


if __name__ == "__main__":
    sys.exit(main())
