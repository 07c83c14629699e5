"""The energy that the system counts, where it does and lets this process read it; nothing is estimated from load.

Sources: the kernel's *Power Capping Framework* (RAPL under `class/powercap`) and *sysfs-class-power* (batteries under
`class/power_supply`). Both count all that runs on the machine, not this process alone.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path

from bctoolkit.bench.documents.samples import EnergyUse

__all__ = ["EnergyMeter", "energy_meter", "total"]

SYS = Path("/sys")
PACKAGES = "class/powercap/intel-rapl:[0-9]*"
"""Zones and, with a second colon, parts of them; AMD's processors are under the same name."""
BATTERIES = "class/power_supply/BAT*"


class EnergyMeter(ABC):
    """Counts from when it is made; `tick` it at least every minute."""

    source: str
    _joules: float | None = 0.0

    def tick(self) -> None:
        """Count up to now."""
        more = self._since_last()
        self._joules = None if more is None or self._joules is None else self._joules + more

    def used(self) -> EnergyUse | None:
        """What was used up to now; None where the counter cannot be read any more, or stood still."""
        self.tick()
        return EnergyUse(self.source, self._joules) if self._joules else None

    @abstractmethod
    def _since_last(self) -> float | None:
        """Joules since the last call."""


class _Packages(EnergyMeter):
    """The processors' own counters, in microjoules; each begins anew above its range."""

    source = "package"

    def __init__(self, zones: list[Path]) -> None:
        self._zones = zones
        self._ranges = [_number(zone / "max_energy_range_uj") for zone in zones]
        self._last = [_number(zone / "energy_uj") for zone in zones]

    def _since_last(self) -> float | None:
        now = [_number(zone / "energy_uj") for zone in self._zones]
        more = 0.0
        for before, after, whole in zip(self._last, now, self._ranges, strict=True):
            if before is None or after is None or (after < before and whole is None):
                return None
            more += after - before if after >= before else after - before + (whole or 0.0)
        self._last = now
        return more / 1e6


class _Batteries(EnergyMeter):
    """The power drawn from the batteries, in microwatts: the mean of two readings × the time between them."""

    source = "battery"

    def __init__(self, folders: list[Path], clock: Callable[[], float]) -> None:
        self._folders, self._clock = folders, clock
        self._last = self._power()

    def _since_last(self) -> float | None:
        (then, before), (now, after) = self._last, self._power()
        self._last = now, after
        return None if before is None or after is None else (before + after) / 2 * (now - then) / 1e6

    def _power(self) -> tuple[float, float | None]:
        """The moment in seconds, and the power; None while none discharges or one is charged."""
        states = [_line(folder / "status") for folder in self._folders]
        powers = [
            _number(folder / "power_now")
            for folder, state in zip(self._folders, states, strict=True)
            if state == "Discharging"
        ]
        magnitudes = [abs(power) for power in powers if power is not None]  # some drivers count discharge as negative
        whole = bool(magnitudes) and len(magnitudes) == len(powers) and "Charging" not in states
        return self._clock(), sum(magnitudes) if whole else None


def energy_meter(root: Path | None = None, clock: Callable[[], float] = time.perf_counter) -> EnergyMeter | None:
    """A meter that counts from now; None where the system has none or does not let this process read it.

    Args:
        root: where the system's tree is; `/sys` by default.
        clock: seconds.
    """
    tree = root or SYS
    zones = [
        zone
        for zone in sorted(tree.glob(PACKAGES))
        if zone.name.count(":") == 1 and (_line(zone / "name") or "").startswith("package")
    ]
    if zones and all(_number(zone / "energy_uj") is not None for zone in zones):
        return _Packages(zones)
    batteries = _Batteries(sorted(tree.glob(BATTERIES)), clock)
    return batteries if batteries._power()[1] is not None else None


def total(parts: Sequence[EnergyUse | None]) -> EnergyUse | None:
    """The energy of several measurements; None where one of them has none."""
    counted = [part for part in parts if part is not None]
    if not counted or len(counted) < len(parts):
        return None
    return EnergyUse(counted[0].source, sum(part.joules for part in counted))


def _number(path: Path) -> float | None:
    try:
        return float(_line(path) or "")
    except ValueError:
        return None


def _line(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
