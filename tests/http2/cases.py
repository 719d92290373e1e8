#!/usr/bin/env python3
"""Sends the cases of cases/*.txt to a server, and checks what it gets; and lets PyPI's hyperframe and hpack read and write all frames.

    cases.py PORT [--tls] [--only TEXT] [--at-once N]
"""

import argparse
import contextlib
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import hpack
from hyperframe.exceptions import HyperframeError
from hyperframe.frame import Frame as OtherFrame

from connection import Connection
from notation import PREFACE, Wait, cases, raw_frame

CASES = Path(__file__).parent / "cases"


def run(case, port, is_tls):
    """What is wrong with what the client gets; None if nothing is."""
    with contextlib.closing(Connection(port, is_tls)) as client:
        try:
            return play(case, client)
        except (TimeoutError, OSError, hpack.HPACKError) as error:
            return f"{error!r}; {client.got}"


def play(case, client):
    output = PREFACE if case.has_preface else b""
    if case.has_settings:
        client.send(output + raw_frame(4, 0, 0, b""))
        client.wait(lambda: client.has_settings)
        output = raw_frame(4, 1, 0, b"")
    reset = set()
    for step in case.steps:
        if not isinstance(step, Wait):
            output += step.data
            client.note_table_size(step.data)
            if len(step.data) == 13 and step.data[3] == 3:
                reset.add(int.from_bytes(step.data[5:9], "big"))
            continue
        client.send(output)
        output = b""
        if step.stream not in reset and not client.wait(lambda stream=step.stream: stream in client.ended):
            return f"stream {step.stream} does not end: {client.got}"
    client.send(output)
    may_go_on = any(not any(want.startswith("connection ") for want in wants) for wants in case.wants)

    def fits():
        return any(is_what_it_wants(client, wants, reset) for wants in case.wants)

    if not may_go_on:
        client.wait(lambda: client.is_over)
        return None if fits() else f"{shown(client.got)}, not {case.wants}"
    is_alive = client.ping(b"the end.")
    client.wait(fits)
    # Whatever it has sent besides is here with the second.
    if is_alive and not client.is_over:
        is_alive = client.ping(b"and now.") or client.is_over
    if not fits():
        return f"{shown(client.got)} {client.content if 'sends' in str(case.wants) else ''}, not {case.wants}"
    return None if is_alive or client.is_over else "a PING is not answered any more"


def shown(got):
    return got if len(got) < 10 else [*got[:5], "...", *got[-5:]]


def is_what_it_wants(client, wants, reset):
    """Whether a client has got all that, and nothing else."""
    failures = [want for want in wants if want.startswith("connection ")]
    ends = [got for got in client.got if got.startswith("connection ")]
    if failures:
        return ends[-1:] == failures and client.is_over
    if ends or client.is_over:
        return False
    sends = [want.split() for want in wants if want.startswith("sends ")]
    if any(client.content.get(int(stream), 0) != int(count) for _, stream, count in sends):
        return False
    wants = [want for want in wants if not want.startswith("sends ")]

    def fits(want, got):
        return got == want or want.startswith("answer ") and got.startswith(want + " ")

    unwanted = [got for got in client.got if not got.endswith(" NO_ERROR") and not any(fits(want, got) for want in wants)]
    # Whether a stream is answered that is reset, by the client or for a fault, depends on time.
    reset = reset | {int(want.split()[1]) for want in wants if want.startswith("stream ")}
    missing = [want for want in wants if not any(fits(want, got) for got in client.got) and stream_of(want) not in reset]
    return not unwanted and not missing


def stream_of(want):
    found = re.match(r"answer (\d+)", want)
    return int(found[1]) if found else None


def compare_encoders(is_tls):
    """Lets hyperframe and hpack read and write all frames. Returns the numbers of those that they know, and what differs."""
    known, refused, sections, faults = 0, 0, 0, []
    for case in cases(CASES, is_tls):
        for data, fields in {(step.data, tuple(step.fields or ())) for step in case.steps if not isinstance(step, Wait)}:
            try:
                other, length = OtherFrame.parse_frame_header(memoryview(data[:9]))
                other.parse_body(memoryview(data[9:]))
            except (HyperframeError, ValueError, IndexError):
                refused += 1
                continue
            known += 1
            if length == len(data) - 9 and is_canonical(data, case) and other.serialize() != data:
                faults.append(f"{case.name}: hyperframe writes {other.serialize()[:40].hex()} for {data[:40].hex()}")
            if fields and hasattr(other, "data") and data[3] in (1, 9):
                sections += 1
                decoded = hpack.Decoder(max_header_list_size=1 << 20).decode(bytes(other.data), raw=True)
                if [tuple(line) for line in decoded] != list(fields):
                    faults.append(f"{case.name}: hpack reads {decoded}")
    return known, refused, sections, faults


def is_canonical(data, case):
    """Whether the frame has nothing that hyperframe does not keep or check: reserved bits, unknown flags, padding that is not zeros, the
    order of settings, and what a type does not use. Of a setting above 255, hyperframe 6.1 writes the low byte alone (RFC 9113 section
    6.5.1 has 16 bits); and it accepts padding that reaches into the priority (section 6.2)."""
    kind, flags, stream = data[3], data[4], int.from_bytes(data[5:9], "big")
    used = {0: 0x9, 1: 0x2D, 4: 0x1, 6: 0x1, 9: 0x4}.get(kind, 0xFF if kind > 9 else 0)
    if stream >> 31 or flags & ~used or kind == 4 and (len(data) > 15 or data[9:10] > b"\0") or kind == 8 and data[9] >> 7:
        return False
    is_fault = any(want.startswith("connection ") for want in case.wants[0])
    return not (kind in (0, 1) and flags & 0x8 and (is_fault or data.endswith(b"\xff\xff\xff")))


def check_encoders(is_tls):
    """Returns whether the other encoders agree."""
    known, refused, sections, faults = compare_encoders(is_tls)
    for fault in faults:
        print(fault)
    verdict = "FAIL" if faults else "PASS"
    print(f"{verdict} hyperframe reads and writes {known} frames as this does, and refuses {refused}; hpack reads {sections} field sections")
    return not faults


def check_cases(port, is_tls, only="", at_once=8):
    """Returns whether a server does what the cases say."""
    chosen = [case for case in cases(CASES, is_tls) if only in case.name]
    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda case: run(case, port, is_tls), chosen))
    wrong = [(case, result) for case, result in zip(chosen, results) if result]
    for case, result in wrong:
        print(f"{case.name}: {result}")
    transport = "over TLS" if is_tls else "in clear"
    print(f"{'FAIL' if wrong else 'PASS'} {len(chosen) - len(wrong)} of {len(chosen)} cases {transport}", flush=True)
    return not wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--at-once", type=int, default=8)
    options = parser.parse_args()
    return 0 if check_cases(options.port, options.tls, options.only, options.at_once) else 1


if __name__ == "__main__":
    sys.exit(main())
