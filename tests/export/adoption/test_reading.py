"""What is read of a file made elsewhere, and what is refused: one line each, before anything of the file runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from bctoolkit.documents.preprocessing import InputSettings, OutputSettings
from bctoolkit.errors import BctkError, ExportError, RecipeError
from bctoolkit.export.adoption import foreign
from bctoolkit.export.adoption.classifier import ForeignClassifier
from bctoolkit.export.adoption.foreign import read_model
from bctoolkit.export.adoption.formats.onnx_file import OnnxFile
from bctoolkit.export.adoption.opening import class_names
from bctoolkit.export.adoption.stated import Adoption, quantization_of
from tests.support.foreign import SIDE, classifier, constant, model_of, tflite_classifier

Change = Callable[[onnx.ModelProto], object]


def written(folder: Path, content: bytes, name: str = "net.onnx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def opened(path: Path, output: OutputSettings | None = None, size: tuple[int, int] | None = None) -> ForeignClassifier:
    return ForeignClassifier(path, read_model(path), output or OutputSettings(), size)


def message(path: Path, **options: Any) -> str:
    """The line that refuses a file."""
    with pytest.raises(BctkError) as caught:
        opened(path, **options)
    line = str(caught.value)
    assert "\n" not in line
    assert str(path) in line
    return line


def external(model: onnx.ModelProto) -> None:
    weights = model.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="/etc/passwd")


def hidden_external(model: onnx.ModelProto) -> None:
    """Inside the graph of a node's attribute."""
    tensor = constant("deep", np.ones(2, np.float32))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    node = helper.make_node("Constant", [], ["out"], value=tensor)
    value = helper.make_tensor_value_info("out", TensorProto.FLOAT, [2])
    branch = helper.make_graph([node], "branch", [], [value])
    model.graph.initializer.append(constant("yes", np.array(True)))
    model.graph.node.append(helper.make_node("If", ["yes"], ["unused"], then_branch=branch, else_branch=branch))


def text(model: onnx.ModelProto) -> None:
    words = TensorProto(name="words", data_type=TensorProto.STRING, dims=[1], string_data=[b"cat"])
    model.graph.initializer.append(words)


def custom(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "my.company"
    model.opset_import.append(helper.make_opsetid("my.company", 1))


def endless(model: onnx.ModelProto) -> None:
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"])],
        "body",
        [value("i", TensorProto.INT64, []), value("on", TensorProto.BOOL, [])],
        [value("still", TensorProto.BOOL, [])],
    )
    model.graph.initializer.append(constant("rounds", np.array(2**62)))
    model.graph.node.append(helper.make_node("Loop", ["rounds", ""], [], body=body))


def function(model: onnx.ModelProto) -> None:
    node = helper.make_node("Identity", ["a"], ["b"])
    opset = helper.make_opsetid("", 20)
    model.functions.append(helper.make_function("mine", "Copy", ["a"], ["b"], [node], [opset]))


def second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1, 3]))


def sequence(model: onnx.ModelProto) -> None:
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [3]))
    model.graph.output[0].type.CopyFrom(kind)


def unknown_input(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


def unnamed_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (external, "its weights lie in another file; make one file of it: python -c"),
        (hidden_external, "its weights lie in another file"),
        (text, "holds text ('words')"),
        (custom, "operator Flatten of 'my.company' needs a library of its own"),
        (function, "has operators written as functions (Copy); write them out: python -c"),
        (endless, "operator Loop is a loop, which may never end; export it again without"),
        (second_input, "has 2 inputs (input, mask); wanted one, the image"),
        (sequence, "'logits' is no tensor of numbers"),
        (unknown_input, "breaks the ONNX specification"),
        (unnamed_opset, "is of opset 5, wanted 7 or later"),
    ],
)
def test_an_onnx_file_that_is_not_whole_or_not_a_classifier(change: Change, expected: str, tmp_path: Path) -> None:
    model = classifier()
    change(model)
    assert expected in message(written(tmp_path, model.SerializeToString()))


def test_the_remedies_for_external_weights_and_functions_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    onnx.save(classifier(), "split.onnx", save_as_external_data=True, location="split.data", size_threshold=0)
    whole = classifier()
    node = helper.make_node("MatMul", ["a", "b"], ["c"])
    whole.functions.append(
        helper.make_function("mine", "Product", ["a", "b"], ["c"], [node], [helper.make_opsetid("", 20)])
    )
    whole.opset_import.append(helper.make_opsetid("mine", 1))
    whole.graph.node[1].op_type, whole.graph.node[1].domain = "Product", "mine"
    onnx.save(whole, "functions.onnx")
    for name in ("split.onnx", "functions.onnx"):
        line = message(Path(name))
        exec(line.split('python -c "')[1].rstrip('"'), {})
        assert opened(Path("whole.onnx")).classes == 3


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ([4, 3, SIDE, SIDE], "takes 4 images at a time; export it again with a batch of 1, or a free one"),
        ([1, 3, SIDE, 3], "which axis holds the channels cannot be told"),
        ([1, 5, SIDE, SIDE], "no axis has 1 or 3 channels"),
        ([1, 192], "is no image; wanted N×height×width×channels"),
        ([1, 3, 5000, 5000], "is larger than 4096×4096 pixels"),
        ([1, 3, "h", "w"], "leaves the size of the image open; say --size HEIGHTxWIDTH"),
    ],
)
def test_an_input_that_is_no_image_of_one_size(shape: list[int | str], expected: str, tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["input", "axes"], ["means"], keepdims=0)]
    stored = [constant("axes", np.arange(2, len(shape)))] if len(shape) > 2 else [constant("axes", np.zeros(0, "q"))]
    model = model_of(nodes, stored, shape, {"means": [shape[0], 3]})
    assert expected in message(written(tmp_path, model.SerializeToString()))


def test_a_stated_size_has_to_be_the_file_s(tmp_path: Path) -> None:
    fixed = written(tmp_path, classifier().SerializeToString())
    assert "takes images of 8×8 pixels, not 9×8; leave out --size" in message(fixed, size=(9, 8))
    assert opened(fixed, size=(8, 8)).shape == (8, 8, 3)
    means = helper.make_node("ReduceMean", ["input", "axes"], ["means"], keepdims=0)
    model = model_of([means], [constant("axes", np.array([2, 3]))], ["n", 3, "h", 16], {"means": ["n", 3]})
    half = written(tmp_path, model.SerializeToString(), "half.onnx")
    assert opened(half, size=(12, 16)).shape == (12, 16, 3)
    assert "takes images of any×16 pixels, not 12×12" in message(half, size=(12, 12))


def test_outputs_are_chosen_by_name(tmp_path: Path) -> None:
    model = classifier()
    model.graph.node.append(helper.make_node("Softmax", ["logits"], ["shares"]))
    model.graph.output.append(helper.make_tensor_value_info("shares", TensorProto.FLOAT, [1, 3]))
    path = written(tmp_path, model.SerializeToString())
    line = message(path)
    assert "has 2 outputs, 'logits' (float32 1×3), 'shares' (float32 1×3); say which" in line
    assert "--output NAME" in line
    assert "no output is called 'nothing'" in message(path, output=OutputSettings(name="nothing"))
    images = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    heads = {}
    for name in ("logits", "shares"):
        file = opened(path, OutputSettings(name=name))
        adapter = file.adapter(InputSettings(scale="0-1"), images)
        heads[name] = adapter.head, file.predict(adapter, images)
    assert heads["logits"][0] == "softmax"
    assert heads["shares"][0] == "none"
    assert np.allclose(heads["logits"][1], heads["shares"][1], atol=1e-6)


@pytest.mark.parametrize("shape", [[1, 3, 5], [3], [1, "classes"], [1, 200_000]])
def test_an_output_that_is_no_row_of_scores(shape: list[int | str], tmp_path: Path) -> None:
    model = classifier()
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape))
    assert "is not one row of scores per image" in message(written(tmp_path, model.SerializeToString()))


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("net.onnx", b"not a model at all", "not an ONNX file"),
        ("net.onnx", b"", "has 0 bytes"),
        ("net.pt", b"PK\x03\x04", "not an ONNX file"),
        ("net.tflite", b"12345678901234567890", "not a TFLite file, it does not begin as one"),
        ("net.tflite", b"\x1c\x00\x00\x00TFL3" + bytes(40), "not a whole TFLite file"),
    ],
)
def test_what_is_neither_format(name: str, content: bytes, expected: str, tmp_path: Path) -> None:
    assert expected in message(written(tmp_path, content, name))


def test_no_file_a_folder_and_a_file_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "no such file; wanted an .onnx or .tflite file" in message(tmp_path / "none.onnx")
    assert "is a folder" in message(tmp_path)
    path = written(tmp_path, classifier().SerializeToString())
    monkeypatch.setattr(foreign, "MAX_BYTES", 100)
    assert "wanted 1 to 100" in message(path)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_a_damaged_file_is_one_line_or_still_a_network(kind: str, tmp_path: Path) -> None:
    """Cut short anywhere, or with bytes overwritten: never another error than ours."""
    content = classifier().SerializeToString() if kind == "onnx" else tflite_classifier()
    rng = np.random.default_rng(0)
    lines = []
    for attempt in range(60):
        damaged = bytearray(content[: int(rng.integers(9, len(content)))] if attempt % 2 else content)
        for position in rng.integers(0, len(damaged), 0 if attempt % 4 == 1 else 12):
            damaged[position] = int(rng.integers(0, 256))
        try:
            opened(written(tmp_path, bytes(damaged), f"net.{kind}"))
        except BctkError as problem:
            lines.append(str(problem))
    assert len(lines) > 15
    assert not [line for line in lines if "\n" in line]


def adapter_of(folder: Path, images: Any) -> Any:
    file = opened(folder / "wrapped.tflite")
    settings = file.settings(InputSettings())
    assert settings is not None
    return file.adapter(settings, images)


def quantized(*nodes: onnx.NodeProto, stored: tuple[TensorProto, ...] = ()) -> OnnxFile:
    model = classifier()
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(stored)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return OnnxFile(Path("net.onnx"), model.SerializeToString())


def scaled(zero: Any) -> tuple[TensorProto, ...]:
    return constant("s", np.array(0.1, np.float32)), constant("z", zero)


def test_the_operators_show_the_form() -> None:
    quantize = helper.make_node("QuantizeLinear", ["logits", "s", "z"], ["q"])
    dequantize = helper.make_node("DequantizeLinear", ["w8", "s"], ["w"])
    weights = constant("w8", np.ones(4, np.int8))
    dynamic = helper.make_node("DynamicQuantizeLinear", ["logits"], ["q", "qs", "qz"])
    half = constant("half", np.ones(3, np.float16))
    cast = helper.make_node("Cast", ["half"], ["single"], to=TensorProto.FLOAT)
    add = helper.make_node("Add", ["half", "half"], ["twice"])
    assert quantized().quantization == "fp32"
    assert quantized(quantize, stored=scaled(np.uint8(0))).quantization == "int8"
    assert quantized(quantize, stored=scaled(np.uint16(0))).quantization is None
    assert quantized(dynamic).quantization == "int8-dynamic"
    weights_only = quantized(dequantize, stored=(*scaled(np.uint8(0)), weights))
    assert weights_only.quantization is None
    assert "weights alone" in weights_only.arithmetic
    assert quantized(cast, stored=(half,)).quantization == "fp16-weights"
    assert quantized(add, stored=(half,)).quantization == "fp16"


def test_a_form_is_stated_only_where_the_operators_do_not_show_it() -> None:
    def form(file: Any, stated: str | None) -> str:
        return quantization_of(file, Adoption(Path("net.onnx"), Path("x.keras"), quantization=stated))

    dequantize = helper.make_node("DequantizeLinear", ["w8", "s"], ["w"])
    unclear = quantized(dequantize, stored=(*scaled(np.uint8(0)), constant("w8", np.ones(4, np.int8))))
    assert form(unclear, "int8-dynamic") == "int8-dynamic"
    with pytest.raises(RecipeError, match=r"weights alone quantized .*say whose hold with --quantization fp16\|"):
        form(unclear, None)
    with pytest.raises(RecipeError, match="so it is not fp32"):
        form(unclear, "fp32")
    plain = quantized()
    assert form(plain, None) == form(plain, "fp32") == "fp32"
    with pytest.raises(RecipeError, match="which is fp32, not int8; leave out --quantization"):
        form(plain, "int8")


def test_one_score_within_bounds_may_be_either(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, SIDE, SIDE, 3), dtype=np.uint8)
    model = classifier(scores=1, last="Sigmoid")
    model.graph.node[-1].op_type = "HardSwish"
    model.graph.initializer[0].CopyFrom(constant("weights", np.full((3 * SIDE * SIDE, 1), 1e-3, np.float32)))
    path = written(tmp_path, model.SerializeToString())
    with pytest.raises(RecipeError, match="say --head none or --head sigmoid"):
        opened(path).adapter(InputSettings(scale="0-1"), images)
    assert opened(path, OutputSettings(head="sigmoid")).adapter(InputSettings(scale="0-1"), images).head == "sigmoid"


def test_scores_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    images = np.zeros((2, SIDE, SIDE, 3), np.uint8)
    model = classifier(last="Log")
    path = written(tmp_path, model.SerializeToString())
    with pytest.raises(ExportError, match="of check image 0 is not finite"):
        opened(path).adapter(InputSettings(scale="0-1"), images)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (InputSettings(scale="0-1", channels="grey"), r"takes 3 channel\(s\), not grey; channels: rgb, bgr"),
        (InputSettings(scale=((1.0, 2.0), (0.0,))), "numbers for another count of channels than 3"),
    ],
)
def test_settings_that_do_not_go_with_the_input(settings: InputSettings, expected: str, tmp_path: Path) -> None:
    path = written(tmp_path, classifier().SerializeToString())
    with pytest.raises(RecipeError, match=expected):
        opened(path).settings(settings)
    grey = written(tmp_path, classifier(shape=[1, 1, SIDE, SIDE]).SerializeToString(), "grey.onnx")
    with pytest.raises(RecipeError, match="takes 1 channel"):
        opened(grey).settings(InputSettings(scale="caffe"))


def test_pixels_that_go_in_as_they_are_need_no_scale(tmp_path: Path) -> None:
    path = written(tmp_path, classifier(dtype="uint8").SerializeToString())
    assert opened(path).settings(InputSettings()) == InputSettings(scale=(1.0, -0.0))
    with pytest.raises(RecipeError, match=r"takes pixels 0–255 as they are \(uint8\); leave out --scale"):
        opened(path).settings(InputSettings(scale="0-1"))
    assert opened(written(tmp_path, classifier().SerializeToString())).settings(InputSettings()) is None


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("{0: 'a', 1: 'b', 2: 'c'}", ("a", "b", "c")),
        ("{0: 'a', 2: 'b', 3: 'c'}", None),
        ("{0: 'a', 1: 'a', 2: 'c'}", None),
        ("__import__('os').system('true')", None),
        ("[" * 5000, None),
        ("{0: 1, 1: 2, 2: 3}", None),
    ],
)
def test_classes_that_the_file_names_are_read_without_running_anything(
    names: str, expected: tuple[str, ...] | None, tmp_path: Path
) -> None:
    model = classifier()
    helper.set_model_props(model, {"names": names})
    path = written(tmp_path, model.SerializeToString())
    adoption = Adoption(path, path)

    class Unlabelled:
        class source:
            labels = None
            name = "x"

    def labels() -> tuple[str, ...]:
        return class_names(adoption, read_model(path), Unlabelled(), 3, ("c", "d", "e"))  # type: ignore[arg-type]

    if expected is not None:
        assert labels() == expected
        return
    with pytest.raises(RecipeError, match="by the alphabet the images' classes are --labels c,d,e"):
        labels()
