"""Prints the table of src/site/hashed_name/words.rs: how rare each letter is after each other one, in the words of the names of files
and of what the sources of the installed packages declare.
  letters.py DIRECTORY..."""

import collections
import math
import os
import re
import string
import sys

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
NAME = re.compile(r"(?<![\w$])[A-Za-z]\w{7}(?![\w$])")
SOURCES = (".d.ts", ".d.mts", ".d.cts", ".ts", ".tsx", ".scss", ".less", ".vue", ".md")
MAX_BYTES = 2_000_000
BY_CHANCE = math.log2(26)


def names(top):
    """The names of files, and names of eight characters in sources, each once."""
    found = set()
    for directory, _, files in os.walk(top):
        found.update(files)
        for name in files:
            path = os.path.join(directory, name)
            if name.endswith(SOURCES) and os.path.getsize(path) <= MAX_BYTES:
                with open(path, encoding="utf-8", errors="ignore") as source:
                    found.update(NAME.findall(source.read()))
    return found


def main():
    all_names = set().union(*map(names, sys.argv[1:]))
    used = collections.Counter(word.lower() for name in all_names for word in set(WORD.findall(name)))
    # A word of one name may be a hash.
    pairs = collections.Counter(a + b for word, count in used.items() if count > 1 for a, b in zip(word, word[1:]))
    letters = string.ascii_lowercase
    for first in letters:
        all_pairs = sum(pairs[first + second] for second in letters) + len(letters) / 2
        rarity = [-math.log2((pairs[first + second] + 0.5) / all_pairs) - BY_CHANCE for second in letters]
        print(f'    b"{"".join(str(max(0, min(9, round(value) + 4))) for value in rarity)}",')


if __name__ == "__main__":
    main()
