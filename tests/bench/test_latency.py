"""Sessions in child processes: what they return, in which order, and how they fail."""

import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.samples import SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher import sessions
from bctoolkit.errors import BackendError
from bctoolkit.runtime import load

MEGABYTE = 1_000_000


def session(bundle: Path, settings: Settings, provider: str | None = None) -> SessionSamples:
    """One session alone."""
    (found,) = sessions.sessions([sessions.Timed(bundle, settings, provider)])
    if isinstance(found, BackendError):
        raise found
    return found


@pytest.fixture(scope="module")
def answers(four_bundles: list[Path], quick: Settings) -> list[SessionSamples]:
    """A session of an ONNX bundle and one of a TFLite bundle."""
    found = sessions.sessions([sessions.Timed(four_bundles[place], quick, None) for place in (0, 3)])
    return [answer for answer in found if isinstance(answer, SessionSamples)]


@pytest.fixture
def damaged(bundle: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "damaged"
    shutil.copytree(bundle, copy)
    content = bytearray((copy / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (copy / "model.onnx").write_bytes(content)
    return copy


def fake_child(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script take the place of the Python that runs children."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


def test_every_session_keeps_its_raw_samples(answers: list[SessionSamples], quick: Settings) -> None:
    for answer in answers:
        assert len(answer.model) >= quick.min_runs
        assert len(answer.end_to_end) >= quick.min_runs // 4
        assert min(answer.model) > 0
        assert min(answer.end_to_end) > 0


def test_slices_of_one_turn_lie_side_by_side(four_bundles: list[Path], quick: Settings) -> None:
    """Each process runs while the others wait: what is told of a slice's end comes once for all of them."""
    heard: list[tuple[float, str]] = []
    settings = msgspec.structs.replace(quick, min_runs=4, min_seconds=0.6)
    wanted = [sessions.Timed(path, settings, None) for path in four_bundles[:2]]
    found = sessions.sessions(wanted, lambda share, name: heard.append((share, name)))
    counts = [len(answer.model_slices) for answer in found if isinstance(answer, SessionSamples)]
    assert counts == [3, 3]
    assert [name for _, name in heard if name] == [path.name for path in four_bundles[:2]]
    assert [share for share, name in heard if not name] == pytest.approx([0.25 / 0.6, 0.5 / 0.6, 1.0])
    for answer in found:
        assert isinstance(answer, SessionSamples)
        assert sum(answer.model_slices) == len(answer.model)
        assert sum(answer.end_to_end_slices) == len(answer.end_to_end)


def test_a_bundle_that_fails_leaves_the_others_their_turn(
    four_bundles: list[Path], damaged: Path, quick: Settings
) -> None:
    found = sessions.sessions([sessions.Timed(path, quick, None) for path in (damaged, four_bundles[3])])
    assert isinstance(found[0], BackendError)
    assert isinstance(found[1], SessionSamples)
    assert len(found[1].model) >= quick.min_runs


def test_a_session_goes_on_until_its_time_is_over(bundle: Path, quick: Settings) -> None:
    answer = session(bundle, msgspec.structs.replace(quick, min_runs=4, min_seconds=0.4))
    assert len(answer.model) > 20
    assert len(answer.end_to_end) > 5


def test_load_and_first_inference_are_timed_apart(answers: list[SessionSamples]) -> None:
    for answer in answers:
        assert answer.load > 0
        assert answer.first > 0
        assert answer.load > np.median(answer.model), "opening a model takes longer than running this tiny one"


def test_sessions_report_what_really_ran(answers: list[SessionSamples], quick: Settings) -> None:
    for answer in answers:
        assert (answer.provider, answer.threads) == ("cpu", quick.threads)
        assert answer.wrong == 0
        assert 20 * MEGABYTE < answer.steady_rss <= answer.peak_rss < 2_000 * MEGABYTE
        assert answer.clock_tick < 100_000
        assert 0.2 < answer.repeat_ratio < 5


def test_the_warm_up_is_not_among_the_samples(bundle: Path, quick: Settings) -> None:
    """The warm-up alone makes ten times the runs that are asked for."""
    settings = msgspec.structs.replace(quick, min_runs=8, min_seconds=0.0, warmup_runs=100)
    answer = session(bundle, settings, "cpu")
    assert len(answer.model) == 8
    assert len(answer.end_to_end) == 2


@pytest.mark.parametrize("position", range(4))
def test_children_answer_as_the_runtime_does(four_bundles: list[Path], position: int) -> None:
    path = four_bundles[position]
    images = bundles.read(path).golden().images[:5]
    classifier = load(path, threads=1)
    expected = np.concatenate([classifier.predict(images[i : i + 1]).probabilities for i in range(5)])
    found = sessions.predict(path, images, 1, None)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_damaged_bundle_is_named(damaged: Path, quick: Settings) -> None:
    with pytest.raises(BackendError, match=r"^damaged: .*model\.onnx: SHA-256 differs"):
        session(damaged, quick)
    with pytest.raises(BackendError, match=r"^damaged: .*model\.onnx: SHA-256 differs"):
        sessions.predict(damaged, bundles.read(damaged).golden().images, 1, None)


def test_an_unknown_provider_is_refused(bundle: Path, quick: Settings) -> None:
    with pytest.raises(BackendError, match="tiny-onnx-fp32 on abacus: unknown provider 'abacus'"):
        session(bundle, quick, "abacus")


@pytest.mark.skipif(sys.platform == "win32", reason="signals and shell scripts")
@pytest.mark.parametrize(
    ("number", "words"),
    [(9, "signal 9, as the system sends where memory runs out"), (6, "signal 6, an abort"), (11, "signal 11")],
)
def test_a_child_killed_by_a_signal_is_reported_with_it(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    fake_child(tmp_path, monkeypatch, f"kill -{number} $$")
    with pytest.raises(BackendError, match=rf"^tiny-onnx-fp32: its process ended with {words} \(no message\)"):
        session(bundle, quick)


@pytest.mark.skipif(sys.platform == "win32", reason="signals and shell scripts")
def test_a_child_that_crashes_is_reported_with_its_last_words(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_child(tmp_path, monkeypatch, "echo first >&2; echo 'out of cheese' >&2; exit 7")
    with pytest.raises(BackendError, match=r"^tiny-onnx-fp32: its process ended with exit code 7 \(out of cheese\)"):
        session(bundle, quick)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"wrong": 3}, "3 of 4 answers changed while timed"),
        ({"repeat_ratio": 0.5}, "one image repeated is 50% faster than"),
    ],
)
def test_a_session_that_cheats_is_refused(
    bundle: Path, quick: Settings, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    answer = msgspec.structs.replace(SessionSamples("cpu", 1, model=[1_000_000] * 4), **changes)
    monkeypatch.setattr(sessions.Child, "answer", lambda child, kind: answer)
    with pytest.raises(BackendError, match=message):
        session(bundle, quick)


@pytest.mark.parametrize(("ratio", "milliseconds"), [(0.95, 100.0), (0.5, 0.08)])
def test_a_tenth_or_what_the_caches_of_a_cpu_explain_is_no_cheating(
    bundle: Path, quick: Settings, monkeypatch: pytest.MonkeyPatch, ratio: float, milliseconds: float
) -> None:
    answer = SessionSamples("cpu", 1, model=[int(milliseconds * 1e6)] * 4, repeat_ratio=ratio)
    monkeypatch.setattr(sessions.Child, "answer", lambda child, kind: answer)
    assert session(bundle, quick) is answer


@pytest.mark.skipif(sys.platform == "win32", reason="signals and shell scripts")
def test_what_an_engine_prints_spoils_nothing(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = bundles.read(bundle).golden().images[:2]
    expected = sessions.predict(bundle, images, 1, None)
    fake_child(tmp_path, monkeypatch, f'echo "{{chatter}}"; echo noise >&2; exec "{sys.executable}" "$@"')
    np.testing.assert_array_equal(sessions.predict(bundle, images, 1, None), expected)


def test_nothing_is_left_in_the_temporary_folder(
    bundle: Path, damaged: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    sessions.predict(bundle, bundles.read(bundle).golden().images[:1], 1, None)
    with pytest.raises(BackendError):
        session(damaged, quick)
    assert list(scratch.iterdir()) == []
