#!/usr/bin/env python3
"""Random field sections, which PyPI's hpack writes and this server reads, and the other way round; and damaged ones, of which both say
the same.

    lists.py PROGRAM [COUNT]
"""

import random
import struct
import subprocess
import sys

import hpack

# Lists of a process, and of a connection.
BATCH, CONNECTION = 10_000, 100
NAMES = [b":method", b":path", b":status", b"accept", b"cookie", b"etag", b"x-a", b"x-b"]
VALUES = [b"GET", b"/", b"200", b"", b"gzip, deflate", b"*/*"]
# Lengths that this server's program says instead of a section.
MALFORMED, NOT_ASCII = 0xFFFFFFFF, 0xFFFFFFFE
LETTERS = b"abcdefghijklmnopqrstuvwxyz0123456789-"

def lines(rng):
    result = []
    for _ in range(rng.randrange(7)):
        name = rng.choice(NAMES) if rng.random() < 0.7 else bytes(rng.choices(LETTERS, k=rng.randrange(1, 14)))
        kind = rng.random()
        if kind < 0.3:
            value = rng.choice(VALUES)
        elif kind < 0.9:
            value = bytes(rng.choices(LETTERS, k=rng.randrange(40)))
        else:
            value = rng.randbytes(rng.randrange(400))
        # Some are never indexed.
        kind = hpack.NeverIndexedHeaderTuple if rng.random() < 0.1 else hpack.HeaderTuple
        result.append(kind(name, value))
    return result


def damaged(rng, section):
    section = bytearray(section)
    for _ in range(rng.randrange(1, 4)):
        section[rng.randrange(len(section))] = rng.randrange(256)
    return bytes(section[: rng.randrange(1, len(section) + 1)] if rng.random() < 0.2 else section)


def decoder():
    return hpack.Decoder(max_header_list_size=1 << 30)


def read(other, section):
    """What hpack reads; None if it refuses the section."""
    try:
        return [tuple(line) for line in other.decode(section, raw=True)]
    except (hpack.HPACKError, IndexError):
        return None


def batch(program, rng, count):
    """Returns the number of lists that were compared, of damaged ones, and the disagreements."""
    sent, expected = [], []
    for number in range(count):
        if number % CONNECTION == 0:
            sent.append(struct.pack(">I", 0))
            writer, reader, is_damaged = hpack.Encoder(), decoder(), False
        if is_damaged:
            continue
        if rng.random() < 0.02:
            writer.header_table_size = rng.randrange(4097)
        section = writer.encode(lines(rng), huffman=rng.random() < 0.5)
        if not section:
            continue
        # Behind one, a connection is of no use.
        is_damaged = rng.random() < 0.05
        if is_damaged:
            section = damaged(rng, section)
        sent.append(struct.pack(">I", len(section)) + section)
        expected.append((section, read(reader, section), is_damaged))
    output = subprocess.run([program, "pipe"], input=b"".join(sent), capture_output=True, check=True).stdout
    faults, at, own = [], 0, decoder()
    for section, wanted, is_damaged in expected:
        (length,) = struct.unpack_from(">I", output, at)
        at += 4
        got = None
        if length == NOT_ASCII:
            got = wanted and [*wanted]
        elif length != MALFORMED:
            # What this server writes depends on nothing before it.
            got, at = read(own, output[at : at + length]), at + length
        if got != wanted:
            faults.append(f"{section.hex()} {'(damaged)' if is_damaged else ''}: {got}, not {wanted}")
    assert at == len(output)
    return len(expected), sum(is_damaged for _, _, is_damaged in expected), faults


def main():
    program, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    rng = random.Random(7541)
    compared, damaged_ones, faults = 0, 0, []
    while compared < count:
        done = batch(program, rng, BATCH)
        compared, damaged_ones = compared + done[0], damaged_ones + done[1]
        faults += done[2]
    for fault in faults[:20]:
        print(fault[:1000])
    print(f"{'FAIL' if faults else 'PASS'} hpack: {compared} random lists, of which {damaged_ones} damaged; {len(faults)} disagreements")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
