"""The machine's fingerprint and a process's peak memory."""

import itertools
import os
import platform
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from bctoolkit.bench.documents.measurements import TimingWarning
from bctoolkit.bench.documents.settings import Machine
from bctoolkit.bench.worker.machine import (
    Reading,
    clock_tick,
    detect_interference,
    fingerprint,
    reading,
)
from bctoolkit.documents import parse, to_json
from bctoolkit.errors import BackendError
from bctoolkit.system import CPU_FEATURES, cpu_name
from bctoolkit.system.counters import peak_rss, steady_rss

MEGABYTE = 1_000_000
REPORT_PEAK = "from bctoolkit.system.counters import peak_rss; print(peak_rss())"


@pytest.fixture(scope="module")
def machine() -> Machine:
    return fingerprint()


def peak_of_child(work: str = "") -> int:
    done = subprocess.run([sys.executable, "-c", work + REPORT_PEAK], capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_fingerprint_names_system_and_processor(machine: Machine) -> None:
    assert machine.system == platform.platform()
    assert platform.system() in machine.system
    assert machine.cpu == cpu_name()


def test_fingerprint_counts_cores_and_memory(machine: Machine) -> None:
    assert 1 <= machine.cores_usable <= machine.cores == os.cpu_count()
    assert machine.memory_bytes == psutil.virtual_memory().total


def test_fingerprint_lists_known_flags_once(machine: Machine) -> None:
    assert set(machine.cpu_flags) <= set(CPU_FEATURES)
    assert len(set(machine.cpu_flags)) == len(machine.cpu_flags)


@pytest.mark.skipif(not os.path.exists("/proc/cpuinfo"), reason="the flags come from /proc/cpuinfo")
def test_fingerprint_flags_are_those_the_system_tells(machine: Machine) -> None:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        words = set(file.read().split())
    assert set(machine.cpu_flags) == words & set(CPU_FEATURES)


def test_fingerprint_readings_are_plausible_where_there_are_any(machine: Machine) -> None:
    assert machine.frequency_mhz is None or 100 < machine.frequency_mhz < 10_000
    assert machine.temperature_c is None or 0 < machine.temperature_c < 130
    assert machine.load_average is None or machine.load_average >= 0


def test_fingerprint_tells_the_versions_that_decide_speed(machine: Machine) -> None:
    import onnxruntime

    assert machine.versions["numpy"] == np.__version__
    assert machine.versions["onnxruntime"] == onnxruntime.__version__


def test_fingerprint_can_be_stored(machine: Machine) -> None:
    import json

    assert parse(Machine, json.loads(to_json(machine)), "machine", BackendError) == machine


def test_fingerprint_respects_the_cpus_this_process_may_use() -> None:
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("no CPU affinity here")
    one = min(os.sched_getaffinity(0))
    work = (
        f"import os; os.sched_setaffinity(0, {{{one}}})\n"
        "from bctoolkit.bench.worker.machine import fingerprint\nprint(fingerprint().cores_usable)"
    )
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_peak_counts_what_the_process_allocated_even_after_it_is_freed() -> None:
    """Beside what the same process has before; pages that the system takes away meanwhile only lower that."""
    work = (
        "import numpy\nfrom bctoolkit.system.counters import steady_rss\n"
        f"idle = steady_rss(); held = numpy.ones({200 * MEGABYTE}, 'uint8'); del held\n"
        "from bctoolkit.system.counters import peak_rss; print(peak_rss() - idle)"
    )
    done = subprocess.run([sys.executable, "-c", work], capture_output=True, text=True, check=True)
    assert 0.9 <= int(done.stdout) / (200 * MEGABYTE) <= 1.5


def test_peak_leaves_out_the_parents_memory() -> None:
    held = np.ones(400 * MEGABYTE, np.uint8)
    assert peak_rss() >= held.nbytes
    assert peak_of_child() < held.nbytes


def test_peak_is_at_least_what_is_resident_now() -> None:
    assert peak_rss() >= psutil.Process().memory_info().rss * 0.99


def moment(**changes: object) -> Reading:
    return Reading(0.0, 0.0, 0.0, 0, 2000.0)._replace(**changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (moment(wall=10.0, busy=20.0, own=20.0), []),
        (moment(wall=10.0, busy=20.0, own=16.0), []),
        (moment(wall=10.0, busy=20.0, own=14.0), [TimingWarning.LOAD]),
        (moment(wall=0.1, busy=0.2, own=0.0), []),
        (moment(wall=10.0, mhz=1900.0), []),
        (moment(wall=10.0, mhz=1700.0), [TimingWarning.THROTTLING]),
        (moment(wall=10.0, mhz=None), []),
        (moment(wall=10.0, throttles=1), [TimingWarning.THROTTLING]),
    ],
)
def test_interference_is_what_others_computed_and_a_clock_that_fell(
    after: Reading, expected: list[TimingWarning]
) -> None:
    """On two CPUs: a quarter of them for ten seconds is five seconds of others' work."""
    assert detect_interference([(moment(), after)], cpus=2) == expected


def test_what_others_computed_between_the_spans_does_not_count() -> None:
    spans = [(moment(), moment(wall=5.0, busy=6.0, own=5.0))]
    spans.append((moment(wall=50.0, busy=90.0, own=5.0), moment(wall=55.0, busy=96.0, own=10.0)))
    assert detect_interference(spans, cpus=2) == []
    spans.append((moment(wall=90.0, busy=99.0, own=10.0), moment(wall=95.0, busy=109.0, own=10.0)))
    assert detect_interference(spans, cpus=2) == [TimingWarning.LOAD]


def test_own_work_is_counted_as_own_and_among_all() -> None:
    before = reading()
    while time.process_time() < before.own + 0.05:
        pass
    after = reading()
    assert after.own - before.own >= 0.05
    assert after.busy - before.busy > 0.02


@pytest.mark.parametrize(
    ("steps", "tick"), [((1,), 1), ((0, 0, 100), 100), ((700, 40, 0), 40), ((0,), 1)], ids=["1", "100", "40", "none"]
)
def test_a_tick_is_the_least_step_of_the_clock(steps: tuple[int, ...], tick: int) -> None:
    moments = itertools.accumulate(itertools.cycle(steps))
    assert clock_tick(lambda: next(moments)) == tick


def test_the_steady_size_is_at_most_the_peak() -> None:
    assert 0 < steady_rss() <= peak_rss() * 1.01
