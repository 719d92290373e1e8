"""Chromium without a window, over its DevTools protocol."""

import base64
import json
import os
import select
import signal
import subprocess
import time

TIMEOUT = 60.0


class Chromium:
    """A browser with a home of its own in `directory`."""

    def __init__(self, directory, *options):
        self._number = 0
        self._buffer = b""
        self.events = []
        self.deadline = time.monotonic() + TIMEOUT
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        # Chromium reads commands from descriptor 3 and writes to 4.
        redirect = f'exec 3<&{theirs_in} 4>&{theirs_out}; exec "$0" "$@"'
        with open(directory / "chromium.txt", "wb") as output:
            self._process = subprocess.Popen(
                ["bash", "-c", redirect, "chromium", "--headless=new", "--remote-debugging-pipe", "--disable-gpu",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update", "--no-first-run",
                 "--hide-scrollbars", f"--user-data-dir={directory / 'profile'}",
                 *(["--no-sandbox"] if os.geteuid() == 0 else []), *options, "about:blank"],
                env={**os.environ, "HOME": str(directory)}, pass_fds=(theirs_in, theirs_out), start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        os.close(theirs_in)
        os.close(theirs_out)

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

    def is_pending(self, seconds):
        """Returns whether a message is there, or comes within that time."""
        return b"\0" in self._buffer or bool(select.select([self._in], [], [], seconds)[0])

    def message(self):
        """Returns the next message, before the deadline."""
        while b"\0" not in self._buffer:
            remaining = max(0, self.deadline - time.monotonic())
            if not select.select([self._in], [], [], remaining)[0]:
                raise RuntimeError("Chromium did not respond in time")
            part = os.read(self._in, 1 << 16)
            if not part:
                raise RuntimeError("Chromium ended")
            self._buffer += part
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, session=None, **parameters):
        """Returns the result. Events that arrive before are appended to `events`."""
        self.deadline = time.monotonic() + TIMEOUT
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        command |= {"sessionId": session} if session else {}
        os.write(self._out, json.dumps(command).encode() + b"\0")
        while True:
            message = self.message()
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)


class Page:
    """A tab, and the events of the page in it since it was opened: those of some domains, if not of all. `profile` is one of the
    browser's contexts, with a cache and connections of its own."""

    def __init__(self, browser, domains=("Page", "Runtime", "Log", "Network", "Accessibility"), profile=None):
        self._browser = browser
        where = {"browserContextId": profile} if profile else {}
        target = browser.call("Target.createTarget", url="about:blank", **where)["targetId"]
        self._session = browser.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in domains:
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        return self._browser.call(method, self._session, **parameters)

    def set_view(self, width, height, is_dark=False):
        """A window of that size in CSS pixels: a telephone's, if it is narrow."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, url):
        """Opens a page, and returns when it is loaded."""
        self._browser.events.clear()
        error = self.call("Page.navigate", url=url).get("errorText")
        if error:
            raise RuntimeError(f"{url}: {error}")
        self.wait_for_event("Page.loadEventFired")

    def wait_for_event(self, method):
        while not any(event["method"] == method for event in self.events()):
            self._browser.events.append(self._browser.message())

    def quiet(self, seconds):
        """Waits until no event has come for that time."""
        while self._browser.is_pending(seconds):
            self._browser.events.append(self._browser.message())

    def events(self):
        """The events of this page since it was opened."""
        return [event for event in self._browser.events if event.get("sessionId") == self._session]

    def parameters(self, method):
        """The parameters of its events of one kind."""
        return [event["params"] for event in self.events() if event["method"] == method]

    def requests(self):
        """The URLs that it has requested."""
        return [sent["request"]["url"] for sent in self.parameters("Network.requestWillBeSent")]

    def complaints(self):
        """What its console shows as a warning or an error."""
        entries = [entry["entry"] for entry in self.parameters("Log.entryAdded")]
        texts = [f"{entry['text']} {entry.get('url', '')}" for entry in entries if entry["level"] in ("warning", "error")]
        calls = [call for call in self.parameters("Runtime.consoleAPICalled") if call["type"] in ("warning", "error", "assert")]
        texts += [" ".join(str(argument.get("value", argument.get("description"))) for argument in call["args"]) for call in calls]
        texts += [thrown["exceptionDetails"].get("exception", {}).get("description", thrown["exceptionDetails"]["text"])
                  for thrown in self.parameters("Runtime.exceptionThrown")]
        return texts

    def evaluate(self, expression):
        """Returns the value of a JavaScript expression, or that of its promise."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            details = result["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description", details["text"]))
        return result["result"].get("value")

    def wait_until(self, expression, seconds=TIMEOUT):
        """Waits until a JavaScript expression is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(f"!!({expression})"):
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited in vain for {expression}")
            time.sleep(0.02)

    def press(self, key, text=None):
        """Presses and releases a key."""
        codes = {"Tab": 9, "Enter": 13, "Backspace": 8}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        text = {"Enter": "\r"}.get(key, text)
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        for character in text:
            self.press(character, character)

    def click(self, selector):
        """Clicks on the middle of an element, also where scripts are disabled."""
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def click_and_load(self, selector):
        """Clicks on a link, and returns when its page is loaded."""
        self._browser.events.clear()
        self.click(selector)
        self.wait_for_event("Page.loadEventFired")

    def middle(self, selector):
        """Where an element is."""
        root = self.call("DOM.getDocument", depth=0)["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        if not node:
            raise RuntimeError(f"there is no {selector}")
        quad = self.call("DOM.getContentQuads", nodeId=node)["quads"][0]
        return sum(quad[0::2]) / 4, sum(quad[1::2]) / 4

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
