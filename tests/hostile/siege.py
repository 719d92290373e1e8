"""An attack, what is measured beside it, and what it may cost."""

import threading
import time
from dataclasses import dataclass
from statistics import median
from typing import Callable

from server import Visitors, wait_until

KIB, MIB = 1024, 1024 * 1024

# The small page, in bytes.
PAGE = 97

# Others are served as before if their requests take at most three times as long, leaving out what they waited for a
# processor, since the machine may be busy with other things. A burst of 500 connections is worked off one by one, which
# takes a slow machine some ten milliseconds, and the kernel has moments of its own: hence milliseconds that always pass.
# A server that holds a thread or a place for each slow client makes the others wait for seconds.
SLOWER = 3
MEDIAN_MS, P99_MS = 2, 200

# Of both workers. Each has a main thread and one request thread, unless a disk is slow.
THREADS = 16

# What threads and their buffers may add to the server's memory, and what the allocator may keep of what is free.
OVERHEAD = 4 * MIB


@dataclass(frozen=True)
class Siege:
    name: str
    attack: Callable  # (server, check): does it, and demands what it wants to
    memory: int  # bytes that it may cost while it lasts
    slower: float = SLOWER  # how many times longer others' requests may take
    least_p99_ms: float = P99_MS
    processor: float = 0.5  # how much of one processor it may cost
    kept: int = 0  # bytes of free memory that the allocator may keep of what it cost
    descriptors: int = 0  # how many of the server are seen at least: without them it is no attack
    options: tuple = ()  # of the server
    threads: int = THREADS  # how many the workers may have
    has_tls: bool = False  # whether it, and its visitors, speak TLS


class Check:
    """What was seen, and what of it is wrong."""

    def __init__(self, name):
        self.name, self.seen, self.wrong = name, [], []

    def expect(self, is_right, text):
        self.seen.append(text)
        if not is_right:
            self.wrong.append(text)

    def at_most(self, what, value, most, unit):
        self.expect(value <= most, f"{what} {value:.4g} of {most:.4g} {unit}")

    def report(self):
        verdict = f"FAIL {self.name}: {'; '.join(self.wrong)} -- all:" if self.wrong else f"PASS {self.name}:"
        print(verdict, ", ".join(self.seen), flush=True)
        return not self.wrong


class Peaks(threading.Thread):
    """The most descriptors, threads and memory that a server has while the block lasts."""

    def __init__(self, server):
        super().__init__()
        self.server, self.is_over = server, threading.Event()
        self.descriptors = self.threads = self.memory = 0

    def run(self):
        while not self.is_over.wait(0.1):
            self.descriptors = max(self.descriptors, self.server.descriptors())
            self.threads = max(self.threads, self.server.threads())
            self.memory = max(self.memory, self.server.memory())

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.join()


def besiege(server, siege):
    """Has visitors before and during the attack, and demands that it costs them nothing, and the server no more than it
    may; and that nothing of it stays. Prints what it saw, and says whether all was well."""
    check = Check(siege.name)
    try:
        withstand(server, siege, check)
    except OSError as error:
        check.expect(False, f"{type(error).__name__}: {error}")
    workers, complaints = server.children(), server.complaints()
    check.expect(workers == server.workers, f"workers {server.workers}, then {workers}")
    check.expect(not complaints, f"{len(complaints)} complaints in the log{examples(complaints)}")
    return check.report()


def withstand(server, siege, check):
    # On a machine that is very busy a visitor may need a while to come at all.
    for _ in range(10):
        with Visitors(server, PAGE) as calm:
            time.sleep(2)
        if len(calm.report["served_ms"]) >= 50:
            break
    wait_until("the visitors to be gone", lambda: server.descriptors() <= 0)
    memory, cpu, begin = server.memory(), server.cpu_seconds(), time.monotonic()
    with Peaks(server) as peaks, Visitors(server, PAGE) as visitors:
        siege.attack(server, check)
    cpu, took = server.cpu_seconds() - cpu, time.monotonic() - begin

    check.expect(peaks.descriptors >= siege.descriptors, f"{peaks.descriptors} descriptors")
    check.at_most("with", peaks.threads, siege.threads, "threads")
    check.at_most("memory +", (peaks.memory - memory) / MIB, (siege.memory + OVERHEAD) / MIB, "MiB")
    check.at_most("processor", cpu, took * siege.processor + 1, "s")
    compare(check, siege, calm.report, visitors.report)
    wait_until("descriptors as before", lambda: server.descriptors() <= 0)
    wait_until("memory as before", lambda: server.memory() - memory <= OVERHEAD + siege.kept)
    check.at_most("then memory +", (server.memory() - memory) / MIB, (OVERHEAD + siege.kept) / MIB, "MiB")


def compare(check, siege, calm, busy):
    """The visitors before and during the attack; with waiting for a processor in parentheses."""
    served, took, failures = busy["served_ms"], busy["took_ms"], busy["failures"]
    check.expect(not failures, f"{len(took)} visits, {len(failures)} failed{examples(failures)}")
    for what, of, least in [("median", median, MEDIAN_MS), ("p99", p99, siege.least_p99_ms)]:
        before, during = of(calm["served_ms"]), of(served)
        text = f"{what} {before:.2f} -> {during:.2f} ms ({of(calm['took_ms']):.2f} -> {of(took):.2f})"
        check.expect(during <= max(siege.slower * before, least), text)
    check.expect(True, f"longest {max(served):.0f} ms ({max(took):.0f})")


def p99(values):
    return sorted(values)[len(values) * 99 // 100]


def examples(texts):
    return f" {texts[:3]}" if texts else ""
