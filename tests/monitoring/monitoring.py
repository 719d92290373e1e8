#!/usr/bin/env python3
"""The alerts and the dashboard of packaging/examples, in a real Prometheus that asks a real server.

    monitoring.py BINARY
"""

import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from contextlib import ExitStack, closing, suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from server_process import ServerProcess  # noqa: E402

EXAMPLES = HERE.parent.parent / "packaging" / "examples"
DEADLINE = 60  # seconds, of each thing that has to come about
# What Grafana puts in place of its variables: Prometheus asks once a second here.
VARIABLES = {"$__rate_interval": "10s", "$instance": ".+"}

# Alerts, and what of this server brings them about. Records are dropped where the journal does not accept them: another test does that.
FAULTS = ["OtusCertificateExpires", "OtusCertificateUnusable", "OtusWorkersReplaced", "OtusWorkersMissing", "OtusServerErrors", "OtusRootDown", "OtusDown"]
FROM_THE_START = FAULTS[:2]


def main():
    with tempfile.TemporaryDirectory(prefix="otus-monitoring-") as work, ExitStack() as cleanup:
        work = Path(work)
        shutil.copy(EXAMPLES / "prometheus-rules.yml", work / "otus-httpd.rules.yml")
        server = cleanup.enter_context(closing(Server(os.path.abspath(sys.argv[1]), work)))
        config = configure(work, server.metrics)
        results = [check_tools(work, config)]
        prometheus = cleanup.enter_context(closing(Prometheus(work, config)))
        results += [check_dashboard(prometheus, server), *check_alerts(prometheus, server)]
    return 0 if all(results) else 1


class Server:
    """Two workers with a directory of sites, and a socket each for HTTP, HTTPS and metrics."""

    def __init__(self, binary, work):
        self.sites, certificates = work / "sites", work / "certificates"
        (self.sites / "localhost").mkdir(parents=True)
        (self.sites / "localhost" / "index.html").write_text("<p>" + "text " * 1_000)
        (self.sites / "localhost" / "_redirects").write_text("/closed /index.html 503\n")
        for folder in ("first", "empty"):
            (certificates / folder).mkdir(parents=True)
        # Five days are less than those of which the alert is.
        command = ["openssl", "req", "-x509", "-config", "/dev/null", "-subj", "/CN=test", "-days", "5", "-nodes", "-newkey", "ec"]
        command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-addext", "subjectAltName=DNS:localhost", "-keyout", "privkey.pem", "-out", "fullchain.pem"]
        subprocess.run(command, check=True, capture_output=True, cwd=certificates / "first")
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.http, self.https, self.metrics = (listener.getsockname()[1] for listener in listeners)
        # As from systemd: descriptors from 3 on.
        given = [os.dup2(listener.fileno(), 50 + place, inheritable=True) for place, listener in enumerate(listeners)]
        moves = " ".join(f"{3 + place}<&{fd} {fd}<&-" for place, fd in enumerate(given))
        environment = {"LISTEN_FDS": "3", "LISTEN_FDNAMES": "http:https:metrics", "OTUS_USER": "root" if os.geteuid() == 0 else ""}
        command = [binary, "--workers=2", f"--sites={self.sites}", f"--certificates={certificates}", "--access-log=stderr"]
        self._process = ServerProcess(["bash", "-c", f'exec {moves}; exec "$0" "$@"', *command], work / "log",
                                      {name: value for name, value in environment.items() if value}, given)
        for fd in given:
            os.close(fd)
        for listener in listeners:
            listener.close()
        self._process.wait_for("Ready; ")
        self.reload = self._process.reload
        self.close = self._process.close

    def use(self):
        """Requests of each kind, some over HTTP/2."""
        for target, *options in (["", "--compressed"], ["", "--head"], ["missing"], ["", "--header", "If-None-Match: *"], ["", "--request", "PUT"]):
            self.get(target, *options)

    def get(self, target, *options):
        for address in (f"http://localhost:{self.http}", f"https://localhost:{self.https}"):
            subprocess.run(["curl", "--silent", "--insecure", "--output", "/dev/null", "--ipv4", *options, f"{address}/{target}"], check=True)

    def lose_sites(self):
        if self.sites.exists():
            self.sites.rename(self.sites.with_name("lost"))

    def kill_workers(self):
        pid = self._process.pid()
        name = Path(f"/proc/{pid}/comm").read_text()  # which the helper process and that of the keys do not have
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            with suppress(FileNotFoundError, ProcessLookupError):
                if Path(f"/proc/{child}/comm").read_text() == name:
                    os.kill(child, signal.SIGKILL)


class Prometheus:
    """Started, and asked by its API."""

    def __init__(self, work, config):
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={work / 'data'}", "--web.listen-address=127.0.0.1:0"]
        self._process = ServerProcess(command, work / "prometheus.log", {})
        self._port = self._process.wait_for(r'msg="Listening on" address=127\.0\.0\.1:(\d+)')
        self._process.wait_for("Server is ready to receive web requests")
        self.close = self._process.close

    def ask(self, path, **parameters):
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=DEADLINE) as answer:
            return json.load(answer)["data"]

    def query(self, expression):
        """The series that it gives, without those whose value is no number."""
        return [series["metric"] for series in self.ask("query", query=expression)["result"] if not math.isnan(float(series["value"][1]))]


def configure(work, port):
    """The example with this server as its machines, asked once a second."""
    text = (EXAMPLES / "prometheus.yml").read_text()
    targets = [f"          - 192.0.2.{number}:9180\n" for number in (1, 2, 3)]
    assert all(text.count(target) == 1 for target in targets) and text.count(": 15s\n") == 2
    text = text.replace("".join(targets), f"          - 127.0.0.1:{port}\n").replace(": 15s\n", ": 1s\n")
    (work / "prometheus.yml").write_text(text)
    return work / "prometheus.yml"


def check_tools(work, config):
    """What promtool says of the files, and the unit tests of the alerts."""
    shutil.copy(HERE / "rules.test.yml", work)
    faults = []
    for arguments in (["check", "config", config], ["test", "rules", work / "rules.test.yml"]):
        told = subprocess.run(["promtool", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        faults += [told.stdout] if told.returncode else []
    tested = set(re.findall(r"alertname: (\w+)", (HERE / "rules.test.yml").read_text()))
    rules = set(re.findall(r"alert: (\w+)", (EXAMPLES / "prometheus-rules.yml").read_text()))
    faults += [f"without a unit test: {', '.join(rules - tested)}"] if rules - tested else []
    return report(f"promtool: the example's configuration, and the unit tests of {len(rules)} alerts", faults)


def check_dashboard(prometheus, server):
    """Each query must give data, with the labels of its legend."""
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    queries = [(panel["title"], target["expr"], target["legendFormat"]) for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [(annotation["name"], annotation["expr"], annotation["titleFormat"]) for annotation in dashboard["annotations"]["list"]]
    variable = next(variable for variable in dashboard["templating"]["list"] if variable["name"] == "instance")
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
    queries.append(("the variable", metric, f"{{{{{label}}}}}"))
    wait_until_asked(prometheus)
    server.reload()
    missing, deadline = queries, time.monotonic() + DEADLINE
    while missing and time.monotonic() < deadline:
        server.use()
        missing = [query for query in missing if not has_data(prometheus, query)]
    faults = [f"'{title}' has no data by {expression}, with the labels of '{legend}'" for title, expression, legend in missing]
    places = [(panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
              for panel in dashboard["panels"] for x in range(panel["gridPos"]["w"]) for y in range(panel["gridPos"]["h"])]
    faults += ["panels overlap"] if len(places) > len(set(places)) or max(x for x, _ in places) >= 24 else []
    return report(f"dashboard: {len(queries)} queries give data", faults)


def wait_until_asked(prometheus):
    """Waits until Prometheus has asked the server."""
    deadline = time.monotonic() + DEADLINE
    while not prometheus.query("otus_build_info"):
        assert time.monotonic() < deadline, "Prometheus has no metrics of the server"
        time.sleep(0.1)


def has_data(prometheus, query):
    _, expression, legend = query
    for name, value in VARIABLES.items():
        expression = expression.replace(name, value)
    labels = set(re.findall(r"\{\{(\w+)\}\}", legend))
    found = prometheus.query(expression)
    return bool(found) and all(labels <= series.keys() for series in found)


def check_alerts(prometheus, server):
    """Prometheus must evaluate each alert without an error, on metrics that there are; and the faults must bring them about."""
    rules = {rule["name"]: rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]}
    faults = []
    for name, rule in rules.items():
        faults += [f"{name}: {rule['health']} {rule.get('lastError')}"] if rule["health"] != "ok" else []
        selectors = re.findall(r"\b(?:up|otus_\w+)(?:\{[^}]*\})?", rule["query"])
        faults += [f"{name}: there is no {selector}" for selector in selectors if not prometheus.query(selector)]
        is_there = bool(prometheus.query(rule["query"]))
        faults += [f"{name}: {'without a fault' if is_there else 'not from the start'}"] if is_there != (name in FROM_THE_START) else []
    yield report(f"alerts: {len(rules)} are evaluated, on metrics that there are; only {' and '.join(FROM_THE_START)} are due", faults)

    for name, act in zip(FAULTS[2:], (server.kill_workers, server.kill_workers, lambda: server.get("closed"), server.lose_sites, server.close)):
        deadline = time.monotonic() + DEADLINE
        while not (is_there := bool(prometheus.query(rules[name]["query"]))) and time.monotonic() < deadline:
            act()
            time.sleep(0.2)
        yield report(f"alert {name}", [] if is_there else ["the fault does not bring it about"])


def report(name, faults):
    print(f"{'FAIL' if faults else 'PASS'} monitoring: {name}{''.join(f'; {fault}' for fault in faults)}", flush=True)
    return not faults


if __name__ == "__main__":
    sys.exit(main())
