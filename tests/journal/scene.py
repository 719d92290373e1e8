"""A check, and what it works with: a journald with an empty journal, and a server that logs into it."""

import contextlib
import time

import record
from journald import Journald, wait_until
from server import Server

# Longer than the second after which what is summed is written, and the pauses after which writing is tried again.
TIMEOUT = 15

# Of what is wrong with a check.
MOST_TOLD = 8


class Check:
    """What is wrong, and what is worth telling if nothing is."""

    def __init__(self, name):
        self.name, self.notes, self.wrong = name, [], []

    def expect(self, is_right, text):
        if not is_right:
            self.wrong.append(text)

    def equal(self, what, value, wanted):
        self.expect(value == wanted, f"{what} {value!r}, not {wanted!r}")

    def note(self, text):
        self.notes.append(text)

    def report(self):
        more = f"; and {len(self.wrong) - MOST_TOLD} more" if len(self.wrong) > MOST_TOLD else ""
        verdict = f"FAIL {self.name}: {'; '.join(self.wrong[:MOST_TOLD])}{more} --" if self.wrong else f"PASS {self.name}:"
        print(verdict, ", ".join(self.notes), flush=True)
        return not self.wrong


class Scene(contextlib.ExitStack):
    """Closed at the end of the check, however it ends."""

    def __init__(self, binary, root, check):
        super().__init__()
        self.binary, self.root, self.check = binary, root, check

    def start(self, *options, log="journal", **how):
        """A journald and a server that logs into it, with further options."""
        if not hasattr(self, "journald"):
            self.journald = self.enter_context(contextlib.closing(Journald()))
        options = [*([f"--access-log={log}"] if log else []), *options]
        self.server = self.enter_context(contextlib.closing(Server(self.binary, self.root, options, **how)))
        return self.server

    def stopped(self, *matches):
        """The records of the access log, once the server has ended in peace. Each must be right by itself."""
        self.server.stop()
        return self.written(*matches)

    def read(self, *matches):
        self.journald.sync()
        return [r for r in self.journald.records(*matches) if r.get("TARGET", "").startswith("access")]

    def written(self, *matches):
        """The records that there are. Each must be right by itself."""
        records = self.read(*matches)
        for one in records:
            for problem in record.problems(one):
                self.check.expect(False, f"{problem} in {record.own_fields(one)}")
        return records

    def settle(self):
        """Waits until the server has no client and nothing left to log, and gives its metrics."""

        def settled():
            looks = []
            for _ in range(2):
                time.sleep(0.05)
                looks.append(self.server.metrics())
                if self.server.queue() or looks[-1]["otus_http_connections"] or logged(looks[-1]) < owed(looks[-1]):
                    return None
            return looks[1] if outcomes(looks[0]) == outcomes(looks[1]) else None

        with contextlib.suppress(TimeoutError):
            return wait_until("all to be logged", settled, TIMEOUT)
        return self.server.metrics()


def owed(metrics):
    """How many requests and connections there were that the log has to account for."""
    answered = sum(value for name, value in metrics.items() if name.startswith("otus_http_requests_total{"))
    refused = metrics["otus_http_connections_refused_total"]
    return answered + metrics["otus_http_connections_unused_total"] + refused


def logged(metrics):
    return sum(outcomes(metrics).values())


def outcomes(metrics):
    return {
        outcome: int(metrics[f'otus_log_records_total{{outcome="{outcome}"}}']) for outcome in ("written", "summed", "dropped")
    }


def individual(records):
    return [one for one in records if one["TARGET"] == "access"]


def sums(records):
    return [one for one in records if one["TARGET"] == "access_sum"]


def drops(records):
    return [one for one in records if one["TARGET"] == "access_dropped"]


def accounted(records):
    """How many requests and connections the records account for: {"written", "summed", "dropped"}"""
    return {
        "written": len(individual(records)),
        "summed": sum(int(one["REQUESTS"]) for one in sums(records)),
        "dropped": sum(int(one["DROPPED"]) for one in drops(records)),
    }


def content(records):
    """The bytes that the records account for."""
    return sum(int(one["BYTES_SENT"]) for one in individual(records) + sums(records))


def kinds(records):
    """{"GET/200": how many} of all records that are there or were summed."""
    found = {}
    for one in individual(records):
        found[record.key(one)] = found.get(record.key(one), 0) + 1
    for one in sums(records):
        for key, count in record.counts(one).items():
            found[key] = found.get(key, 0) + count
    return found
