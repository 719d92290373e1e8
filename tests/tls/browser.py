"""Chromium without a window, over its DevTools protocol: a page with its files, and the security state that a user sees."""

import json
import os
import select
import signal
import subprocess
import time

from authority import NAME

TIMEOUT = 60.0


class Browser:
    """Chromium with a home of its own in `directory`, which trusts `root` if there is one."""

    def __init__(self, directory, root, port, *options):
        self._number = 0
        self._buffer = b""
        store = directory / ".pki" / "nssdb"
        store.mkdir(parents=True)
        certutil = ["certutil", "-d", f"sql:{store}"]
        subprocess.run([*certutil, "-N", "--empty-password"], check=True)
        if root:
            subprocess.run([*certutil, "-A", "-n", "root", "-t", "C,,", "-i", root], check=True)
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        # Chromium reads commands from descriptor 3 and writes to 4.
        redirect = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$0" "$@"'
        with open(directory / "chromium.txt", "wb") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", redirect, "chromium", "--headless=new", "--remote-debugging-pipe", "--disable-gpu",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--no-first-run",
                 f"--user-data-dir={directory / 'profile'}", f"--host-resolver-rules=MAP {NAME} 127.0.0.1:{port}",
                 *(["--no-sandbox"] if os.geteuid() == 0 else []), *options, "about:blank"],
                env={**os.environ, "HOME": str(directory)}, pass_fds=(theirs_in, theirs_out), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        os.close(theirs_in)
        os.close(theirs_out)
        self.deadline = time.monotonic() + TIMEOUT

    def __enter__(self):
        return self

    def __exit__(self, *error):
        os.close(self._out)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            pass
        try:
            # Its own processes, if there are any left.
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        os.close(self._in)

    def messages(self):
        """Returns messages one after the other, until the deadline."""
        while True:
            while b"\0" not in self._buffer:
                remaining = max(0, self.deadline - time.monotonic())
                if not select.select([self._in], [], [], remaining)[0]:
                    raise RuntimeError("Chromium did not end in time")
                part = os.read(self._in, 1 << 16)
                if not part:
                    raise RuntimeError("Chromium ended")
                self._buffer += part
            message, self._buffer = self._buffer.split(b"\0", 1)
            yield json.loads(message)

    def call(self, method, session=None, events=None, **parameters):
        """Returns the result. Events that arrive before are appended to `events`."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        command |= {"sessionId": session} if session else {}
        os.write(self._out, json.dumps(command).encode() + b"\0")
        for message in self.messages():
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            if events is not None:
                events.append(message)

    def visit(self):
        """Loads the page. Returns the error if there is one, the events, and the text of its element `result`."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        events = []
        for domain in ("Security", "Log", "Network", "Page", "Runtime"):
            self.call(f"{domain}.enable", session)
        error = self.call("Page.navigate", session, events, url=f"https://{NAME}/").get("errorText")
        if error:
            return error, events, None
        expression = "document.getElementById('result')?.textContent"
        while True:
            result = self.call("Runtime.evaluate", session, events, expression=expression)["result"]
            has_icon = any("image.png" in event["params"].get("response", {}).get("url", "") for event in events)
            is_secure = any(event["method"] == "Security.visibleSecurityStateChanged" and
                            event["params"]["visibleSecurityState"]["securityState"] == "secure" for event in events)
            if "value" in result and has_icon and is_secure:
                return None, events, result["value"]
            if time.monotonic() > self.deadline:
                return None, events, result.get("value")
            time.sleep(0.05)
