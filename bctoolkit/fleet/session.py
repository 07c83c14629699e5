"""One machine: from the first connection to the last trace of us there.

What it measures runs there detached; a connection that is lost is opened again, with longer and longer pauses, and the
journal goes on where it ended. So nothing is measured twice, and whatever happens here the temporary folder there is
removed, unless the machine cannot be reached any more: then it is said what is left.
"""

import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from bctoolkit.bench.checkpoint import MOST_PART
from bctoolkit.bench.documents.settings import Machine
from bctoolkit.bundle import Bundle
from bctoolkit.errors import DeviceError
from bctoolkit.files import atomic_file, scratch_folder
from bctoolkit.fleet.address import Address
from bctoolkit.fleet.agent import Died, End, Event, Line, Part, Step
from bctoolkit.fleet.connection import Cancelled, Connection, ConnectionLost
from bctoolkit.fleet.environment import Facts, Wheels, modules_for, probe, require_usable
from bctoolkit.fleet.programs import REMOVE, UNPACK
from bctoolkit.fleet.transfer import CACHE, CODE, ENVIRONMENT, TEMPORARY, Job, pack_code, pack_job
from bctoolkit.progress import Progress

__all__ = ["PATIENCE", "Device", "Plan", "measure_on"]

PATIENCE = 600.0
"""Seconds for which a machine that has gone is called again."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between two calls, and the last one from then on."""
LASTING = 30.0
"""Seconds after which a connection counts as one that had stood."""
REMOVALS = 4
PART_NAME = re.compile(r"(?!request)[A-Za-z0-9_][\w.+@-]{0,250}\.(json|npz)")
"""A file of the journal, and nothing that could lie elsewhere."""


@dataclass(frozen=True)
class Plan:
    """What all machines are to do."""

    bundles: list[Bundle]
    engines: tuple[str, ...]
    """Beside each other; none: the first of each format."""
    corruptions: bool
    images: Path
    """The folder of `transfer.stored_images`."""
    job_for: Callable[[Address, Machine, str], Job]
    """Machine and temporary folder → the job there; also keeps that it has begun."""
    wheels: Wheels
    config: Path | None = None
    """For ssh, instead of the user's own."""
    python: str = "python3"
    patience: float = PATIENCE
    asking: threading.Lock = field(default_factory=threading.Lock)
    """One machine's questions after another's."""


@dataclass(frozen=True)
class Device:
    """One of the machines."""

    address: Address
    journal: Path
    """The checkpoint here, which what is measured there is fetched into."""
    progress: Progress
    cancel: threading.Event
    measuring: threading.Event = field(default_factory=threading.Event)
    """Set once the machine measures, and nothing more is prepared here."""


def measure_on(device: Device, plan: Plan) -> None:
    """Measure on a machine until the journal here holds all of it.

    Args:
        device: the machine.
        plan: what to measure.

    Raises:
        DeviceError: the machine cannot be used, or has gone; the message says what is left there.
    """
    with scratch_folder() as private:
        connection = Connection(device.address, private, plan.config, device.cancel)
        with plan.asking:
            connection.open(may_ask=True)
        try:
            modules = modules_for(plan.bundles, plan.engines, plan.corruptions)
            device.progress.step("preparing", 0, 4, "looking")
            facts = probe(connection, device.address.python or plan.python, list(modules))
            remote = RemoteRun(device, plan, connection, facts)
            try:
                require_usable(facts, device.address)
                remote.prepare(private, modules)
                remote.begin_and_follow()
            except DeviceError as problem:
                left = remote.remove()
                raise (DeviceError(f"{problem}; {left}") if left else problem) from None
            except BaseException:
                _tell(device, remote.remove())
                raise
            _tell(device, remote.remove())
        finally:
            connection.close()


def _tell(device: Device, left: str) -> None:
    if left:
        device.progress.say(f"{device.address}: {left}")


class RemoteRun:
    """A benchmark on a machine on which there is a temporary folder."""

    def __init__(self, device: Device, plan: Plan, connection: Connection, facts: Facts) -> None:
        self._device, self._plan, self._connection, self._facts = device, plan, connection, facts
        self._python = facts.executable
        self._seen, self._pieces = 0, dict[str, bytearray]()

    def prepare(self, private: Path, modules: dict[str, str]) -> None:
        """Send what is needed, and have an interpreter there that imports it.

        Args:
            private: a folder here for archives.
            modules: module → requirement.
        """
        show, folder = self._device.progress.step, self._facts.folder
        site = self._environment(modules)
        show("preparing", 2, 4, "sending code")
        self._send(pack_code(private / "code.tar.gz", site))
        machine = self._decoded(self._connection.run(self._agent("machine")), Machine)
        show("preparing", 3, 4, "sending bundles")
        job = self._plan.job_for(self._device.address, machine, folder)
        self._send(pack_job(private / "job.tar.gz", self._plan.bundles, job, self._plan.images, self._device.journal))
        show("preparing", 4, 4)

    def begin_and_follow(self) -> None:
        """Start the benchmark, and take what it tells until it ends, over as many connections as that needs.

        Raises:
            DeviceError: it ended with an error, or the machine has gone for good.
        """
        lost_since: float | None = None
        pauses = iter(PAUSES)
        while True:
            seen, connected = self._seen, time.monotonic()
            try:
                if lost_since is not None:
                    self._connection.open(may_ask=False)
                self._connection.run(self._agent("start", self._facts.folder))
                self._device.measuring.set()
                for line in self._connection.lines(self._agent("follow", self._facts.folder, str(self._seen))):
                    if self._take(line):
                        return
                raise ConnectionLost(f"{self._device.address}: the connection has ended")
            except ConnectionLost as problem:
                now = time.monotonic()
                if lost_since is None or self._seen > seen or now - connected > LASTING:
                    lost_since, pauses = now, iter(PAUSES)
                    self._device.progress.say(f"{problem}; calling again")
                if now - lost_since > self._plan.patience:
                    raise DeviceError(f"{problem}; called for {self._plan.patience:.0f} s in vain") from None
            if self._device.cancel.wait(next(pauses, PAUSES[-1])):
                raise Cancelled

    def remove(self) -> str:
        """Stop what runs there and remove the temporary folder; where that fails, what is left, as a sentence."""
        self._connection.go_on_when_cancelled()
        folder, address = self._facts.folder, self._device.address
        try:
            for attempt in range(REMOVALS):
                with suppress(ConnectionLost):
                    if attempt:
                        self._connection.open(may_ask=False)
                    self._connection.run([self._facts.executable, "-c", REMOVE, folder])
                    return ""
        except DeviceError as problem:
            return f"left there: {folder} ({problem})"
        return (
            f"left there: {folder}, and what runs in it; end and remove it with: ssh {address.host} "
            f"'kill -- -$(cat {folder}/lock); rm -r {folder}'"
        )

    def _environment(self, modules: dict[str, str]) -> tuple[str, Path] | None:
        """Make a virtual environment where the interpreter lacks a module; where packages go, and their folder here."""
        facts, show = self._facts, self._device.progress.step
        missing = [module for module in modules if module not in facts.installed]
        if not missing:
            return None
        show("preparing", 1, 4, f"gathering packages: {', '.join(missing)} not there")
        try:
            packages = self._plan.wheels.gather(facts, sorted(modules.values()))
        except DeviceError as problem:
            raise DeviceError(f"{self._device.address}: {problem}") from None
        environment = f"{facts.folder}/{ENVIRONMENT}"
        self._connection.run([facts.executable, "-m", "venv", "--without-pip", environment])
        self._python = f"{environment}/bin/python"
        major, minor = facts.version
        return f"{ENVIRONMENT}/lib/python{major}.{minor}/site-packages", packages

    def _agent(self, *words: str) -> list[str]:
        folder = self._facts.folder
        return [
            "env",
            f"PYTHONPATH={folder}/{CODE}",
            f"TMPDIR={folder}/{TEMPORARY}",
            f"XDG_CACHE_HOME={folder}/{CACHE}",
            f"PYTHONPYCACHEPREFIX={folder}/{CACHE}/pyc",
            *(self._python, "-P", "-m", "bctoolkit.fleet.agent", *words),
        ]

    def _send(self, archive: Path) -> None:
        with archive.open("rb") as file:
            self._connection.run([self._facts.executable, "-c", UNPACK, self._facts.folder], stdin=file)
        archive.unlink()

    def _take(self, line: bytes) -> bool:
        """Take one event; whether it is the last.

        Raises:
            DeviceError: the benchmark there has failed, or this is no event of ours.
        """
        event: Event = self._decoded(line, Event)
        match event:
            case Part():
                self._keep(event)
            case Step():
                self._device.progress.step(event.label, event.done, event.total, event.note)
            case Line():
                self._device.progress.say(event.text)
            case Died():
                raise DeviceError(
                    f"{self._device.address}: the benchmark there has died ({event.last or 'no message'})"
                )
            case End():
                if event.error:
                    raise DeviceError(f"{self._device.address}: {event.error}")
        self._seen += 1
        return isinstance(event, End)

    def _keep(self, part: Part) -> None:
        """Put the pieces of a part together, and keep it when it is whole."""
        if not PART_NAME.fullmatch(part.name):
            raise DeviceError(f"{self._device.address}: sent a part called {part.name[:100]!r}, which is none of ours")
        content = self._pieces.setdefault(part.name, bytearray())
        content += part.content
        if len(content) > MOST_PART:
            raise DeviceError(f"{self._device.address}: sent a part of more than {MOST_PART:,} bytes")
        if part.last:
            atomic_file(self._device.journal / part.name, bytes(self._pieces.pop(part.name)))

    def _decoded(self, content: bytes, kind: Any) -> Any:
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as problem:
            raise DeviceError(f"{self._device.address}: sent what is none of ours ({problem})") from None
