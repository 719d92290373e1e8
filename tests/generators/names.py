"""Prints each file name of the sites that generators have built, and whether it is taken for one with a hash of the content: nearly
all that have one are, and no other. Nor is any file name of widely used packages, put where a generator has its files.
  names.py BINARY SITES"""

import json
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

BASE64 = r"[\w-]{8}"
HEX = r"[0-9a-f]{8}([0-9a-f]{8})*"
# A dictionary, a source map or a license beside a script is no asset of a page.
NEVER = r"(\.(html|json|xml|gz|map|txt|pf_\w+|pagefind))$"


@dataclass
class Output:
    """What a generator has built."""

    name: str
    path: str
    # The names that it gives a hash, by its documentation.
    hashed: str
    # The least share of them, in percent, that is to be recognized.
    least: int


OUTPUTS = [
    Output("Vite", "vite/dist", rf"assets/.+-{BASE64}\.\w+", 65),
    Output("VitePress", "vitepress/docs/.vitepress/dist", rf"assets/.+\.{BASE64}(\.lean)?\.\w+", 65),
    Output("Astro", "astro/dist", rf"_astro/.+\.{BASE64}(_\w+)?\.\w+", 90),
    Output("SvelteKit", "sveltekit/build", rf"_app/immutable/.*[./]{BASE64}\.\w+", 90),
    Output("Nuxt", "nuxt/.output/public", rf"_nuxt/(.+\.)?{BASE64}\.\w+", 85),
    Output("Docusaurus", "docusaurus/build", rf"assets/(css|js|fonts|images)/.+[.-]{HEX}\.\w+", 85),
    Output("MkDocs Material", "mkdocs/site", rf"assets/(stylesheets|javascripts)/.+\.{HEX}\.min\.(css|js)", 85),
]
# Where files of authors lie beside those of a generator.
SHARED = ["assets/", "static/", ""]


def recognized(binary, directory):
    """The names that the server takes for ones with a hash, as check-site lists them."""
    report = subprocess.run([binary, "check-site", "--json", directory], capture_output=True, check=False).stdout
    report = json.loads(report)
    if report["hashed_left_out"]:
        raise RuntimeError(f"{directory} has too many names")
    return set(report["hashed"])


def check_output(binary, sites, output):
    """Prints the names of a built site. Returns whether they are what is expected."""
    directory = sites / output.path
    names = sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())
    names = [name for name in names if not re.search(NEVER, name)]
    hashed = {name for name in names if re.fullmatch(output.hashed, name)}
    found = recognized(binary, directory)
    for name in names:
        kind = {(True, True): "hash", (True, False): "hash, not recognized", (False, True): "WRONG", (False, False): "none"}
        print(f"     {name}: {kind[name in hashed, name in found]}")
    wrong, share = found - hashed, 100 * len(found & hashed) / max(1, len(hashed))
    is_right = not wrong and len(hashed) > 1 and share >= output.least
    by_kind = defaultdict(list)
    for name in hashed:
        by_kind["scripts and styles" if re.search(r"\.(m?js|css)$", name) else "other files"].append(name in found)
    parts = ", ".join(f"{kind} {sum(found)} of {len(found)}" for kind, found in sorted(by_kind.items()))
    print(f"{'PASS' if is_right else 'FAIL'} {output.name}: {share:.0f} % of {len(hashed)} hashed names are recognized ({parts}), "
          f"{len(wrong)} others")
    return is_right


def check_packages(binary, packages):
    """Checks the names of all files of packages."""
    names = {path.name for path in packages.rglob("*") if path.is_file()}
    with tempfile.TemporaryDirectory() as site:
        for directory in SHARED:
            (Path(site) / directory).mkdir(exist_ok=True)
            for name in names:
                # Nothing is read but the name.
                (Path(site) / directory / name).touch()
        wrong = sorted(recognized(binary, site))
    print(f"{'FAIL' if wrong or len(names) < 5000 else 'PASS'} {len(names)} names of files in packages, in {len(SHARED)} directories: "
          f"{len(wrong)} are taken for hashed {' '.join(wrong[:20])}")
    return not wrong and len(names) >= 5000


def main():
    binary, sites = sys.argv[1], Path(sys.argv[2])
    results = [check_output(binary, sites, output) for output in OUTPUTS]
    results.append(check_packages(binary, sites / "names/node_modules"))
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
