"""`report.json` of several machines: the whole report of each, which alone says what was measured on what."""

from msgspec import field

from bctoolkit.bench.documents.report import Report
from bctoolkit.documents import Document
from bctoolkit.documents.names import name_fault

__all__ = ["DEVICES", "DeviceFailure", "DeviceReport", "Fleet"]

DEVICES = "devices"
"""In the report's folder: a report folder for each machine, by its name."""


class DeviceReport(Document, frozen=True):
    """What was measured on one machine."""

    name: str
    address: str
    """As it was given to `--on`."""
    report: Report

    def __post_init__(self) -> None:
        """Refuse a name that could be a path."""
        fault = name_fault(self.name)
        if fault is not None:
            raise ValueError(f"name: {fault}")


class DeviceFailure(Document, frozen=True):
    """A machine on which nothing could be measured, or not all."""

    name: str
    address: str
    message: str


class Fleet(Document, frozen=True, kw_only=True):
    """`report.json` of `bctk bench --on`."""

    schema: int = 1
    created: str
    devices: tuple[DeviceReport, ...]
    """Nothing is added up over them: ratios, intervals and verdicts are those of each."""
    unmeasured: tuple[DeviceFailure, ...] = field(default_factory=tuple)
