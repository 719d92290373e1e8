#!/usr/bin/env python3
"""The access log in a real journal, each check with a journald and a server of its own.

    journal.py BINARY [TEXT...]        in a mount and a network namespace of its own: see run
"""

import gzip
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

import balance
import choices
import fields
import forgery
import journald
import summary
import tls
from scene import Check, Scene

CHECKS = fields.CHECKS | forgery.CHECKS | choices.CHECKS | summary.CHECKS | balance.CHECKS | tls.CHECKS


def make_site(directory):
    root = directory / "root"
    (root / "directory").mkdir(parents=True)
    (root / "page.html").write_bytes(b"x" * fields.PAGE)
    text = random.Random(1).choices(b"abcdefgh", k=10_000)
    (root / "packed.txt").write_bytes(bytes(text))
    (root / "packed.txt.gz").write_bytes(gzip.compress(bytes(text)))
    with open(root / "large", "wb") as file:
        file.truncate(fields.LARGE)
    return root


def perform(name, function, binary, root):
    check, begin = Check(name), time.monotonic()
    with Scene(binary, root, check) as scene:
        try:
            function(check, scene)
        except Exception as error:
            traceback.print_exc()
            check.expect(False, f"{type(error).__name__}: {error}")
    check.note(f"{time.monotonic() - begin:.1f} s")
    return check.report()


def main():
    binary, *wanted = sys.argv[1:]
    os.umask(0o022)
    journald.prepare()
    with tempfile.TemporaryDirectory() as directory:
        root = make_site(Path(directory))
        chosen = [(name, function) for name, function in CHECKS.items() if not wanted or any(text in name for text in wanted)]
        results = [perform(name, function, os.path.abspath(binary), root) for name, function in chosen]
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
