"""The server, its site, and the access records that it has written."""

import json
import random
import subprocess
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from server_process import TIMEOUT, ServerProcess  # noqa: E402

# A text of several TLS records.
TEXT = "".join(f"{number} {random.Random(number).random()}\n" for number in range(4000))

PAGE = """<!DOCTYPE html>
<html lang="en">
<head><title>Page</title><link rel="icon" href="image.png"><link rel="stylesheet" href="style.css"></head>
<body><p id="styled">Text</p><img id="image" src="image.png" alt=""><script src="script.js"></script></body>
</html>
"""

# What a browser has done with the other files, in an element of the page.
SCRIPT = """addEventListener("load", () => {
    const result = document.createElement("pre");
    result.id = "result";
    result.textContent = [getComputedStyle(document.getElementById("styled")).color,
        document.getElementById("image").naturalWidth, isSecureContext].join(" ");
    document.body.append(result);
});
"""
RESULT = "rgb(1, 2, 3) 7 true"


def png(width):
    """A black picture, one pixel high."""
    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")
    header = width.to_bytes(4, "big") + (1).to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress(bytes(1 + width))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


FILES = {
    "index.html": PAGE.encode(),
    "style.css": b"#styled { color: rgb(1, 2, 3) }\n",
    "script.js": SCRIPT.encode(),
    "image.png": png(7),
    "text.txt": TEXT.encode(),
}


class Server:
    """Two workers with a site in `directory` and `certificates`."""

    def __init__(self, binary, directory, certificates):
        site = directory / "site"
        site.mkdir()
        for name, content in FILES.items():
            (site / name).write_bytes(content)
        # testssl.sh tells of BREACH only where there is compression.
        subprocess.run([binary, "precompress", site], check=True, stdout=subprocess.DEVNULL)
        self._process = ServerProcess(
            [binary, f"--root={site}", "--port=0", "--https-port=0", "--workers=2", "--access-log=stderr", "--hsts=31536000",
             f"--certificates={certificates}"], directory / "log")
        self._process.wait_for("Ready; ")
        self.port = int(self._process.wait_for(r"Listening on https://127\.0\.0\.1:(\d+)/"))

    def close(self):
        self._process.close()

    def _lines(self):
        lines = self._process.text().split("\n")
        return [json.loads(line) for line in lines[:-1]]

    def records(self, user_agent, count):
        """The access records of a client, `count` at least."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            found = [line for line in self._lines() if line.get("http_user_agent") == user_agent]
            if len(found) >= count:
                return found
            if time.monotonic() > deadline:
                raise RuntimeError(f"of {count} access records for {user_agent} there are {len(found)}")
            time.sleep(0.05)

    def complaints(self):
        """What is more than information, and the number of lines."""
        lines = self._lines()
        return [line["message"] for line in lines if line["level"] not in ("INFO", "DEBUG") and "message" in line], len(lines)
