"""Sessions in child processes: what they return, in which order, and how they fail."""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bctoolkit import bundle as bundles
from bctoolkit.bench.documents.samples import SessionSamples
from bctoolkit.bench.documents.settings import Settings
from bctoolkit.bench.launcher import sessions
from bctoolkit.bench.launcher.process import Child
from bctoolkit.errors import BackendError
from bctoolkit.runtime import load

MEGABYTE = 1_000_000


def session(bundle: Path, settings: Settings, provider: str | None = None) -> SessionSamples:
    """One session alone."""
    (samples,) = sessions.sessions([sessions.SessionRequest(bundle, settings.threads, provider, settings)])
    if isinstance(samples, BackendError):
        raise samples
    return samples


def side_by_side(
    bundles: list[Path], settings: Settings, on_progress: Callable[[float, str], None] = lambda share, name: None
) -> list[SessionSamples | BackendError]:
    requests = [sessions.SessionRequest(path, settings.threads, None, settings) for path in bundles]
    return sessions.sessions(requests, on_progress)


@pytest.fixture(scope="module")
def measured(four_bundles: list[Path], quick: Settings) -> list[SessionSamples]:
    """A session of an ONNX bundle and one of a TFLite bundle."""
    both = side_by_side([four_bundles[0], four_bundles[3]], quick)
    return [samples for samples in both if isinstance(samples, SessionSamples)]


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


def test_every_session_keeps_its_raw_samples(measured: list[SessionSamples], quick: Settings) -> None:
    for samples in measured:
        assert len(samples.model) >= quick.min_runs
        assert len(samples.end_to_end) >= quick.min_runs // 4
        assert min(samples.model) > 0
        assert min(samples.end_to_end) > 0


def test_slices_of_one_round_lie_side_by_side(four_bundles: list[Path], quick: Settings) -> None:
    """Each process runs while the others wait: the end of a slice is reported once for all of them."""
    reports: list[tuple[float, str]] = []
    settings = msgspec.structs.replace(quick, min_runs=4, min_seconds=0.6)
    both = side_by_side(four_bundles[:2], settings, lambda share, name: reports.append((share, name)))
    counts = [len(samples.model_slices) for samples in both if isinstance(samples, SessionSamples)]
    assert len(counts) == 2
    assert [name for _, name in reports if name] == [path.name for path in four_bundles[:2]]
    shares = [share for share, name in reports if not name]
    assert max(counts) <= len(shares) <= max(counts) + 1  # the last slice may be of end-to-end alone
    assert shares == pytest.approx([min(1.0, 0.25 * (number + 1) / 0.6) for number in range(len(shares))])
    for samples in both:
        assert isinstance(samples, SessionSamples)
        assert sum(samples.model_slices) == len(samples.model)
        assert sum(samples.end_to_end_slices) == len(samples.end_to_end)


def test_a_bundle_that_fails_leaves_the_others_their_round(
    four_bundles: list[Path], damaged: Path, quick: Settings
) -> None:
    failed, fine = side_by_side([damaged, four_bundles[3]], quick)
    assert isinstance(failed, BackendError)
    assert isinstance(fine, SessionSamples)
    assert len(fine.model) >= quick.min_runs


def test_load_and_first_inference_are_timed_apart(measured: list[SessionSamples]) -> None:
    for samples in measured:
        assert samples.load > 0
        assert samples.first > 0


def test_sessions_report_what_really_ran(measured: list[SessionSamples], quick: Settings) -> None:
    for samples in measured:
        assert (samples.provider, samples.threads) == ("cpu", quick.threads)
        assert samples.mismatches == 0
        assert 20 * MEGABYTE < samples.steady_rss <= samples.peak_rss < 2_000 * MEGABYTE
        assert 0.2 < samples.repeat_ratio < 5


@pytest.mark.parametrize("position", range(4))
def test_children_predict_as_the_runtime_does(four_bundles: list[Path], position: int) -> None:
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
    [
        (9, r"the process was killed \(SIGKILL\), likely out of memory"),
        (6, r"the model crashed its engine \(SIGABRT\)"),
        (11, r"the model crashed its engine \(SIGSEGV\)"),
        (14, "the model gave no answer within the time limit"),
    ],
)
def test_a_child_killed_by_a_signal_is_reported_with_it(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    fake_child(tmp_path, monkeypatch, f"kill -{number} $$")
    with pytest.raises(BackendError, match=rf"^tiny-onnx-fp32: {words} \(no message\)"):
        session(bundle, quick)


@pytest.mark.skipif(sys.platform == "win32", reason="signals and shell scripts")
def test_a_child_that_crashes_is_reported_with_its_last_words(
    bundle: Path, quick: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_child(tmp_path, monkeypatch, "echo first >&2; echo 'out of cheese' >&2; exit 7")
    with pytest.raises(BackendError, match=r"^tiny-onnx-fp32: its process ended with exit code 7 \(out of cheese\)"):
        session(bundle, quick)


def child_with(samples: SessionSamples) -> type[Child]:
    """A child that starts no process and has these samples."""

    class Finished(Child):
        def __enter__(self) -> "Finished":
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def wait_until_ready(self) -> None:
            pass

        def result(self, kind: Any) -> Any:
            return samples

    return Finished


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mismatches": 3}, r"3 of 4 outputs differed from the first pass \(non-deterministic\)"),
        ({"repeat_ratio": 0.5}, "one image repeated is 50% faster than"),
    ],
)
def test_a_session_that_cheats_is_refused(
    bundle: Path, quick: Settings, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], message: str
) -> None:
    samples = msgspec.structs.replace(SessionSamples("cpu", 1, model=[1_000_000] * 4), **changes)
    monkeypatch.setattr(sessions, "Child", child_with(samples))
    with pytest.raises(BackendError, match=message):
        session(bundle, quick)


@pytest.mark.parametrize(("ratio", "milliseconds"), [(0.95, 100.0), (0.5, 0.08)])
def test_a_tenth_or_what_the_caches_of_a_cpu_explain_is_no_cheating(
    bundle: Path, quick: Settings, monkeypatch: pytest.MonkeyPatch, ratio: float, milliseconds: float
) -> None:
    samples = SessionSamples("cpu", 1, model=[int(milliseconds * 1e6)] * 4, repeat_ratio=ratio)
    monkeypatch.setattr(sessions, "Child", child_with(samples))
    assert session(bundle, quick) is samples


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
