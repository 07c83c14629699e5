"""What a TFLite file must not hold is seen before LiteRT, which some of it would crash, gets the file."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.runtime.model_files.ports import Port
from bctoolkit.runtime.model_files.tflite_file import OTHER_TYPES, TYPES, ports
from bctoolkit.runtime.model_files.tflite_operators import OPERATORS, REFUSED

STORED = (Path(__file__).parents[1] / "stored" / "partly-delegated.tflite").read_bytes()
"""uint8 1×32×32×3 → … → softmax over four classes."""

TYPE, CODE = schema.TensorType, schema.BuiltinOperator


def changed(change: Callable[[Any], object]) -> bytes:
    """The stored file with something else in its tables."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(STORED))
    change(model)
    builder = flatbuffers.Builder(2**12)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def set_type(kind: int, port: str = "outputs") -> Callable[[Any], object]:
    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        graph.tensors[getattr(graph, port)[0]].type = kind

    return change


def set_code(kind: int) -> Callable[[Any], object]:
    def change(model: Any) -> None:
        model.operatorCodes[0].builtinCode, model.operatorCodes[0].deprecatedBuiltinCode = kind, min(kind, 127)

    return change


def call(**changes: Any) -> Callable[[Any], object]:
    """The first call of an operator, otherwise."""

    def change(model: Any) -> None:
        for name, value in changes.items():
            setattr(
                model.subgraphs[0].operators[0], name, np.array(value, np.int32) if isinstance(value, list) else value
            )

    return change


def set_custom(model: Any) -> None:
    model.operatorCodes[0].customCode = b"FlexErf"


def set_shape(*shape: int) -> Callable[[Any], object]:
    return lambda model: setattr(model.subgraphs[0].tensors[-1], "shape", np.array(shape, np.int32))


def add_graph(model: Any) -> None:
    model.subgraphs = [model.subgraphs[0]] * 2


def add_external(model: Any) -> None:
    model.externalBufferGroups = [schema.ExternalBufferGroupT()]
    model.externalBufferGroups[0].name = b"/etc/passwd"


def refer_to_external(model: Any) -> None:
    model.subgraphs[0].tensors[0].externalBuffer = 1


def reach_out(model: Any) -> None:
    model.buffers[1].data, model.buffers[1].offset, model.buffers[1].size = None, 5000, 10**9


def test_the_tables_of_types_are_the_schema_s() -> None:
    names = {code: name.lower() for name, code in vars(TYPE).items() if isinstance(code, int)}
    assert {code: names[code] for code in TYPES} == TYPES
    assert {code: names[code] for code in OTHER_TYPES} == OTHER_TYPES


def test_the_table_of_operators_is_the_schema_s() -> None:
    names = {code: name for name, code in vars(CODE).items() if isinstance(code, int)}
    options = {name: code for name, code in vars(schema.BuiltinOptions).items() if isinstance(code, int)}
    assert {code: operator.name for code, operator in OPERATORS.items()} == {code: names[code] for code in OPERATORS}
    assert {code: names[code] for code in REFUSED} == REFUSED
    assert not OPERATORS.keys() & REFUSED.keys()
    for operator in OPERATORS.values():
        words = operator.name.replace("_", "").lower()
        same = [code for name, code in options.items() if name.removesuffix("Options").lower() == words]
        assert operator.options in (same or SHARED.get(operator.name, [0])), operator


SHARED = {
    **{f"REDUCE_{kind}": [options_of] for kind in ("PROD", "MAX", "MIN", "ANY", "ALL") for options_of in (27,)},
    **{name: [5] for name in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D")},
    **{"MEAN": [27], "SUM": [27], "MAXIMUM": [39], "MINIMUM": [39]},
    **{"L2_NORMALIZATION": [12], "UNIDIRECTIONAL_SEQUENCE_RNN": [31], "CONV_3D_TRANSPOSE": [106]},
}
"""Operators whose table of options is called otherwise."""


def test_inputs_and_outputs_are_read_as_they_stand_there() -> None:
    assert ports(STORED) == ((Port("uint8", (1, 32, 32, 3)),), (Port("float32", (1, 4)),))


def test_integers_stand_for_floats_by_one_scale() -> None:
    def quantize(scale: list[float], zero: list[int]) -> Callable[[Any], object]:
        def change(model: Any) -> None:
            tensor = model.subgraphs[0].tensors[model.subgraphs[0].outputs[0]]
            tensor.type, tensor.quantization = TYPE.INT8, schema.QuantizationParametersT()
            tensor.quantization.scale = np.array(scale, np.float32)
            tensor.quantization.zeroPoint = np.array(zero, np.int64)

        return change

    scaled = [([1 / 256], [-128]), ([], []), ([0.0], [0]), ([np.nan], [0]), ([np.inf], [0]), ([1.0, 2.0], [0, 0])]
    found = [ports(changed(quantize(*each))).outputs[0].scaled for each in scaled]
    assert found == [True, False, False, False, False, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_type(TYPE.STRING), "a tensor of string; wanted numbers"),
        (set_type(TYPE.RESOURCE), "a tensor of resource"),
        (set_type(TYPE.VARIANT), "a tensor of variant"),
        (set_type(TYPE.COMPLEX64), "a tensor of complex64"),
        (set_type(TYPE.STRING, "inputs"), "a tensor of string"),
        (set_type(99), "a tensor of type 99"),
        (set_code(CODE.WHILE), "it needs operator WHILE, which is never run"),
        (set_code(CODE.IF), "it needs operator IF"),
        (set_code(CODE.CALL_ONCE), "it needs operator CALL_ONCE"),
        (set_code(CODE.CUSTOM), "it needs operator CUSTOM"),
        (set_code(CODE.VAR_HANDLE), "it needs operator VAR_HANDLE"),
        (set_code(CODE.STABLEHLO_WHILE), "it needs operator 200"),
        (set_code(CODE.STRIDED_SLICE), "STRIDED_SLICE has 1 inputs and 1 outputs"),
        (
            call(builtinOptionsType=9, builtinOptions=schema.SoftmaxOptionsT()),
            "CAST has the options of another operator",
        ),
        (call(inputs=[]), "CAST has 0 inputs and 1 outputs"),
        (call(inputs=[0, 1]), "it has 2 numbers where at most 1 belong"),
        (call(inputs=[-1]), "CAST is called without one of its first 1 inputs"),
        (call(inputs=[-2]), "CAST reads a tensor that is not there"),
        (call(inputs=[99]), "CAST reads a tensor that is not there"),
        (call(outputs=[1, 2]), "CAST has 1 inputs and 2 outputs"),
        (call(opcodeIndex=99), "operator code 99 of 6 is called"),
        (set_custom, "it needs a custom operator"),
        (set_shape(-1, 4), "a tensor of -1×4 numbers"),
        (set_shape(2**31 - 1, 2**31 - 1), "wanted at most 2,147,483,648"),
        (add_graph, "it holds 2 graphs, which call each other; wanted one"),
        (add_external, "it keeps weights in another file"),
        (refer_to_external, "it keeps weights in another file"),
        (reach_out, "a constant lies beyond its end"),
        (lambda model: setattr(model, "subgraphs", []), "it holds 0 graphs"),
    ],
)
def test_what_no_bundle_holds_is_refused_before_the_engine_sees_it(
    change: Callable[[Any], object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ports(changed(change))


@pytest.mark.parametrize("index", [-1, 10**6])
def test_an_output_that_is_no_tensor_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=f"tensor {index} of "):
        ports(changed(lambda model: setattr(model.subgraphs[0], "outputs", np.array([index], np.int32))))


HEADER = st.integers(0, 400).map(lambda at: at if at < 64 else len(STORED) - at)


@given(
    st.one_of(
        st.binary(max_size=64).map(lambda tail: tail[:4] + b"TFL3" + tail[4:]),
        st.lists(st.tuples(HEADER, st.binary(max_size=4))),
    )
)
def test_whatever_the_bytes_are_they_are_read_or_refused(content: bytes | list[tuple[int, bytes]]) -> None:
    if isinstance(content, list):
        spoilt = bytearray(STORED)
        for at, replacement in content:
            spoilt[at : at + len(replacement)] = replacement
        content = bytes(spoilt)
    with contextlib.suppress(ValueError):
        ports(content)


def test_lists_without_end_are_not_walked() -> None:
    spoilt = bytearray(STORED)
    for at in range(0, len(STORED) - 4, 4):
        spoilt[at : at + 4] = (2**31 - 1).to_bytes(4, "little")
        with contextlib.suppress(ValueError):
            ports(bytes(spoilt))
        spoilt[at : at + 4] = STORED[at : at + 4]
