"""Chromium with a certification authority: a page with its files, and the security state that a user sees."""

import subprocess
import sys
import time
from pathlib import Path

from authority import NAME

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from chromium import Chromium  # noqa: E402


class Browser(Chromium):
    """Chromium with a home of its own in `directory`, which trusts `root` if there is one."""

    def __init__(self, directory, root, port, *options):
        store = directory / ".pki" / "nssdb"
        store.mkdir(parents=True)
        certutil = ["certutil", "-d", f"sql:{store}"]
        subprocess.run([*certutil, "-N", "--empty-password"], check=True)
        if root:
            subprocess.run([*certutil, "-A", "-n", "root", "-t", "C,,", "-i", root], check=True)
        super().__init__(directory, f"--host-resolver-rules=MAP {NAME} 127.0.0.1:{port}", *options)

    def visit(self):
        """Loads the page. Returns the error if there is one, the events, and the text of its element `result`."""
        deadline = self.deadline
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Security", "Log", "Network", "Page", "Runtime"):
            self.call(f"{domain}.enable", session)
        self.events.clear()
        error = self.call("Page.navigate", session, url=f"https://{NAME}/").get("errorText")
        if error:
            return error, self.events, None
        expression = "document.getElementById('result')?.textContent"
        while True:
            result = self.call("Runtime.evaluate", session, expression=expression)["result"]
            has_icon = any("image.png" in event["params"].get("response", {}).get("url", "") for event in self.events)
            is_secure = any(event["method"] == "Security.visibleSecurityStateChanged" and
                            event["params"]["visibleSecurityState"]["securityState"] == "secure" for event in self.events)
            if "value" in result and has_icon and is_secure:
                return None, self.events, result["value"]
            if time.monotonic() > deadline:
                return None, self.events, result.get("value")
            time.sleep(0.05)
