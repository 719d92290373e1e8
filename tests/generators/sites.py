"""The generators, and what a reader does on their sites."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Site:
    """A site that a generator has built."""

    # The generator, and where its output is.
    name: str
    output: str
    # A text of its page for 404.
    not_found: str
    # Where its search is; what to click before; its field; a result.
    search: str
    button: str | None
    field: str
    result: str
    # Where the names of assets have a hash of the content.
    hashed: tuple
    # Whether it loads fonts of its own.
    has_fonts: bool = True

    def version(self, sites):
        """Returns the version that package.json pins, or requirements.txt."""
        package = sites / self.output.split("/")[0] / "package.json"
        if package.exists():
            dependencies = json.loads(package.read_text())["dependencies"]
            return next(version for name, version in dependencies.items() if name in ("vitepress", "astro", "@docusaurus/core"))
        requirements = (Path(__file__).parent / "requirements.txt").read_text()
        return next(line.split("==")[1] for line in requirements.splitlines() if line.startswith("mkdocs-material=="))


SITES = [
    Site("VitePress", "vitepress/docs/.vitepress/dist", "PAGE NOT FOUND", "/", "button.DocSearch", "input.search-input", "a.result",
         ("/assets/",)),
    Site("Astro", "astro/dist", "No otter here", "/", None, "input.pagefind-ui__search-input", ".pagefind-ui__result-link", ("/_astro/",)),
    Site("Docusaurus", "docusaurus/build", "Page Not Found", "/docs/", None, "input.navbar__search-input", "[class*=suggestion_]",
         ("/assets/",)),
    Site("MkDocs Material", "mkdocs/site", "404 - Not found", "/", None, "input.md-search__input", "a.md-search-result__link",
         ("/assets/stylesheets/", "/assets/javascripts/"), has_fonts=False),
]
