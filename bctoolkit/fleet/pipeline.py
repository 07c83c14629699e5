"""Bundles on several machines at once: the journal of each is fetched here, and judged here."""

import threading
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from bctoolkit.bench.checkpoint import REQUEST, Checkpoint, Request, refuse_unfinished
from bctoolkit.bench.configurations import BenchRun
from bctoolkit.bench.documents.fleet import DEVICES, DeviceFailure, DeviceReport, Fleet
from bctoolkit.bench.documents.report import REPORT
from bctoolkit.bench.documents.settings import Machine, Settings
from bctoolkit.bench.measuring import ImageSets, load_images, measure
from bctoolkit.bench.pipeline import open_bundles, request_for, write_report
from bctoolkit.bench.report import fleet as fleet_report
from bctoolkit.bench.worker.machine import fingerprint
from bctoolkit.bundle import Bundle
from bctoolkit.documents import Document, read_json, to_json
from bctoolkit.errors import BctkError, DeviceError, RecipeError
from bctoolkit.files import atomic_file, atomic_folder, in_use, resumable_folder, scratch_folder, unfinished
from bctoolkit.fleet.address import Address, parse_all
from bctoolkit.fleet.connection import Cancelled
from bctoolkit.fleet.environment import Wheels
from bctoolkit.fleet.progress import Board
from bctoolkit.fleet.session import PATIENCE, Device, Plan, measure_on
from bctoolkit.fleet.transfer import Job, remote_bundle, stored_images
from bctoolkit.progress import Progress
from bctoolkit.recipes import Budget
from bctoolkit.signing import TrustedKey
from bctoolkit.system import utc_now

__all__ = ["FLEET", "FleetRequest", "bench", "resume"]

FLEET, COMPLETE = "fleet.json", "complete"
"""In the folder of unfinished work: what was asked for, and in a machine's own that it has measured all."""
LOOK = 0.5
"""Seconds; a wait without end would take no Ctrl-C on some systems."""
MOST_THREADS = 4
"""Of the engine on a machine, where no number is given."""


class FleetRequest(Document, frozen=True, kw_only=True):
    """What the benchmark of several machines was begun with."""

    bundles: tuple[str, ...]
    on: tuple[str, ...]
    settings: Settings
    threads_given: bool
    """Else each machine has its own number."""
    data: str | None
    group: str = ""
    """Pattern of what labelled images belong to, see `data.groups.grouped`."""
    foreign: str | None
    budget: Budget | None
    baseline: str | None
    """The name of one of the bundles."""
    python: str
    ssh_config: str | None
    created: str


def bench(
    paths: list[Path],
    settings: Settings,
    target: Path,
    progress: Progress,
    on: tuple[str, ...],
    *,
    threads_given: bool = False,
    data: str | None = None,
    group: str = "",
    foreign: str | None = None,
    budget: Budget | None = None,
    baseline: str | None = None,
    trusted_keys: Sequence[TrustedKey] | None = None,
    python: str = "python3",
    ssh_config: Path | None = None,
    patience: float = PATIENCE,
) -> Fleet:
    """Measure bundles on several machines, and write one report folder.

    Args:
        paths: bundle folders.
        settings: as `bctoolkit.bench.pipeline.bench` takes them, and so are most others.
        target: the report's folder.
        progress: notified of each step.
        on: addresses, as `bctoolkit.fleet.address.parse` takes them.
        threads_given: whether the number of threads in the settings is to hold on each machine.
        data: labelled images.
        group: pattern of what they belong to.
        foreign: pictures of which none belongs to a class.
        budget: limits to judge each bundle by, on each machine.
        baseline: what figures are relative to, on each machine.
        trusted_keys: one of which must have signed each bundle.
        python: interpreter on machines whose address names none.
        ssh_config: for ssh, instead of the user's own.
        patience: seconds for which a machine that has gone is called again.

    Raises:
        DeviceError: nothing could be measured on any machine; one that fails is named in the report and stops no other.
        BctkError: as `bctoolkit.bench.pipeline.bench` does.
    """
    parse_all(on)
    opened, baseline = open_bundles(
        paths, settings, data=data, foreign=foreign, baseline=baseline, trusted_keys=trusted_keys
    )
    state = unfinished(target)
    refuse_unfinished(state)
    request = FleetRequest(
        bundles=tuple(str(bundle.path.absolute()) for bundle in opened),
        on=on,
        settings=settings,
        threads_given=threads_given,
        data=data,
        group=group,
        foreign=foreign,
        budget=budget,
        baseline=baseline,
        python=python,
        ssh_config=None if ssh_config is None else str(ssh_config.absolute()),
        created=utc_now(),
    )
    begun = resumable_folder(state, {FLEET: to_json(request)}, lambda: any(state.glob("*/[!.]*-*")))
    return FleetRun(request, opened, state, progress, patience).measure(begun, target)


def resume(target: Path, progress: Progress, patience: float = PATIENCE) -> Fleet:
    """Go on with a benchmark of several machines that was interrupted, or in which one has failed.

    Raises:
        RecipeError: there is none, its bundles have changed, or a machine is another than before.
        BctkError: as `bench` does.
    """
    state = unfinished(target)
    request = read_json(state / FLEET, FleetRequest, RecipeError, f"remove {state} and measure anew")
    opened, _ = open_bundles(
        [Path(path) for path in request.bundles], request.settings, data=request.data, foreign=request.foreign
    )
    return FleetRun(request, opened, state, progress, patience).measure(in_use(state), target)


@dataclass(frozen=True)
class Work:
    """How far the thread of a machine is.

    Events, because until Python 3.12 a `Thread.join` that Ctrl-C interrupts takes the thread for ended.
    """

    measuring: threading.Event = field(default_factory=threading.Event)
    done: threading.Event = field(default_factory=threading.Event)


def _wait_for(events: Iterable[threading.Event]) -> None:
    for event in events:
        while not event.wait(LOOK):
            pass


class FleetRun:
    """A benchmark of several machines under way."""

    def __init__(
        self, request: FleetRequest, bundles: list[Bundle], state: Path, progress: Progress, patience: float
    ) -> None:
        self._request, self._bundles, self._state, self._patience = request, bundles, state, patience
        self._addresses = parse_all(request.on)
        self._board = Board(progress, [address.name for address in self._addresses])
        self._problems: dict[str, BctkError] = {}
        self._cancel = threading.Event()

    def measure(self, begun: AbstractContextManager[object], target: Path) -> Fleet:
        """Measure on all machines, and write the report of those that have."""
        request = self._request
        with atomic_folder(target, REPORT, fleet_report.OTHERS) as folder, begun:
            lane = self._board.lane("")
            images = load_images(self._bundles, request.data, request.group, request.foreign, lane)
            with scratch_folder() as scratch:
                self._measure_all(images, scratch)
            self._board.close()
            devices = [each for address in self._addresses if (each := self._report(address, images, folder))]
            if not devices:
                raise DeviceError("; ".join(map(str, self._problems.values())))
            failures = [
                DeviceFailure(address.name, str(address), str(self._problems[address.name]))
                for address in self._addresses
                if address.name in self._problems
            ]
            fleet = Fleet(created=request.created, devices=tuple(devices), unmeasured=tuple(failures))
            fleet_report.write(folder, fleet)
        if not self._problems:
            Checkpoint(self._state).remove()
        return fleet

    def _measure_all(self, images: ImageSets, scratch: Path) -> None:
        """Others' machines in threads; this one, if it is among them, when those measure and need nothing from it."""
        plan = self._plan(images, scratch)
        todo = [address for address in self._addresses if not (self._folder(address) / COMPLETE).exists()]
        others = [Work() for address in todo if not address.is_local]
        for address, work in zip([each for each in todo if not each.is_local], others, strict=True):
            threading.Thread(target=self._measure_there, args=(address, plan, work), daemon=True).start()
        try:
            _wait_for(work.measuring for work in others)
            for address in todo:
                if address.is_local:
                    self._measure_here(address, images)
            _wait_for(work.done for work in others)
        except BaseException:
            self._cancel.set()
            _wait_for(work.done for work in others)
            raise

    def _plan(self, images: ImageSets, scratch: Path) -> Plan:
        request = self._request
        (scratch / "images").mkdir()
        labelled, foreign = stored_images(self._bundles, images, scratch / "images")

        def job_for(address: Address, machine: Machine, folder: str) -> Job:
            own = self._begin(address, machine)
            paths = tuple(f"{folder}/{remote_bundle(number, each)}" for number, each in enumerate(self._bundles))
            there = msgspec.structs.replace(own, bundles=paths, data=None, foreign=None, budget=None)
            return Job(there, labelled, foreign)

        return Plan(
            bundles=self._bundles,
            engines=request.settings.engines,
            corruptions=request.settings.corrupted is not None,
            images=scratch / "images",
            job_for=job_for,
            wheels=Wheels(scratch),
            config=None if request.ssh_config is None else Path(request.ssh_config),
            python=request.python,
            patience=self._patience,
        )

    def _measure_there(self, address: Address, plan: Plan, work: "Work") -> None:
        """One machine, in a thread of its own; what becomes of it is kept."""
        device = Device(address, self._folder(address), self._board.lane(address.name), self._cancel, work.measuring)
        try:
            measure_on(device, plan)
            self._complete(address)
        except BctkError as problem:
            self._fail(address, problem)
        except OSError as problem:
            self._fail(address, DeviceError(f"{address}: {problem.filename or ''} {problem.strerror or problem}"))
        except Cancelled:
            pass
        except Exception as problem:
            self._fail(address, DeviceError(f"{address}: unexpected {type(problem).__name__}: {problem}"))
        finally:
            work.measuring.set()
            work.done.set()

    def _measure_here(self, address: Address, images: ImageSets) -> None:
        try:
            request = self._begin(address, fingerprint())
            checkpoint = Checkpoint(self._folder(address))
            measure(BenchRun(self._bundles, request, checkpoint, self._board.lane(address.name)), images)
            self._complete(address)
        except BctkError as problem:
            self._fail(address, problem)

    def _begin(self, address: Address, machine: Machine) -> Request:
        """Keep what a machine is to measure; where it has begun before, what that was.

        Raises:
            RecipeError: it is another machine than before, or the bundles have changed.
        """
        folder, request = self._folder(address), self._request
        settings = request.settings
        if not request.threads_given:
            settings = msgspec.structs.replace(settings, threads=min(MOST_THREADS, machine.cores_usable))
        fresh = request_for(
            self._bundles,
            settings,
            machine,
            data=request.data,
            group=request.group,
            foreign=request.foreign,
            budget=request.budget,
            baseline=request.baseline,
        )
        if not (folder / REQUEST).exists():
            folder.mkdir(parents=True, exist_ok=True)
            atomic_file(folder / REQUEST, to_json(fresh))
            return fresh
        before = Checkpoint(folder).request()
        same = (before.machine.cpu, before.machine.cores_usable) == (machine.cpu, machine.cores_usable)
        if not same or before.manifests != fresh.manifests:
            what = "the bundles have changed since" if same else f"it was {before.machine.cpu} before"
            raise RecipeError(f"{address}: {what}; remove {self._state} and measure anew")
        return before

    def _complete(self, address: Address) -> None:
        atomic_file(self._folder(address) / COMPLETE, b"")
        self._board.say(f"{address}: measured")

    def _fail(self, address: Address, problem: BctkError) -> None:
        self._problems[address.name] = problem
        self._board.say(f"{problem}; the others go on" if len(self._addresses) > 1 else str(problem))

    def _folder(self, address: Address) -> Path:
        return self._state / address.name

    def _report(self, address: Address, images: ImageSets, folder: Path) -> DeviceReport | None:
        """Judge what a machine has measured, and write its own report; None where it has failed."""
        if address.name in self._problems:
            return None
        checkpoint, own = Checkpoint(self._folder(address)), folder / DEVICES / address.name
        own.mkdir(parents=True)
        with ExitStack() as stack:
            stack.callback(self._board.close)
            run = BenchRun(
                self._bundles, checkpoint.request(), checkpoint, self._board.lane(address.name), fetched=True
            )
            try:
                return DeviceReport(address.name, str(address), write_report(run, images, measure(run, images), own))
            except BctkError as problem:
                self._fail(address, problem)
                own.rmdir()
                return None
