"""The server, and the site whose listings are judged."""

import os
import random

from server_process import ServerProcess

# Names that are long, or that are markup, or in another direction, and one of each kind of file.
NAMES = ["README.md", "file2.txt", "file10.txt", "File3.txt", "movie.mp4", "song.mp3", "photo.jpg", "archive.tar.gz", "paper.pdf",
         "unknown.bin", "<script>alert(1)", "\"quoted\" & 'more'", "Б.txt", "а.txt", "ملف.txt", "gpj.\u202eexe", "two  spaces.txt",
         "a long name with words that has to be on two or three lines of a telephone " * 2, "nobreak" * 30]
DIRECTORIES = ["v10", "v2", "Zebra", "src"]
COUNT = 10_000


class Server:
    """Two workers with listings of a site in `directory`."""

    def __init__(self, binary, directory):
        site = directory / "site"
        make(site)
        command = [binary, f"--root={site}", "--port=0", "--workers=2", "--listing"]
        self._process = ServerProcess(command, directory / "log")
        self.url = self._process.wait_for(r"Listening on (http://127\.0\.0\.1:\d+)/")
        self._process.wait_for("Ready; ")

    def close(self):
        self._process.close()


def make(site):
    """Files with sizes and times that differ, except of a few that are equal; no file has content on the disk."""
    chance = random.Random(1)
    some = site / "some" / "where"
    some.mkdir(parents=True)
    for name in DIRECTORIES:
        (some / name).mkdir()
    names = NAMES + [f"picture {number}.png" for number in range(30)]
    for number, name in enumerate(names):
        place(some / name, (number * 7919 % 5) * 10 ** (number % 8), 1_600_000_000 + number * 7919 % 11 * 1_000_000)
    (site / "empty").mkdir()
    (site / "short").mkdir()
    place(site / "short" / "one.txt", 1, 1_600_000_000)
    deep = site.joinpath(*[f"directory-{number}" for number in range(12)])
    deep.mkdir(parents=True)
    place(deep / "file", 1, 1_600_000_000)
    many = site / "many"
    many.mkdir()
    for number in range(COUNT):
        place(many / f"IMG_{number}.jpg", chance.randrange(1 << 24), 1_500_000_000 + chance.randrange(10 ** 8))
    (site / "outside").symlink_to("/etc")
    (site / "favicon.ico").write_bytes(b"")


def place(path, size, seconds):
    with open(path, "wb") as file:
        file.truncate(size)
    os.utime(path, (seconds, seconds))
