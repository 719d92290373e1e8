"""Clients of the life-cycle test, on plain sockets: http.client would hide errors of a connection."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

REQUEST = b"GET /test.html HTTP/1.1\r\nHost: test\r\n\r\n"


def connect():
    connection = socket.create_connection(("127.0.0.1", 80), 20)
    connection.settimeout(20)
    return connection


def ask(connection):
    """Sends one request; returns whether a complete response with status 200 arrived."""
    try:
        connection.sendall(REQUEST)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = connection.recv(65536)
            if not part:
                return False
            answer += part
        head, body = answer.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        while len(body) < length:
            part = connection.recv(65536)
            if not part:
                return False
            body += part
        return head.startswith(b"HTTP/1.1 200 ")
    except OSError as error:
        ask.error = error
        return False


def visit():
    """Sends one request over a new connection; returns the result of `ask`."""
    try:
        with connect() as connection:
            return ask(connection)
    except OSError:
        return False


def one_after_another(stop):
    """Sends requests over new connections until `stop()`; returns how many were sent and how many failed."""
    made = failed = 0
    while not stop():
        made += 1
        failed += not visit()
    return made, failed


def around(event, end):
    """around EVENT END: requests of four clients, a connection each, until the file END is there. Prints how many were made,
    how many failed, the 99.9th percentile in milliseconds before the file EVENT was there, and the longest since.

    The clients run as soon as a response arrives (sched(7), SCHED_FIFO): otherwise the time in which they wait for a
    processor, which is hundreds of milliseconds while a package is unpacked, would count as the server's. Pauses between
    their requests leave the processors to the others."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    lock, before, since, failed = threading.Lock(), [], [], []

    def client():
        while not os.path.exists(end):
            start = time.monotonic()
            good = visit()
            took = (time.monotonic() - start) * 1000
            with lock:
                (since if os.path.exists(event) else before).append(took)
                failed.extend([] if good else [took])
            time.sleep(0.004)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    p999 = sorted(before)[len(before) * 999 // 1000]
    print(len(before) + len(since), len(failed), round(p999), round(max(since)))


def pauses(seconds, rounds):
    """pauses SECONDS ROUNDS: pauses of about so long, each followed by a few requests; prints made and failed."""
    made = failed = 0
    for step in range(rounds):
        # Spread over slightly more than the second in which an idle server exits.
        time.sleep(seconds + step * 1.3 / rounds)
        for _ in range(5):
            made += 1
            failed += not visit()
    print(made, failed)


def owners():
    """Returns the worker of each connection, by the client's port."""
    lines = subprocess.run(["ss", "-Htnp", "state", "established", "sport = :80"], capture_output=True, text=True).stdout
    held = {}
    for line in lines.splitlines():
        peer, users = line.split()[3:5]
        held[int(peer.rsplit(":", 1)[1])] = int(users.split("pid=")[1].split(",")[0])
    return held


def children(parent):
    return set(map(int, subprocess.run(["pgrep", "--parent", str(parent), "--exact", "otus-httpd"], capture_output=True, text=True).stdout.split()))


def kill_a_worker(supervisor):
    """kill SUPERVISOR: kills one worker with SIGKILL under load; prints its pid and PASS or FAIL lines."""
    connections = []
    victim = None
    # Opens connections until two workers have a few each.
    while len(connections) < 500 and victim is None:
        for _ in range(20):
            connection = connect()
            assert ask(connection), "no answer before anything was killed"
            connections.append(connection)
        held = owners()
        mine = [held.get(connection.getsockname()[1]) for connection in connections]
        for pid in set(mine) - {None}:
            if 2 <= mine.count(pid) <= len(mine) - 2:
                victim = pid
    print("victim", victim)
    if victim is None:
        print("FAIL kill -9: one worker held all 500 connections; nothing can be told from killing it")
        return
    others = [connection for connection, owner in zip(connections, mine) if owner != victim]
    before = children(supervisor)

    done = threading.Event()
    fresh = []
    thread = threading.Thread(target=lambda: fresh.append(one_after_another(done.is_set)))
    thread.start()
    start = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    replaced = None
    unharmed = True
    while time.monotonic() < start + 2:
        unharmed = all([ask(connection) for connection in others]) and unharmed
        now = children(supervisor)
        if replaced is None and victim not in now and len(now) == len(before):
            replaced = time.monotonic() - start
    done.set()
    thread.join()
    made, failed = fresh[0]

    def report(good, text):
        print("PASS" if good else "FAIL", "kill -9 of a worker:", text)

    report(replaced is not None and replaced <= 1, f"replaced within a second ({replaced and round(replaced * 1000)} ms)")
    report(unharmed, f"the {len(others)} connections of other workers went on")
    # The worker may have held one request of a client that sends one at a time.
    report(failed <= 1, f"{made} new connections, at most the one in its hands failed ({failed})")


def death_record(pid):
    """record PID: checks that the journal on stdin (JSON lines) has the death of this worker, with pid and signal as fields."""
    for line in sys.stdin:
        record = json.loads(line)
        if record.get("WORKER_PID") == pid and record.get("SIGNAL") in ("9", "KILL", "SIGKILL"):
            print(record["MESSAGE"])
            return
    sys.exit("no record has WORKER_PID=" + pid + " and SIGNAL=SIGKILL")


def sentence():
    """sentence: the journal on stdin (JSON lines) must hold one record of the server; prints it."""
    records = [record for record in map(json.loads, sys.stdin) if record.get("SYSLOG_IDENTIFIER") == "otus-httpd"]
    messages = [record["MESSAGE"] for record in records]
    if len(messages) != 1 or "\n" in messages[0]:
        sys.exit(f"expected one line, got {messages}")
    print(messages[0])


def account():
    """account: counts records, summarized requests and dropped records of the access log on stdin (JSON lines)."""
    individual = summed = dropped = 0
    for record in map(json.loads, sys.stdin):
        individual += record.get("TARGET") == "access"
        summed += int(record["REQUESTS"]) if record.get("TARGET") == "access_sum" else 0
        dropped += int(record["DROPPED"]) if record.get("TARGET") == "access_dropped" else 0
    print(individual, summed, dropped)


def fields():
    """fields: prints the names of the server's fields in the record on stdin (JSON), and the values that are always the same."""
    record = json.loads(sys.stdin.read())
    not_ours = ("_", "CODE_", "SYSLOG_", "MESSAGE")
    told = ("PRIORITY", "TARGET")
    names = sorted(name for name in record if not name.startswith(not_ours))
    print(*(f"{name}={record[name]}" if name in told else name for name in names))


COMMANDS = {
    "account": account,
    "fields": fields,
    "around": around,
    "pauses": lambda seconds, rounds: pauses(float(seconds), int(rounds)),
    "kill": lambda pid: kill_a_worker(int(pid)),
    "record": death_record,
    "sentence": sentence,
}
COMMANDS[sys.argv[1]](*sys.argv[2:])
