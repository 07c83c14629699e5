"""A headless Chromium that has no network but this machine's own, driven through its DevTools protocol over a pipe.

Nothing has to be installed but the browser itself: `CHROMIUM`, or a chromium or Chrome on the path.
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",  # a camera that shows a moving figure
    "--remote-debugging-pipe",
)  # fmt: skip
NO_GPU = ("--disable-gpu",)
NOWHERE = "127.0.0.1:1"
"""A proxy that nothing listens at; requests to this machine itself need none."""

LAUNCH = """
import fcntl, os, sys
given = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for number, expected in zip(given, (3, 4)):
    os.dup2(number, expected)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Chromium reads its orders from file descriptor 3 and answers on 4."""

PHONE = 390
"""Width in CSS pixels up to which a page is shown as on a phone."""


class Browser:
    """A running Chromium with one page."""

    def __init__(self, program: str, profile: Path, flags: tuple[str, ...] = NO_GPU) -> None:
        hears, orders = os.pipe()
        answers, says = os.pipe()
        options = (*FLAGS, *flags, f"--user-data-dir={profile}", f"--proxy-server={NOWHERE}")
        command = [sys.executable, "-c", LAUNCH, str(hears), str(says), program, *options]
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(command, pass_fds=(hears, says), stdin=quiet, stdout=quiet, stderr=quiet)
        os.close(hears)
        os.close(says)
        self._orders, self._answers = os.fdopen(orders, "wb", 0), os.fdopen(answers, "rb")
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        self._session: dict[str, str] = {}
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Page.setLifecycleEventsEnabled", enabled=True)
        self.call("Target.setAutoAttach", autoAttach=True, waitForDebuggerOnStart=False, flatten=True)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One order and its answer; what happens meanwhile is kept in `events`."""
        number = next(self._numbers)
        order = {"id": number, "method": method, "params": parameters, **self._session}
        self._orders.write(json.dumps(order).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._heard(message)

    def open(self, url: str, width: int, scheme: str, medium: str = "screen") -> list[dict[str, Any]]:
        """Load a page at a width; what happened until it had loaded."""
        self.events.clear()
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width <= PHONE
        )
        self._until_loaded(self.call("Page.navigate", url=url)["loaderId"])
        return self.events

    def follow(self, script: str) -> None:
        """Run a script that makes the page open another, and wait until that has loaded."""
        self.events.clear()
        self.evaluate(script)
        self._until_loaded()

    def evaluate(self, script: str) -> Any:
        """The value of a script in the page."""
        done = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def wait(self, condition: str, seconds: float = 120) -> Any:
        """The value of a script in the page, as soon as it is one that counts as true."""
        end = time.monotonic() + seconds
        while not (value := self.evaluate(condition)):
            assert time.monotonic() < end, f"not within {seconds} s: {condition}"
            time.sleep(0.05)
        return value

    def choose(self, selector: str, files: list[Path]) -> None:
        """Pick files in an input of the page."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def requests(self, document: str = "") -> list[str]:
        """Addresses that were asked for since a page was opened, by workers and the service worker, too.

        Args:
            document: only what was asked for by documents whose address begins so: an earlier page may still be busy.
        """
        asked = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in asked if each.get("documentURL", "").startswith(document)]

    def end(self) -> None:
        self._orders.close()
        self._answers.close()
        self.process.kill()
        self.process.wait()

    def _heard(self, message: dict[str, Any]) -> None:
        """Keep an event; listen to what a worker asks for, too, as soon as it runs."""
        if message.get("method") == "Target.attachedToTarget":
            session = message["params"]["sessionId"]
            order = {"id": next(self._numbers), "method": "Network.enable", "params": {}, "sessionId": session}
            self._orders.write(json.dumps(order).encode() + b"\0")
        if "method" in message:
            self.events.append(message)

    def _until_loaded(self, loader: str | None = None) -> None:
        """Listen until a document has loaded: that of a navigation, or any."""
        while not any(
            event["method"] == "Page.lifecycleEvent"
            and event["params"]["name"] == "load"
            and loader in (None, event["params"]["loaderId"])
            for event in self.events
        ):
            self._heard(self._next())

    def _next(self) -> dict[str, Any]:
        message = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            if not byte:
                raise EOFError("the browser has ended")
            message += byte
        decoded: dict[str, Any] = json.loads(message)
        return decoded


def program() -> str | None:
    """The browser that there is."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def started(profile: Path, flags: tuple[str, ...] = NO_GPU) -> Iterator[Browser]:
    """A browser for the time of a fixture; without one the test is skipped."""
    if sys.platform == "win32":
        pytest.skip("the browser is driven over inherited file descriptors")
    path = program()
    if path is None:
        pytest.skip(f"no browser: set CHROMIUM, or put one of these on the path: {', '.join(NAMES)}")
    try:
        opened = Browser(path, profile, flags)
    except (OSError, EOFError) as problem:
        pytest.skip(f"{path} does not start: {problem}")
    yield opened
    opened.end()
