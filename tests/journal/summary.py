"""More successes in a second than --log-rate: so many have records of their own, the others are summed, exactly."""

import threading
import time

import record
from client import Client, request
from journald import wait_until
from scene import content, individual, kinds, owed, sums

RATE = 50
LATE_US, LATE_S = 200_000, 2.5
SLOW_S = 1.3


def exact(check, scene):
    """Requests of all kinds, more than there are records for: methods, statuses and bytes add up."""
    server = scene.start(f"--log-rate={RATE}")
    sent, received = {}, 0
    with Client(server.address) as client:
        for _ in range(12):
            for count, key, target, fields in [
                (20, "GET/200", "/page.html", {}), (7, "HEAD/200", "/page.html", {"method": "HEAD"}),
                (5, "GET/206", "/page.html", {"range": "bytes=0-9"}), (9, "GET/404", "/none", {}),
                (3, "OPTIONS/204", "/page.html", {"method": "OPTIONS"}), (2, "GET/301", "/directory", {}),
                (4, "DELETE/405", "/page.html", {"method": "DELETE"}), (1, "BREW/501", "/page.html", {"method": "BREW"}),
            ]:
                client.send(request(target, **fields) * count)
                received += sum(client.answer(fields.get("method") == "HEAD")[1] for _ in range(count))
                sent[key] = sent.get(key, 0) + count
    for _ in range(80):
        with Client(server.address) as client:
            received += client.send(b"nothing\r\n\r\n").answer()[1]
    for _ in range(70):
        Client(server.address).close()
    sent |= {"-/400": 80, "-/-": 70}
    # A connection that nobody has taken yet when the server stops is nobody's.
    wait_until("the last connection", lambda: owed(server.metrics()) >= sum(sent.values()))
    records = scene.stopped()
    check.expect(sums(records), "no sum")
    check.equal("by method and status", named(kinds(records)), named(sent))
    check.equal("bytes", content(records), received)
    within_rate(check, records)


def named(kinds):
    """Other methods than GET, HEAD and OPTIONS may be summed under one name."""
    merged = {}
    for key, count in kinds.items():
        method, _, status = key.partition("/")
        key = f"{method if method in ('GET', 'HEAD', 'OPTIONS', '-') else 'other'}/{status}"
        merged[key] = merged.get(key, 0) + count
    return merged


def within_rate(check, records):
    """No second has more successes, nor errors, of their own than there may be. A second of the server's need not begin with
    one of the clock, and a record is dated when its request ends."""
    for is_error in (False, True):
        own = [one for one in individual(records) if (one["PRIORITY"] < "6") == is_error]
        moments = [int(one["_SOURCE_REALTIME_TIMESTAMP"]) for one in own]
        most = max((sum(begin <= moment < begin + 1_000_000 for moment in moments) for begin in moments), default=0)
        check.note(f"at most {most} {'errors' if is_error else 'successes'} within a second")
        check.expect(RATE <= most <= 2 * RATE, f"at most {most} {'errors' if is_error else 'successes'} within a second")


def rate(check, scene):
    """Each second has as many records of successes as it may, and not one more; the rest is one sum for each worker."""
    server = scene.start(f"--log-rate={RATE}")
    served, seconds = 0, 4
    end = time.monotonic() + seconds
    with Client(server.address) as client:
        while time.monotonic() < end:
            client.send(request() * 10)
            served += sum(client.answer()[0] == 200 for _ in range(10))
    records = scene.stopped()
    check.equal("requests", sum(kinds(records).values()), served)
    count = len(individual(records))
    check.note(f"{count} records of their own of {served} in {seconds} s")
    check.expect(RATE * seconds <= count <= RATE * (seconds + 1), f"{count} records of their own in {seconds} s")
    # Each is dated when its request ended, which is when it was written or a moment before.
    late = [int(one["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6 - record.ended(one) for one in individual(records)]
    check.expect(0 <= min(late) and max(late) < LATE_S, f"written {min(late):.1f} to {max(late):.1f} s after that")
    workers = {one["WORKER"] for one in sums(records)}
    check.expect(seconds <= len(sums(records)) <= (seconds + 2) * len(workers), f"{len(sums(records))} sums")


def cut(check, scene):
    """What is cut has a record of its own, though there is none left for successes."""
    server = scene.start("--log-rate=1")
    with Client(server.address) as client:
        client.send(request() * 50)
        assert [client.answer()[0] for _ in range(50)] == [200] * 50
        with Client(server.address, receive_buffer=65536) as leaving:
            leaving.send(request("/large")).socket.recv(65536)
            leaving.reset()
        wait_until("the end of it", lambda: server.metrics()["otus_http_requests_in_flight"] == 0)
    records = scene.stopped()
    check.equal("requests", kinds(records), {"GET/200": 51})
    found = [one.get("CAUSE") for one in individual(records) if one["HTTP_TARGET"] == "/large"]
    check.expect(found and found[0], f"causes {found}")


def slowest(check, scene):
    """The request that takes longest is named, though thousands are summed with it."""
    server = scene.start("--log-rate=1")
    is_over = threading.Event()

    def quick():
        with Client(server.address) as client:
            while not is_over.wait(0.002):
                client.send(request() * 5)
                for _ in range(5):
                    client.answer()

    # On every worker, that each has used up its rate.
    crowd = [threading.Thread(target=quick) for _ in range(8)]
    for thread in crowd:
        thread.start()
    slow = []
    for n in range(2):
        begin = time.monotonic()
        with Client(server.address) as client:
            client.send(request(f"/large?slow{n}"))
            # Longer than a second, so that each is in a sum of its own, unless the server is late.
            time.sleep(SLOW_S)
            assert client.answer()[0] == 200
        slow.append((f"/large?slow{n}", (time.monotonic() - begin) * 1e6))
    is_over.set()
    for thread in crowd:
        thread.join()
    records = scene.stopped()
    named = {one["SLOWEST_TARGET"]: int(one["SLOWEST_US"]) for one in sums(records)}
    told = [(target, named[target], took_us) for target, took_us in slow if target in named]
    check.expect(told, f"none of {slow} in {named}")
    for target, us, took_us in told:
        check.note(f"{target} with {us} us")
        check.expect((SLOW_S - 0.1) * 1e6 <= us <= took_us + LATE_US, f"{target}: {us} of {took_us:.0f} us")


CHECKS = {
    "sums are exact": exact,
    "the rate": rate,
    "the slowest of a sum": slowest,
    "an answer that is cut, among sums": cut,
}
