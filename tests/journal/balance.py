"""The equation: what has a record of its own, what was summed and what was dropped is together what was served, exactly, at
any load and whatever happens to the server, to journald or between them."""

import contextlib
import json
import os
import signal
import threading
import time

from client import Client, Load, request
from journald import wait_until
from scene import TIMEOUT, accounted, content, drops, outcomes, owed

# Everything has a record of its own, so that there is more than journald takes, and more than the ring keeps.
ALL = "--log-rate=1000000"

# Others are served as before if the slowest of a hundred requests takes at most three times as long, or so many
# milliseconds: the machine may be busy. One that waits for a journald that is stopped waits for seconds.
SLOWER, P99_MS, LONGEST_MS = 3, 100, 1000

# Until it tells what was dropped, at most; and until it ends.
TELL_SECONDS, STOP_SECONDS = 3, 5


def start(scene, *options):
    """As a service: the journal has all that the server says."""
    return scene.start(*options, is_journal=True)


def balance(check, scene, least=None, most=None, deaths=0):
    """Holds the journal against the server's metrics, these against each other, and all against what clients counted. Of each
    worker that was killed, one record may be counted as dropped that the journal had just taken."""
    metrics = scene.settle()
    # A drop is counted at once, and told within a second or so.
    with contextlib.suppress(TimeoutError):
        wait_until("drops to be told", lambda: sum(accounted(scene.read()).values()) >= owed(metrics), TIMEOUT)
    records = scene.written()
    told, found = outcomes(metrics), accounted(records)
    check.note(" + ".join(f"{name} {count}" for name, count in found.items()) + f" = {sum(found.values())}")
    twice = found["written"] - told["written"]
    if deaths:
        check.expect(0 <= twice <= deaths, f"{twice} written and dropped")
        found["written"] -= twice
    check.equal("in the journal", found, told)
    check.equal("served", sum(found.values()), int(owed(metrics)))
    if least is not None:
        most = least if most is None else most
        check.expect(least <= sum(found.values()) <= most, f"{sum(found.values())} of {least} to {most}")
    return records


def report(check, load):
    told = load.report()
    check.expect(told["failed"] == 0 and told["complete"] == load.least, f"{told['complete']} requests, {told['failed']} failed")
    return told


def full_speed(check, scene):
    """As fast as it goes, with requests that come by the hundred, beside clients of other kinds: every count and every byte.
    Then ab, with a connection for each request and with some that stay."""
    server = start(scene)
    received = served = 0
    with Client(server.address) as client:
        while served < 60_000:
            client.send(request() * 100)
            received += sum(client.answer()[1] for _ in range(100))
            received += client.ask("/none")[1]
            Client(server.address).close()
            served += 102
    records = balance(check, scene, served)
    check.equal("bytes", content(records), received)
    loads = [Load(server, 10_000), Load(server, 20_000, "-k")]
    for load in loads:
        report(check, load)
    records = balance(check, scene, served + sum(load.least for load in loads), served + sum(load.most for load in loads))
    check.expect(not drops(records), "some dropped")


def frozen(check, scene):
    """journald is stopped for a while. What it does not take is kept, then dropped, and then the drop is told with its time;
    and nobody waits for it."""
    server = start(scene, ALL)
    before = report(check, Load(server, 15_000, "-k"))
    since = time.time()
    scene.journald.freeze()
    during = report(check, Load(server, 30_000, "-k"))
    wait_until("records to be dropped", lambda: outcomes(server.metrics())["dropped"] > 0)
    scene.journald.thaw()
    until = time.time()
    for name, least in [("p99_ms", P99_MS), ("longest_ms", LONGEST_MS)]:
        text = f"{name} {before[name]:.0f} -> {during[name]:.0f}"
        check.note(text)
        check.expect(during[name] <= max(SLOWER * before[name], least), text)
    records = balance(check, scene, 45_000, 45_040)
    check.expect(drops(records), "none dropped")
    for one in drops(records):
        begin, end = int(one["SINCE_US"]) / 1e6, int(one["UNTIL_US"]) / 1e6
        span = f"dropped from {begin - since:.1f} to {end - since:.1f} s of {until - since:.1f}"
        check.expect(begin >= since - 1 and end <= until + TELL_SECONDS, span)


def killed(check, scene):
    """journald is killed under load, and started again."""
    server = start(scene, ALL)
    load = Load(server, 30_000, "-k")
    wait_until("the load", lambda: outcomes(server.metrics())["written"] > 1000)
    scene.journald.kill()
    wait_until("more than it takes", lambda: owed(server.metrics()) > 20_000)
    scene.journald.start()
    report(check, load)
    balance(check, scene, load.least, load.most)


def hidden(check, scene):
    """The socket's file is gone for a while; then another journald has another."""
    server = start(scene, ALL)
    load = Load(server, 20_000, "-k")
    wait_until("the load", lambda: outcomes(server.metrics())["written"] > 1000)
    show = scene.journald.hide()
    wait_until("more", lambda: owed(server.metrics()) > 15_000)
    show()
    report(check, load)
    balance(check, scene, load.least, load.most)
    load = Load(server, 20_000, "-k")
    wait_until("the load", lambda: owed(server.metrics()) > 25_000)
    scene.journald.replace()
    report(check, load)
    balance(check, scene, 2 * load.least, 2 * load.most)


def missing(check, scene):
    """The socket's file is gone while most requests are summed: the sums wait, and what there is room for is not dropped."""
    server = start(scene)
    show = scene.journald.hide()
    served, end = 0, time.monotonic() + 2
    with Client(server.address) as client:
        while time.monotonic() < end:
            client.send(request() * 100)
            served += sum(client.answer()[0] == 200 for _ in range(100))
    show()
    records = balance(check, scene, served)
    check.expect(not drops(records), "some dropped")


def dead_worker(check, scene):
    """Workers are killed under load: one while journald is well, another with records that journald has not taken, and some
    that are dropped already. Their supervisor reports what is missing, once it can."""
    server = start(scene, ALL)
    loads = []
    for is_frozen in (False, True):
        load = Load(server, 20_000, "-k")
        wait_until("the load", lambda: owed(server.metrics()) > 2_000)
        if is_frozen:
            scene.journald.freeze()
            wait_until("records to be dropped", lambda: outcomes(server.metrics())["dropped"] > 1000)
        deaths = server.metrics()[DEATHS]
        os.kill(server.workers()[0], signal.SIGKILL)
        wait_until("the death to be seen", lambda: server.metrics()[DEATHS] > deaths)
        scene.journald.thaw()
        loads.append(load.report())
    records = balance(check, scene, deaths=len(loads))
    check.expect(drops(records), "none dropped")
    # ab counts what failed among what is complete; it may have been answered, or not.
    least = sum(told["complete"] - told["failed"] for told in loads)
    most = sum(told["complete"] + told["failed"] for told in loads)
    count = sum(accounted(records).values())
    check.expect(least <= count <= most + len(loads), f"{count} of {least} to {most} requests")


DEATHS = 'otus_worker_restarts_total{reason="signal"}'


def stopped(check, scene):
    """The server is told to stop while journald is stopped: it does not wait for it, not even to tell what was dropped."""
    server = start(scene, ALL)
    scene.journald.freeze()
    load = Load(server, 15_000, "-k")
    report(check, load)
    begin = time.monotonic()
    server.stop()
    took = time.monotonic() - begin
    check.note(f"{took:.1f} s to stop")
    check.expect(took <= STOP_SECONDS, f"{took:.1f} s to stop")
    check.equal("status", server.process.returncode, 0)
    scene.journald.thaw()
    count = sum(accounted(scene.written()).values())
    check.expect(0 < count <= load.most, f"{count} records of {load.least} requests")


def reloaded(check, scene):
    """New workers take over from old ones under load, and journald does not take all at once."""
    server = start(scene, ALL)
    load = Load(server, 15_000)
    for _ in range(2):
        before = server.workers()
        wait_until("the load", lambda: owed(server.metrics()) > 1000)
        server.process.send_signal(signal.SIGHUP)
        wait_until("other workers", lambda: not set(before) & set(server.workers()))
    report(check, load)
    balance(check, scene, load.least, load.most)


def unread(check, scene):
    """JSON lines into a pipe that nobody reads for a while: nobody waits for that either, and then every line is whole."""
    reader, writer = os.pipe()
    server = scene.start(ALL, log="stderr", pipe=writer)
    os.close(writer)
    with Client(server.address) as first, Client(server.address) as second:
        for _ in range(200):
            for client in (first, second):
                client.send(request("/page.html?" + "a" * 600, user_agent="\xff" * 300, referer='"' * 300) * 50)
                for _ in range(50):
                    client.answer()
    wait_until("lines to be dropped", lambda: outcomes(server.metrics())["dropped"] > 0)
    lines = []

    def read():
        with open(reader, "rb") as pipe:
            lines.extend(json.loads(line) for line in pipe)

    reading = threading.Thread(target=read)
    reading.start()
    metrics = scene.settle()
    server.stop()
    reading.join()
    told = {"access": 0, "access_dropped": 0}
    for line in lines:
        if line.get("target") in told:
            told[line["target"]] += int(line.get("dropped", 1))
    check.note(f"written {told['access']} + dropped {told['access_dropped']}")
    known = outcomes(metrics)
    check.equal("lines", (told["access"], told["access_dropped"]), (known["written"], known["dropped"]))
    check.equal("served", sum(told.values()), 20_000)


CHECKS = {
    "the equation at full speed": full_speed,
    "the equation, and everybody else, with journald stopped": frozen,
    "the equation with journald killed": killed,
    "the equation with journald's socket gone": hidden,
    "the equation and sums that wait": missing,
    "the equation with a worker killed": dead_worker,
    "the equation over reloads": reloaded,
    "an end while journald is stopped": stopped,
    "the equation in lines that nobody reads": unread,
}
