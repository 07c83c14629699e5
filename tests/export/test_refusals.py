"""What is refused, what is made all the same, and that a refusal leaves nothing behind."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from bctoolkit.cli import main
from bctoolkit.errors import ExportError, FormsRefused, ParityFailed, UnsupportedOp
from bctoolkit.export import export, keras_network, variants
from bctoolkit.export.checks.gate import check_gate
from bctoolkit.export.keras_graph.twin import freeze
from bctoolkit.export.onnx.passes import int8 as onnx_int8
from bctoolkit.export.tflite.exporter import TfliteExporter
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe
from tests.export.test_planted_faults import saturating
from tests.support.faults import turned
from tests.support.networks import small_convnext
from tests.support.progress import Recorder

pytestmark = pytest.mark.slow


@pytest.fixture
def run(run_folder: Path, tmp_path: Path) -> Path:
    """A run of its own."""
    return Path(shutil.copytree(run_folder, tmp_path / "run" / "cells"))


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_refused_form_does_not_end_the_others(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_int8, "per_channel", saturating)
    recipe = ExportRecipe(quantizations=("int8-dynamic", "fp32", "fp16-weights"))
    with pytest.raises(FormsRefused) as caught:
        export(run, recipe, tmp_path / "out", Silent())
    assert [bundle.manifest.name for bundle in caught.value.bundles] == ["cells-onnx-fp32", "cells-onnx-fp16-weights"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"cells-onnx-fp32", "cells-onnx-fp16-weights"}
    (refusal,) = caught.value.refusals
    assert isinstance(refusal, ParityFailed)
    assert str(caught.value) == str(refusal)
    assert str(refusal).startswith("onnx fp32 → onnx int8-dynamic: ")
    with pytest.raises(FormsRefused) as again:  # what was made is used again
        export(run, recipe, tmp_path / "out", Silent())
    assert again.value.bundles == caught.value.bundles


def test_a_format_without_a_layer_does_not_end_the_other(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> bytes:
        raise UnsupportedOp("layer 'stem_conv' (Conv2D): has no counterpart in TFLite")

    monkeypatch.setattr(TfliteExporter, "convert", refuse)
    recipe = ExportRecipe(formats=("tflite", "onnx"), quantizations=("fp32", "fp16"))
    with pytest.raises(FormsRefused, match=r"^layer 'stem_conv' ") as caught:
        export(run, recipe, tmp_path / "out", Silent())
    assert [bundle.manifest.name for bundle in caught.value.bundles] == ["cells-onnx-fp32", "cells-onnx-fp16"]
    assert len(caught.value.refusals) == 1  # one line for both of the forms
    with pytest.raises(UnsupportedOp, match=r"^layer 'stem_conv' "):
        export(run, ExportRecipe(formats=("tflite",)), tmp_path / "out", Silent())


def test_the_command_prints_what_was_made_and_a_line_for_what_was_not(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(onnx_int8, "per_channel", saturating)
    monkeypatch.chdir(tmp_path)
    forms = [option for kind in ("fp32", "int8-dynamic", "int8") for option in ("--quantize", kind)]
    with pytest.raises(SystemExit) as ended:
        main(["export", str(run), *forms, "--out", "out"])
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert out.splitlines() == [str(Path("out") / "cells-onnx-fp32")]
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert [line.split(": ")[1] for line in lines] == ["onnx fp32 → onnx int8-dynamic", "onnx fp32 → onnx int8"]


def test_a_network_that_is_refused_leaves_nothing(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = everything(tmp_path)
    monkeypatch.setattr(keras_network, "freeze", lambda model: turned(freeze(model)))
    with pytest.raises(ParityFailed):
        export(run, ExportRecipe(), tmp_path / "new" / "out", Silent(), cache=tmp_path / "cache")
    assert everything(tmp_path) == before


def test_an_integer_form_that_is_refused_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither predictions nor a ranking nor a report; the one line says what was tried."""
    before = everything(tmp_path)

    def strict(labels: Any, reference: Any, observed: Any, *others: Any) -> Any:
        return check_gate(labels, reference, np.roll(observed, 1, axis=1), *others)

    monkeypatch.setattr("bctoolkit.export.checks.judgement.check_gate", strict)
    recipe = ExportRecipe(quantizations=("int8-dynamic",))
    with pytest.raises(ParityFailed) as caught:
        export(run, recipe, tmp_path / "out", Silent(), cache=tmp_path / "cache")
    assert everything(tmp_path) == before
    message = str(caught.value)
    assert message.startswith("onnx fp32 → onnx int8-dynamic: accuracy drop ")
    assert message.endswith("with 4 of 4 layers in float; no bundle was written; onnx fp32 passes its checks")
    assert len(message) <= 200


def test_a_form_that_is_right_only_without_integers_is_refused(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def strict(labels: Any, reference: Any, observed: Any, *others: Any) -> Any:
        is_float = np.abs(observed - reference).max() < 1e-5
        return check_gate(labels, reference, observed if is_float else np.roll(observed, 1, axis=1), *others)

    before = everything(tmp_path)
    monkeypatch.setattr("bctoolkit.export.checks.judgement.check_gate", strict)
    with pytest.raises(ParityFailed, match="within its limits only with all 4 of its layers in float, as fp32 is"):
        export(run, ExportRecipe(quantizations=("int8-dynamic",)), tmp_path / "out", Silent(), cache=tmp_path / "cache")
    assert everything(tmp_path) == before


@pytest.mark.parametrize("moment", ["artifact", "sealing"])
def test_an_interrupted_export_leaves_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def interrupt(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    before = everything(tmp_path)
    if moment == "artifact":
        monkeypatch.setattr(variants, "predict_artifact", interrupt)
    else:
        monkeypatch.setattr("bctoolkit.bundle.writing.to_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        export(run, ExportRecipe(), tmp_path / "new" / "out", Silent(), cache=tmp_path / "cache")
    assert everything(tmp_path) == before


def test_the_search_goes_on_until_the_distance_from_the_reference_is_right_too(tmp_path: Path) -> None:
    """No labelled images, so no gate: one layer, whose input has a huge feature that it does not read, is float."""
    rng, path = np.random.default_rng(0), tmp_path / "hostile.keras"
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3), name="image")
    x = layers.Flatten()(layers.Rescaling(1 / 64, -2.0)(inputs))
    for index in range(3):
        x = layers.Dense(24, activation="relu", name=f"dense_{index}")(x)
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))
    kernel, bias = model.get_layer("dense_0").get_weights()
    model.get_layer("dense_0").set_weights([kernel, np.r_[1e5, bias[1:]].astype(np.float32)])
    kernel = rng.normal(0, 1, kernel.shape[1:] * 2)
    kernel[0] = 0
    model.get_layer("dense_1").set_weights([kernel, bias])
    model.save(path)
    progress = Recorder()
    recipe = ExportRecipe(quantizations=("int8-dynamic",))
    (sealed,) = export(path, recipe, tmp_path / "out", progress, golden="synthetic")
    assert sealed.manifest.keep_float == ("dense_1",)
    assert sealed.manifest.parity.max_abs_diff < 0.35
    assert any("int8-dynamic: not as it is: max |Δp| " in line for line in progress.lines)
    assert (tmp_path / "out" / "quantization" / "hostile-onnx-int8-dynamic.md").is_file()


def test_a_weight_that_is_no_number_is_named_with_its_layer(tmp_path: Path) -> None:
    model = small_convnext(0)
    norm = model.get_layer("block_1_norm")
    gamma, beta = norm.get_weights()
    gamma[3] = np.nan
    norm.set_weights([gamma, beta])
    model.save(tmp_path / "net.keras")
    with pytest.raises(ExportError) as caught:
        export(tmp_path / "net.keras", ExportRecipe(), tmp_path / "out", Silent(), golden="synthetic")
    expected = "1 of 24 values of weight 'gamma' of layer 'block_1_norm' (LayerNormalization) are NaN or infinite"
    assert expected in str(caught.value)
