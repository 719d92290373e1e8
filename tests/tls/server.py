"""The server, its site, and the access records that it has written."""

import json
import os
import random
import re
import subprocess
import time
import zlib

TIMEOUT = 30.0

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
        self._log = directory / "log"
        environment = {"PATH": os.environ["PATH"]} | ({"OTUS_USER": "root"} if os.geteuid() == 0 else {})
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [binary, f"--root={site}", "--port=0", "--https-port=0", "--workers=2", "--access-log=stderr",
                 "--hsts=31536000", f"--certificates={certificates}"],
                env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait("Ready; ")
            self.port = int(re.search(r"Listening on https://127\.0\.0\.1:(\d+)/", self._log.read_text())[1])
        except BaseException:
            self.close()
            raise

    def _wait(self, text):
        deadline = time.monotonic() + TIMEOUT
        while text not in self._log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self._log.read_text(errors='replace')}")
            time.sleep(0.05)

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _lines(self):
        lines = self._log.read_text(errors="replace").split("\n")
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
