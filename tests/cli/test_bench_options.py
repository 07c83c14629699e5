"""`bctk bench`: what its options for other scenarios come to, and what cannot be meant."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bctoolkit.bench import pipeline
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.cli import cli
from bctoolkit.errors import BackendError


@pytest.fixture
def requested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """The settings that the stage is given; it measures nothing."""
    received: list[Settings] = []

    def measured(paths: Any, settings: Settings, *_: Any, **__: Any) -> None:
        received.append(settings)
        raise BackendError("nothing is measured here")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "bench", measured)
    return received


def bench(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bench", "x", *arguments])


@pytest.mark.parametrize(
    ("arguments", "batches", "streams", "minutes"),
    [
        ((), None, None, None),
        (("--batch",), (), None, None),
        (("--batch", "--quick"), (), None, None),
        (("--batch", "knee"), (), None, None),
        (("--batch", "8"), (8,), None, None),
        (("--batch", "1,8,32", "--streams", "4", "--sustain", "0.5"), (1, 8, 32), 4, 0.5),
        (("--sustain", "240", "--threads", "2,1"), None, None, 240.0),
    ],
)
def test_options_become_settings(
    requested: list[Settings],
    arguments: tuple[str, ...],
    batches: tuple[int, ...] | None,
    streams: int | None,
    minutes: float | None,
) -> None:
    bench(*arguments)
    [settings] = requested
    assert (settings.batches, settings.streams, settings.sustain_minutes) == (batches, streams, minutes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--batch", "0"), "0 is not in the range 1<=x<=1024"),
        (("--batch", "3,3"), "'3,3' names a batch size twice"),
        (("--batch", "1,x"), "x is not in the range 1<=x<=1024"),
        (("--batch", "2000"), "2000 is not in the range 1<=x<=1024"),
        (("--batch", "-3"), "No such option"),
        (("--batch", ""), "'' is no batch size"),
        (("--batch", "exports/bundles/atto"), "is no batch size; give several as 1,8,32, or knee"),
        (("--streams", "0"), "0 is not in the range 1<=x<=64"),
        (("--streams", "65"), "65 is not in the range 1<=x<=64"),
        (("--streams", "two"), "'two' is not a valid integer"),
        (("--sustain", "0"), "0 is not in the range 0<x<=240"),
        (("--sustain", "-1"), "-1 is not in the range 0<x<=240"),
        (("--sustain", "nan"), "nan is not in the range 0<x<=240"),
        (("--sustain", "inf"), "inf is not in the range 0<x<=240"),
        (("--sustain", "soon"), "'soon' is not a valid float"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(
    requested: list[Settings], arguments: tuple[str, ...], message: str
) -> None:
    done = bench(*arguments)
    assert done.exit_code == 2
    assert message in " ".join(done.output.split())
    assert requested == []


@pytest.mark.parametrize("arguments", [("--batch",), ("--streams", "2"), ("--sustain", "1")])
def test_a_resumed_benchmark_has_its_scenarios_already(requested: list[Settings], arguments: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, ["bench", "--resume", "--out", "x", *arguments])
    assert f"{arguments[0]} cannot go with --resume" in str(done.exception)
