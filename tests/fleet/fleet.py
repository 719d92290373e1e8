"""Three machines behind a front: what clients notice, case by case.

    fleet.py ROOTFS V1.deb V2.deb [CASE...]

It runs in a network namespace of its own, as root.
"""

import re
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "http2")]

from fronts import HAProxy, nginx  # noqa: E402
from load import HOST, Load  # noqa: E402
from machines import CLIENTS, FRONT, NAMES, SECONDS, Machine, make_network, output, wait_until  # noqa: E402
from releases import SIZES, Contents, Release, archive  # noqa: E402
from reloads import Clients  # noqa: E402

# For how many seconds the checks of packaging/examples/haproxy.cfg let it send requests to a machine that does not answer: until the next
# check, and until three have failed. A check is given up after one second; the next follows after half a second.
INTER, FAST_INTER, TIMEOUT, FALL = 2.0, 0.5, 1.0, 3
BOUND = INTER + FALL * TIMEOUT + (FALL - 1) * FAST_INTER

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
        settings = {"OTUS_ROOT": "/srv/site", "OTUS_TRUSTED_PROXIES": FRONT, "OTUS_HEALTH_PATH": "/health", "OTUS_LAME_DUCK": 10,
                    "OTUS_STOP_TIMEOUT": 20, "OTUS_LOG_RATE": 1_000_000}
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
    def case(self, name, may_fail=lambda request: False, may_lack=lambda request: False, **options):
        """Load while something happens. Of its requests, only those that may fail do, and the access log has all answered ones,
        but those that it may lack."""
        load = Case(self.contents, self.certificate, **options)
        try:
            load.wait_for(SOME)
            yield load
            load.wait_for(SOME)
        finally:
            load.stop()
        wrong = [request for request in load.failed() if not may_fail(request)]
        faults = [f"{request.path} of {request.source} after {request.begin - load.begin:.1f} s: {request.fault}" for request in wrong]
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
                if record["CLIENT_ADDRESS"] != request.source or request.is_tls and int(record["CLIENT_PORT"]) != request.port:
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
        """`broken`: the machine to which something happens, and when."""
        self.begin, self.faults, self.text, self.broken, self.broken_at = time.time(), [], "", None, None
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
        return text


def upgrade(fleet, _front):
    with fleet.case("upgrade of all machines, one after another") as load:
        fleet.upgrade()
        load.text = f"; {time.time() - load.begin:.0f} s"


def http2(fleet, _front):
    """Clients of HTTP/2 that always have open streams: of the largest assets, as the journal has to keep up with their requests."""
    begin, files = time.time(), {path: content for path, content in RELEASES[0].assets.items() if len(content) == max(SIZES)}
    clients = Clients((FRONT, 443), files, list(files), fleet.work, "5ms")
    faults = clients.outlast(fleet.upgrade, 1)
    records = [record for machine in fleet.machines for record in machine.records(begin) if "?" in record.get("HTTP_TARGET", "")]
    records = [(record["HTTP_TARGET"], record["HTTP_STATUS"], record.get("HTTP_VERSION")) for record in records]
    fleet.is_right &= clients.check(records, 1, "an upgrade of all machines", faults)


def restart(fleet, front):
    with fleet.case("restart of one machine") as load:
        load.broken = "b"
        fleet.machines[1].run("systemctl", "restart", "otus-httpd")
        wait_until("the checks", front.are_all_up)


def killed(fleet, front):
    times = []

    def is_in_flight(request):
        return request.begin <= times[1] and request.end >= times[0]

    def may_lack(request):
        # What the killed workers had not yet written.
        return times[0] - 1 <= request.end <= times[1]

    with fleet.case("SIGKILL of one machine's server", is_in_flight, may_lack) as load:
        load.broken = "b"
        times.append(time.time())
        fleet.machines[1].run("systemctl", "kill", "--signal=KILL", "otus-httpd.service")
        times.append(time.time())
        wait_until("the service", lambda: fleet.machines[1].run("systemctl", "show", "--property=NRestarts", "otus-httpd") != b"NRestarts=0\n")
        wait_until("the checks", front.are_all_up)


def broken(fleet, front, name, machine, bound, disable, repair):
    """A machine that does not answer any more: what the front still sends there, and for how long."""
    times = []

    def may_fail(request):
        return request.begin <= times[0] + bound

    with fleet.case(name, may_fail) as load:
        load.broken = machine.name
        times.append(time.time())
        load.broken_at = times[0]
        disable()
        wait_until("the checks", lambda: front.is_down(machine.name))
        # Nothing that was sent there may be answered after all.
        wait_until("what was sent there", lambda: all(request.end for request in list(load.requests)
                                                      if request.begin < times[0] + bound and not request.is_download))
        last = front.last_sent(machine.name, times[0], time.time())
        load.text = f"; the front sent the last request there after {max(last.values()):.1f} s, of {bound:.0f} s allowed" \
            f" ({', '.join(f'{backend} {seconds:.1f} s' for backend, seconds in last.items())})"
        load.faults += [f"too late: {last}"] if max(last.values()) > bound else []
        repair()
        wait_until("the checks", front.are_all_up)


def hung_disk(fleet, front):
    machine = fleet.machines[2]
    machine.put("/root/disk.py", (HERE / "disk.py").read_bytes())
    machine.run("mkdir", "-p", "/srv/disk")
    with open("/dev/fuse", "r+b", buffering=0) as device:
        disk = machine.start("python3", "/root/disk.py", str(device.fileno()), "/srv/releases/1", "/srv/disk", descriptors=[device.fileno()])

    def tell(command):
        disk.stdin.write(command)
        disk.stdin.flush()

    try:
        wait_until("the disk", lambda: b"/srv/disk fuse" in machine.run("cat", "/proc/mounts"))
        machine.serve("/srv/disk")
        broken(fleet, front, "one machine's disk hangs", machine, BOUND, lambda: tell(b"hang\n"), lambda: tell(b"mend\n"))
        machine.serve("/srv/releases/1")
        # Only what nobody uses any more can be unmounted.
        wait_until("the other root", lambda: machine.run("sh", "-c", "umount /srv/disk 2>&1 || true") == b"")
    finally:
        disk.stdin.close()
        disk.wait(SECONDS)


def cut_off(fleet, front):
    machine = fleet.machines[0]
    broken(fleet, front, "one machine is cut off the network", machine, BOUND, lambda: machine.link("down"), lambda: machine.link("up"))


def in_order(fleet, _front):
    """New assets everywhere, then the pages; old assets stay."""
    with fleet.case("a release and back, new assets first and old ones kept", downloads=0) as load:
        for release in [RELEASES[1], RELEASES[0]]:
            for files in [release.assets, release.pages]:
                for machine in fleet.machines:
                    machine.unpack("/srv/releases/1", archive(files))
            load.wait_for(SOME)


def at_once(fleet, _front):
    """Each machine is switched to a directory with the release alone."""
    for machine in fleet.machines:
        machine.unpack("/srv/releases/2", archive(RELEASES[1].files()))
    with fleet.case("a release and back, machine by machine without that order", lambda request: request.fault == "status 404", downloads=0) as load:
        for directory in ["/srv/releases/2", "/srv/releases/1"]:
            for machine in fleet.machines:
                machine.serve(directory)
                load.wait_for(SOME // 8)
            load.wait_for(SOME)
        load.faults += [] if load.failed() else ["none failed: this case shows nothing"]


def other_front(fleet, name, start):
    front = start(fleet.work)
    try:
        with fleet.case(f"upgrade of all machines behind {name}", downloads=10, ways=[False]):
            fleet.upgrade()
    finally:
        front.close()


CASES = [upgrade, http2, restart, killed, cut_off, in_order, at_once]


def main(rootfs, v1, v2, *names):
    with tempfile.TemporaryDirectory() as directory:
        fleet = Fleet(rootfs, [Path(v1).resolve(), Path(v2).resolve()], Path(directory))
        try:
            fleet.set_up()
            front = HAProxy(fleet.work)
            try:
                wait_until("the checks", front.are_all_up)
                for case in CASES:
                    if not names or case.__name__ in names:
                        case(fleet, front)
            finally:
                front.close()
            for start in [nginx]:
                if not names or start.__name__ in names:
                    other_front(fleet, start.__name__, start)
        finally:
            fleet.close()
    return 0 if fleet.is_right else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
