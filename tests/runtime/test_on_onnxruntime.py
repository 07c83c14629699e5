"""The ONNX Runtime adapter: what really runs is read back."""

from pathlib import Path

import pytest

from bctoolkit.documents.formats import FORMATS
from bctoolkit.errors import ProviderUnavailable
from bctoolkit.runtime import load
from bctoolkit.runtime.on_onnxruntime import PROVIDERS


@pytest.fixture(scope="module")
def path(workspace: Path) -> Path:
    return workspace / "exports" / "bundles" / "tiny-onnx-fp32"


def test_every_operator_is_told_to_run_on_the_cpu(path: Path) -> None:
    placed = load(path, threads=1).backend.placement()
    assert placed is not None
    assert list(placed.operators) == ["cpu"]
    assert placed.operators["cpu"] > 3
    assert placed.partitions is None


def test_a_provider_that_takes_no_operator_is_no_fall_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The session lists it first although the CPU does all the work."""
    onnxruntime = pytest.importorskip("onnxruntime")
    if "AzureExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has no provider that takes nothing")
    monkeypatch.setitem(PROVIDERS, "azure", "AzureExecutionProvider")
    with pytest.raises(ProviderUnavailable, match=r"it takes none of the model's operators: \d+ on cpu"):
        load(path, provider="azure")


@pytest.mark.parametrize("name", [name for name in PROVIDERS if name != "cpu"])
def test_a_provider_that_is_not_in_this_build_is_refused(path: Path, name: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    if PROVIDERS[name] in onnxruntime.get_available_providers():
        pytest.skip(f"this ONNX Runtime has {name}")
    with pytest.raises(ProviderUnavailable, match=f"this ONNX Runtime has no {PROVIDERS[name]}; it has "):
        load(path, provider=name)


def test_the_table_of_formats_names_the_same_providers() -> None:
    assert FORMATS["onnx"].engines["onnxruntime"].providers == tuple(PROVIDERS)
