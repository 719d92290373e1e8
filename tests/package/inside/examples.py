"""The examples of the manual: every block between .nf and .fi, as a reader types it.

examples.py DIRECTORY < PAGE    writes DIRECTORY/N.heading, which is "SECTION" or "SECTION/SUBSECTION", and DIRECTORY/N.text
"""

import pathlib
import re
import sys


def heading(line):
    return line[3:].strip().strip('"').replace("\\-", "-")


def plain(line):
    """A line of roff without fonts and escapes."""
    line = re.sub(r"\\f[A-Z]", "", line)
    return line.replace("\\-", "-").replace("\\&", "").replace("\\e", "\\")


def blocks(page):
    section, subsection, block = "", "", None
    for line in page:
        line = line.rstrip("\n")
        if line.startswith(".SH"):
            section, subsection = heading(line), ""
        elif line.startswith(".SS"):
            subsection = "/" + heading(line)
        elif line == ".nf":
            block = []
        elif line == ".fi":
            yield section + subsection, "\n".join(block) + "\n"
            block = None
        elif block is not None:
            block.append(plain(line))


def main():
    directory = pathlib.Path(sys.argv[1])
    directory.mkdir(parents=True)
    for number, (where, text) in enumerate(blocks(sys.stdin)):
        (directory / f"{number:03}.heading").write_text(where)
        (directory / f"{number:03}.text").write_text(text)


main()
