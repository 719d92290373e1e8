"""A server that a test starts: its process, its log, and its end."""

import os
import re
import signal
import subprocess
import time

TIMEOUT = 30.0


class ServerProcess:
    """A server whose log is the file `log`. Its environment says only which user may read the files."""

    def __init__(self, command, log, environment=None, descriptors=()):
        self.log = log
        if environment is None:
            environment = {"OTUS_USER": "root"} if os.geteuid() == 0 else {}
        with open(log, "wb") as file:
            self._process = subprocess.Popen(command, env={"PATH": os.environ["PATH"]} | environment, pass_fds=descriptors,
                                             stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def text(self):
        """What it has logged."""
        return self.log.read_text(errors="replace")

    def pid(self):
        return self._process.pid

    def wait_for(self, pattern):
        """Waits until a pattern is in the log. Returns its last group, or all of it. Otherwise the server is ended."""
        deadline = time.monotonic() + TIMEOUT
        while not (found := re.search(pattern, self.text())):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.close()
                raise RuntimeError(f"the server does not say {pattern!r}: {self.text()}")
            time.sleep(0.05)
        return found[found.re.groups]

    def reload(self):
        """Has it reload, and waits until that is done."""
        reloads = self.text().count("Reloaded; ")
        self._process.send_signal(signal.SIGHUP)
        self.wait_for("(?s)" + "Reloaded; .*" * (reloads + 1))

    def close(self):
        self._process.terminate()
        try:
            self._process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
