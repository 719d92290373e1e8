"""The rows of the benchmark: what is asked of each server, and how the client's report is read."""

import re
from dataclasses import dataclass
from typing import Callable


@dataclass(frozen=True)
class Workload:
    name: str
    label: str
    file: str
    command: Callable  # url -> the client's command
    version: list  # the command that tells the client's version
    read: Callable  # what the client printed -> Report


@dataclass(frozen=True)
class Report:
    requests: int
    failed: int
    per_second: float


def number(pattern, text, default=None):
    found = re.search(pattern, text)
    if found is None and default is None:
        raise SystemExit(f"The client's report has no '{pattern}':\n{text}")
    return float(found[1]) if found else default


def read_ab(text):
    asked, done = AB_REQUESTS, int(number(r"Complete requests: +(\d+)", text))
    failed = (
        number(r"Failed requests: +(\d+)", text)
        + number(r"Write errors: +(\d+)", text, 0)
        + number(r"Non-2xx responses: +(\d+)", text, 0)
        + (asked - done)
    )
    return Report(done, int(failed), number(r"Requests per second: +([\d.]+)", text))


def read_wrk(text):
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = sum(map(int, errors.groups())) if errors else 0
    failed += number(r"Non-2xx or 3xx responses: (\d+)", text, 0)
    return Report(int(number(r"(\d+) requests in", text)), int(failed), number(r"Requests/sec: +([\d.]+)", text))


AB_REQUESTS = 50000

ALL = [
    Workload(
        "ab", "A connection per request", "test.html",
        lambda url: ["ab", "-q", "-n", str(AB_REQUESTS), "-c", "100", "-r", "-s", "60", url],
        ["ab", "-V"], read_ab,
    ),
    Workload(
        "wrk", "Keep-alive, 100 connections", "test.html",
        lambda url: ["wrk", "-t1", "-c100", "-d3s", url],
        ["wrk", "-v"], read_wrk,
    ),
]
