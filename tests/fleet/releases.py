"""Two releases of a site: pages, and the assets that they name by a hash of their content; and a large file that stays."""

import hashlib
import io
import random
import subprocess
import tarfile

PAGES, ASSETS_OF_A_PAGE, LARGE = 20, 3, 6 << 20

# Of assets; the server makes the ETag of those of over 32 KiB in the background.
SIZES = [500, 3_000, 20_000, 60_000]


class Release:
    """Files by path. Two releases with another number have other pages and other assets."""

    def __init__(self, number):
        source = random.Random(number)
        self.pages, self.assets = {}, {}
        for page in range(PAGES):
            names = []
            for asset, extension in enumerate(["css", "js", "bin"][:ASSETS_OF_A_PAGE]):
                content = source.randbytes(source.choice(SIZES))
                names.append(f"assets/{page}-{asset}.{hashlib.sha256(content).hexdigest()[:16]}.{extension}")
                self.assets[names[-1]] = content
            links = "".join(f'<a href="/{name}"></a>\n' for name in names)
            text = f"<!DOCTYPE html>\n<title>{page} of release {number}</title>\n{links}{'text ' * source.randint(10, 3_000)}\n"
            self.pages[f"{page}.html"] = text.encode()
        self.pages["index.html"] = self.pages["0.html"]

    def files(self):
        return self.pages | self.assets | {"large.bin": large()}


def large():
    """The same in each release."""
    return random.Random(0).randbytes(LARGE)


def archive(files):
    """A tar archive, in which all files are old enough to be kept in memory at once."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path, content in sorted(files.items()):
            member = tarfile.TarInfo(path)
            member.size, member.mtime, member.mode = len(content), 1_700_000_000, 0o644
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


class Contents:
    """What a path may have, and which bytes an ETag stands for."""

    def __init__(self, *releases):
        self.of_path, self.of_tag = {}, {}
        for release in releases:
            for path, content in release.files().items():
                self.of_path.setdefault(path, set()).add(content)
        for content in set().union(*self.of_path.values()):
            digest = subprocess.run(["b3sum", "--length", "16"], input=content, check=True, capture_output=True).stdout.split()[0].decode()
            self.of_tag[f'"{digest}"'] = content

    def fault(self, path, tag, content):
        """Why this is no answer to a request for the path, or nothing."""
        if content not in self.of_path[path]:
            return f"{len(content)} bytes that no release has"
        # The server reads a file of over 32 KiB in the background; until then, its tag is weak and no digest.
        if tag is None or not tag.startswith("W/") and self.of_tag.get(tag) != content:
            return f"the ETag {tag} of another content"
        return None
