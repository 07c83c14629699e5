"""The table of formats: every row leads to code that exists and keeps the table's promises."""

import inspect
import re
from importlib import metadata
from pathlib import Path

import pytest

import bctoolkit
from bctoolkit.cli.shared import EXTRAS
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS, engine_for, lookup
from bctoolkit.errors import RecipeError
from bctoolkit.lazy import attribute
from bctoolkit.system import versions

ENGINES = [(name, engine) for name, row in FORMATS.items() for engine in row.engines]


@pytest.mark.parametrize(("name", "engine"), ENGINES)
def test_every_engine_s_code_takes_model_provider_and_threads(name: str, engine: str) -> None:
    open_model = attribute(FORMATS[name].engines[engine].backend)
    assert list(inspect.signature(open_model).parameters) == ["model", "provider", "threads"]


@pytest.mark.parametrize(("name", "engine"), ENGINES)
def test_every_engine_has_a_profiler(name: str, engine: str) -> None:
    profile = attribute(FORMATS[name].engines[engine].profiler)
    assert list(inspect.signature(profile).parameters) == ["model", "provider", "threads", "images", "runs"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_exporter_takes_a_twin_and_settings_and_converts(name: str) -> None:
    exporter = attribute(FORMATS[name].exporter)
    assert list(inspect.signature(exporter).parameters) == ["twin", "settings"]
    assert list(inspect.signature(exporter.convert).parameters) == ["self", "quantization", "settings"]
    assert list(inspect.signature(exporter.quantizable).parameters) == ["self", "quantization"]


def test_suffixes_begin_with_a_dot_and_differ() -> None:
    suffixes = [row.suffix for row in FORMATS.values()]
    assert all(suffix.startswith(".") for suffix in suffixes)
    assert len(set(suffixes)) == len(suffixes)


@pytest.mark.parametrize("name", FORMATS)
def test_every_row_is_complete(name: str) -> None:
    row = FORMATS[name]
    assert set(row.quantizations) <= set(QUANTIZATIONS)
    assert row.quantizations[0] == "fp32", "the first is what an export without options makes"
    assert row.batch is None or row.batch >= 1
    assert row.summary
    assert row.engines


@pytest.mark.parametrize(("name", "engine"), ENGINES)
def test_every_engine_offers_the_cpu(name: str, engine: str) -> None:
    assert FORMATS[name].engines[engine].providers[0] == "cpu"


def distributions(extra: str) -> set[str]:
    """Names of the distributions that an extra installs, those of the extras it names included."""
    names: set[str] = set()
    for line in metadata.requires("bctoolkit") or []:
        match = re.fullmatch(rf"([\w-]+)(?:\[([\w,-]+)\])?.*extra == ['\"]{extra}['\"]", line)
        if match:
            inner = (match[2] or "").split(",") if match[1] == "bctoolkit" else []
            names.update(*map(distributions, filter(None, inner)), {match[1].lower()})
    return names


def test_every_package_that_is_imported_late_comes_with_the_extra_that_its_error_names() -> None:
    package = Path(bctoolkit.__file__).parent
    calls = [re.findall(r'require\("([\w.]+)", "(\w+)"\)', path.read_text()) for path in package.rglob("*.py")]
    pairs = {(module.split(".")[0], extra) for call in calls for module, extra in call}
    assert {("onnxruntime", "onnx"), ("ai_edge_litert", "tflite")} <= pairs
    pairs |= {(module, extra) for extra, modules in EXTRAS.items() for module in modules}
    providers = metadata.packages_distributions()
    for module, extra in sorted(pairs):
        installed = {name.lower().replace("_", "-") for name in providers.get(module, [module])}
        assert installed & distributions(extra), f"{module} is not installed by bctoolkit[{extra}]"


@pytest.mark.parametrize("kind", QUANTIZATIONS)
def test_tolerances_can_be_kept_and_can_be_broken(kind: str) -> None:
    tolerance = QUANTIZATIONS[kind].tolerance
    assert 0 < tolerance.mean_abs_diff <= tolerance.max_abs_diff < 1
    assert 0.5 < tolerance.top1_agreement <= 1


def test_no_quantization_is_allowed_to_be_closer_than_float32() -> None:
    exact = QUANTIZATIONS["fp32"].tolerance
    assert all(exact.max_abs_diff <= kind.tolerance.max_abs_diff for kind in QUANTIZATIONS.values())


@pytest.mark.parametrize("name", FORMATS)
def test_lookup_finds_every_row(name: str) -> None:
    assert lookup(name) is FORMATS[name]


def test_an_unknown_format_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=f"unknown format 'coreml'; formats: {', '.join(FORMATS)}$"):
        lookup("coreml")


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_engine_is_the_default(name: str) -> None:
    assert engine_for(name) is next(iter(FORMATS[name].engines.values()))


def test_an_unknown_engine_is_answered_with_the_known_ones() -> None:
    with pytest.raises(Exception, match="unknown engine 'tensorrt' for onnx; engines: onnxruntime"):
        engine_for("onnx", "tensorrt")


def test_versions_lists_python_and_only_what_is_installed() -> None:
    found = versions("numpy", "no-such-package-anywhere")
    assert list(found) == ["python", "numpy"]
