"""What clients of three machines notice, case by case.

    cases.py ROOTFS V1.deb V2.deb [CASE...]

It runs in a network namespace of its own, as root.
"""

import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "http2")]

from fleet import RELEASES, SOME, Fleet  # noqa: E402
from fronts import HAProxy, caddy, nginx  # noqa: E402
from machines import FRONT, SECONDS, wait_until  # noqa: E402
from releases import SIZES, archive  # noqa: E402
from reloads import Clients  # noqa: E402

# For how many seconds the checks of packaging/examples/haproxy.cfg let it send requests to a machine that does not answer: until the next
# check, and until three have failed. A check is given up after one second; the next follows after half a second.
INTER, FAST_INTER, TIMEOUT, FALL = 2.0, 0.5, 1.0, 3
BOUND = INTER + FALL * TIMEOUT + (FALL - 1) * FAST_INTER

# After so many seconds, a machine whose disk does not answer says so to the checks (OTUS_HEALTH_TIMEOUT).
HEALTH_TIMEOUT = 5.0


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
        load.text = f"; the front sent the last request there after {last:.1f} s, of {bound:.0f} s allowed; " \
            f"its checks had failed after {front.down_after(machine.name, times[0]):.1f} s"
        load.faults += ["which is too late"] if last > bound else []
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
        broken(fleet, front, "one machine's disk hangs", machine, HEALTH_TIMEOUT + BOUND, lambda: tell(b"hang\n"),
               lambda: tell(b"mend\n"))
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


def other_front(fleet, start):
    """A front that names the client's address, but not its port; TLS, if any, ends there."""
    front = start(fleet.work)
    try:
        with fleet.case(f"upgrade of all machines behind {start.__name__}", certificate=front.certificate, downloads=10,
                        ways=[bool(front.certificate)]) as load:
            load.has_ports = False
            fleet.upgrade()
    finally:
        front.close()


CASES = [upgrade, http2, restart, killed, hung_disk, cut_off, in_order, at_once]


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
            for start in [nginx, caddy]:
                if not names or start.__name__ in names:
                    other_front(fleet, start)
        finally:
            fleet.close()
    return 0 if fleet.is_right else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
