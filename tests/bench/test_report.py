"""`report.json`: its names are contract, it survives a round trip, and a stored copy keeps loading."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.bench.documents.judgements import Check, Labelled, ParityReport, Verdict
from bctoolkit.bench.documents.measurements import Latency, Session, TimingWarning
from bctoolkit.bench.documents.report import Failure, Report, Result
from bctoolkit.bench.documents.settings import Machine, Settings
from bctoolkit.documents import Outcome, parse, to_json
from bctoolkit.errors import BackendError
from bctoolkit.statistics.metrics import Parity
from bctoolkit.statistics.paired import PairedChange

STORED = Path(__file__).parents[1] / "stored" / "report.json"

CONTRACT: dict[str, set[str]] = {
    "": {"schema", "created", "machine", "settings", "baseline", "results", "failures"},
    "result": {
        "key", "target", "bundle", "format", "quantization", "adopted", "engine", "provider", "threads", "batch",
        "size_bytes", "load_ms", "first_ms", "latency_ms", "end_to_end_ms", "throughput_per_s", "peak_rss_bytes",
        "steady_rss_bytes", "model_sha256",
        "repeat_ratio", "sessions", "parity", "verdict", "energy", "offline", "multi_stream", "sustained",
        "placement", "profile", "relative",
    },
    "relative": {"baseline", "latency", "end_to_end", "cold_start", "peak_rss", "size"},
    "session": {
        "p50_ms", "end_to_end_p50_ms", "slices_p50_ms", "slices_end_to_end_p50_ms", "slices_fastest_ms",
        "end_to_end_fastest_ms", "load_ms", "first_ms", "peak_rss_bytes", "steady_rss_bytes",
    },
    "latency": {
        "p50", "p90", "p99", "mean", "min", "max", "ci95_p50", "ci95_p99", "n", "warnings", "spread", "stable",
    },
    "parity": {"golden", "golden_images", "labelled", "golden_agreement_ci95", "foreign"},
    "golden": {"count", "top1_agreement", "max_abs_diff", "mean_abs_diff"},
    "labelled": {
        "split", "source", "count", "accuracy", "accuracy_ci95", "groups", "reference_accuracy", "change",
        "accuracy_drop", "accuracy_drop_ci95", "worst_recall_drop", "mcnemar_p",
        "top1_agreement", "top1_agreement_ci95", "recall", "class_changes", "regressed_classes",
        "ece", "ece_drift", "ece_drift_ci95", "robustness", "temperature",
        "ece_tempered", "risk_coverage", "accepted", "site",
    },
    "verdict": {"checks", "outcome", "passed"},
    "check": {"name", "limit", "observed", "note", "outcome", "interval", "images_needed", "passed"},
}  # fmt: skip


def decoded(content: bytes) -> Report:
    return parse(Report, json.loads(content), "report.json", BackendError)


@pytest.fixture
def raw(report: Report) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(to_json(report))
    return content


def test_names_are_those_of_the_contract(raw: dict[str, Any]) -> None:
    assert set(raw) == CONTRACT[""]
    assert raw["schema"] == 1
    for result in raw["results"]:
        assert set(result) == CONTRACT["result"]
        assert set(result["latency_ms"]) == set(result["end_to_end_ms"]) == CONTRACT["latency"]
        assert all(set(session) == CONTRACT["session"] for session in result["sessions"])
        if result["relative"] is not None:
            assert set(result["relative"]) == CONTRACT["relative"]
            assert set(result["relative"]["latency"]) == {"value", "ci95"}
        assert set(result["parity"]) == CONTRACT["parity"]
        assert set(result["parity"]["golden"]) == CONTRACT["golden"]
        if result["parity"]["labelled"] is not None:
            assert set(result["parity"]["labelled"]) == CONTRACT["labelled"]
        if result["verdict"] is not None:
            assert set(result["verdict"]) == CONTRACT["verdict"]
            assert all(set(check) == CONTRACT["check"] for check in result["verdict"]["checks"])


def test_intervals_are_pairs(raw: dict[str, Any]) -> None:
    first = raw["results"][0]
    assert len(first["latency_ms"]["ci95_p50"]) == 2
    assert len(first["parity"]["labelled"]["change"]["ci95"]) == 2
    assert len(first["parity"]["labelled"]["accuracy_ci95"]) == 2


def test_what_was_not_measured_is_null_and_not_left_out(raw: dict[str, Any]) -> None:
    unjudged, alone, golden_only = raw["results"]
    assert unjudged["verdict"] is None
    assert alone["latency_ms"]["p99"] is None
    assert alone["parity"]["labelled"]["change"] is None
    assert golden_only["parity"]["labelled"] is None


def test_a_stored_report_keeps_loading_and_is_written_as_it_was() -> None:
    """As long as nothing is released, write it anew where names change; then give new fields a default."""
    assert to_json(decoded(STORED.read_bytes())) == STORED.read_bytes()


def test_an_unknown_name_is_refused_and_the_valid_ones_named(raw: dict[str, Any]) -> None:
    raw["results"][0]["latency_ms"]["p95"] = 1.0
    with pytest.raises(BackendError, match=r"unknown key 'p95' in results\[0\].latency_ms.*p50, p90, p99"):
        parse(Report, raw, "report.json", BackendError)


finite = st.floats(allow_nan=False, allow_infinity=False)
share = st.floats(0, 1)
count = st.integers(0, 2**53)
text = st.text(max_size=12)
pair = st.tuples(finite, finite)
positive = st.floats(1e-3, 1e6)
size = st.integers(1, 2**53)
name = st.text("abc-_é ", max_size=12).map(lambda text: f"n{text}")
latencies = st.builds(
    Latency,
    p50=positive, p90=positive, p99=st.none() | positive, mean=positive, min=positive, max=positive, ci95_p50=pair,
    samples=count, spread=finite, ci95_p99=st.none() | pair,
    warnings=st.lists(st.sampled_from(TimingWarning), max_size=2).map(tuple),
)  # fmt: skip
changes = st.builds(PairedChange, count, count, count, finite, pair)
labelled = st.builds(
    Labelled,
    split=text, source=text, count=count, accuracy=share, accuracy_ci95=pair, reference_accuracy=st.none() | share,
    mcnemar_p=st.none() | share,
    top1_agreement=st.none() | share, recall=st.dictionaries(text, st.none() | share, max_size=3),
    ece=share, ece_drift=st.none() | finite, change=st.none() | changes,
    class_changes=st.dictionaries(text, changes, max_size=2), regressed_classes=st.lists(text, max_size=2).map(tuple),
)  # fmt: skip
parities = st.builds(
    ParityReport, golden=st.builds(Parity, count, share, finite, finite), golden_images=text,
    golden_agreement_ci95=pair, labelled=st.none() | labelled,
)  # fmt: skip
outcomes = st.sampled_from(Outcome)
checks = st.builds(
    Check, name=text, limit=finite, outcome=outcomes, observed=st.none() | finite, interval=st.none() | pair,
    images_needed=st.none() | count, note=text,
)  # fmt: skip
verdicts = st.builds(Verdict, outcomes, st.lists(checks, max_size=3).map(tuple))
sessions = st.builds(
    Session, p50_ms=positive, end_to_end_p50_ms=positive, load_ms=positive, first_ms=positive, peak_rss_bytes=size,
    steady_rss_bytes=count,
)  # fmt: skip
results = st.builds(
    Result,
    key=name, target=name, bundle=name, format=text, quantization=text, provider=text, threads=count,
    size_bytes=size, load_ms=finite, first_ms=finite, latency_ms=latencies, end_to_end_ms=latencies,
    peak_rss_bytes=count, steady_rss_bytes=count, repeat_ratio=finite, parity=parities, verdict=st.none() | verdicts,
    sessions=st.lists(sessions, max_size=2).map(tuple),
)  # fmt: skip
machines = st.builds(
    Machine,
    system=text, cpu=text, cpu_flags=st.lists(text, max_size=3).map(tuple), cores=count, cores_usable=count,
    memory_bytes=count, governor=st.none() | text, frequency_mhz=st.none() | finite, temperature_c=st.none() | finite,
    load_average=st.none() | finite, versions=st.dictionaries(text, text, max_size=3),
)  # fmt: skip
reports = st.builds(
    Report,
    created=text,
    machine=machines,
    settings=st.builds(Settings, sessions=count, min_runs=count, min_seconds=finite, threads=count),
    results=st.lists(results, max_size=2).map(tuple),
    failures=st.lists(st.builds(Failure, text, text, text, text), max_size=1).map(tuple),
)


@given(reports)
def test_any_report_survives_the_round_trip(made: Report) -> None:
    assert decoded(to_json(made)) == made
