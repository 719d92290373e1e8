"""Three machines behind a front, with a load."""

import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from load import Load
from machines import CLIENTS, FRONT, HOST, NAMES, Machine, make_network, output, wait_until
from releases import Contents, Release, archive

# Requests that are answered before something happens, and after it: two seconds.
SOME = 400

RELEASES = [Release(1), Release(2)]


class Fleet:
    def __init__(self, rootfs, packages, work):
        self.packages, self.work = packages, work
        self.contents, self.certificate = Contents(*RELEASES), work / "certificate.pem"
        self.machines = [Machine(name, rootfs) for name in NAMES]
        self.is_right = True

    def set_up(self):
        make_network()
        output("openssl", "req", "-x509", "-config", "/dev/null", "-subj", f"/CN={HOST}", "-days", "30", "-nodes", "-newkey", "ec",
               "-addext", f"subjectAltName=DNS:{HOST},DNS:a.test", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "key.pem", "-out",
               "certificate.pem", cwd=self.work)
        site, key = archive(RELEASES[0].files()), (self.work / "key.pem").read_bytes()
        # Time for downloads that take longer because this machine is busy; lame duck and stop together have 45 seconds.
        settings = {"OTUS_ROOT": "/srv/site", "OTUS_TRUSTED_PROXIES": FRONT, "OTUS_HEALTH_PATH": "/health", "OTUS_LAME_DUCK": 10,
                    "OTUS_STOP_TIMEOUT": 34, "OTUS_DRAIN_TIMEOUT": 120, "OTUS_LOG_RATE": 1_000_000}
        for machine in self.machines:
            machine.boot()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda machine: machine.set_up(self.packages[0], site, self.certificate.read_bytes(), key, settings), self.machines))

    def close(self):
        for machine in self.machines:
            machine.power_off()
        for machine in self.machines:
            machine.wait()

    def upgrade(self):
        """Replaces the package on all machines, one after another, by the other version."""
        self.packages.reverse()
        for machine in self.machines:
            machine.install(self.packages[0])

    def report(self, name, faults, text):
        self.is_right &= not faults
        print(f"{'FAIL' if faults else 'PASS'} {name}: {text}{''.join(f'; {fault}' for fault in faults[:5])}", flush=True)

    @contextmanager
    def case(self, name, may_fail=lambda request: False, may_lack=lambda request: False, certificate=None, **options):
        """Load while something happens. Of its requests, only those that may fail do, and the access log has all answered ones,
        but those that it may lack."""
        load = Case(self.contents, certificate or self.certificate, **options)
        try:
            load.wait_for(SOME)
            yield load
            load.wait_for(SOME)
        finally:
            load.stop()
        wrong = [request for request in load.failed() if not may_fail(request)]
        faults = [f"{request.path} of {request.source} after {request.begin - load.begin:.1f} s, which took {request.end - request.begin:.1f} s: "
                  f"{request.fault}" for request in wrong]
        faults = [f"{len(faults)} failed that may not", *faults] if faults else []
        faults += load.faults + self.log_faults(load, may_lack)
        self.report(name, faults, f"{load.summary()}{load.text}")

    def log_faults(self, load, may_lack):
        """What is wrong with the access logs of the machines: each request that was answered is in one of them, with its client."""
        answered = {request.number: request for request in load.requests if not request.fault}

        def records():
            found, others = {}, []
            for machine in self.machines:
                for record in machine.records(load.begin):
                    number = re.search(r"\?(\d+)$", record.get("HTTP_TARGET", ""))
                    (found.setdefault(int(number[1]), []) if number else others).append((machine.name, record))
            return found, others

        def is_complete(found):
            return all(number in found or may_lack(request) for number, request in answered.items())

        deadline = time.monotonic() + 10
        while not is_complete((found := records())[0]) and time.monotonic() < deadline:
            time.sleep(0.5)
        found, others = found
        faults = [] if is_complete(found) else [f"{len(answered.keys() - found.keys())} requests are not in the log"]
        twice = [number for number in answered if len(found.get(number, [])) > 1]
        faults += [f"{len(twice)} requests are in the logs twice"] if twice and not load.broken else []
        for number, request in answered.items():
            for name, record in found.get(number, []):
                is_port = not (load.has_ports and request.is_tls) or int(record["CLIENT_PORT"]) == request.port
                if record["CLIENT_ADDRESS"] != request.source or not is_port:
                    faults.append(f"the log of {name} has {record['CLIENT_ADDRESS']} for {request}")
        # Checks come from the front itself; and a client may give up before it asks.
        faults += [f"the log of {name} has {record}" for name, record in others if record.get("CLIENT_ADDRESS") not in [FRONT, *CLIENTS]]
        elsewhere = {request.number for request in load.failed()} & {
            number for number, list in found.items() if any(name != load.broken for name, _ in list)}
        faults += [f"{len(elsewhere)} failed on a machine where nothing happened"] if load.broken and elsewhere else []
        return faults


class Case(Load):
    """A load, and what a case has found out."""

    def __init__(self, *parameters, **options):
        """`broken`: the machine to which something happens, and when; `has_ports`: whether logs have the ports of clients with TLS."""
        self.begin, self.faults, self.text, self.broken, self.broken_at, self.has_ports = time.time(), [], "", None, None, True
        super().__init__(*parameters, **options)

    def wait_for(self, count):
        """Until so many further requests are answered."""
        wanted = self.answered() + count
        wait_until("responses", lambda: not self.is_alive() or self.answered() >= wanted)

    def answered(self):
        return sum(request.end > 0 and not request.fault for request in list(self.requests))

    def failed(self):
        return [request for request in self.requests if request.fault]

    def summary(self):
        counts = [[request for request in self.requests if request.is_download == kind] for kind in (False, True)]
        text = ", ".join(f"{len(requests)} {name}, {sum(bool(request.fault) for request in requests)} failed"
                         for name, requests in zip(["requests", "downloads"], counts) if requests)
        if self.broken_at and (failed := self.failed()):
            text += f", of which the last began after {max(request.begin for request in failed) - self.broken_at:.1f} s"
        return text + (f", {self.retried} sent twice" if self.retried else "")
