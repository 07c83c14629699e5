"""TFLite's operators of numbers: those that a bundle may hold, each with as many inputs as it reads.

A kernel that is given fewer reads beyond the list of them. Codes and options are those of
https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs, inputs those of the kernels.
Not among them: control flow, state, text, random numbers, operators of StableHLO, and any library's own.
"""

from typing import NamedTuple

__all__ = ["MANY", "OPERATORS", "REFUSED", "TfliteOperator"]

MANY = 10_000


class TfliteOperator(NamedTuple):
    """How an operator is called."""

    name: str
    options: int
    """Type of its table of options, 0 without; one without its table gets zeros."""
    inputs: tuple[int, int]
    """Fewest and most."""
    outputs: tuple[int, int] = (1, 1)
    gaps: bool = False
    """Whether any input may be left out, by the index -1, and not only those beyond the fewest."""


ONE, TWO, THREE = (1, 1), (2, 2), (3, 3)

UNARY = {
    1: ("AVERAGE_POOL_2D", 5), 5: ("DEPTH_TO_SPACE", 94), 6: ("DEQUANTIZE", 38), 8: ("FLOOR", 0),
    11: ("L2_NORMALIZATION", 12), 12: ("L2_POOL_2D", 5), 13: ("LOCAL_RESPONSE_NORMALIZATION", 13), 14: ("LOGISTIC", 0),
    17: ("MAX_POOL_2D", 5), 19: ("RELU", 0), 20: ("RELU_N1_TO_1", 0), 21: ("RELU6", 0), 25: ("SOFTMAX", 9),
    26: ("SPACE_TO_DEPTH", 19), 28: ("TANH", 0), 43: ("SQUEEZE", 30), 47: ("EXP", 33), 50: ("LOG_SOFTMAX", 36),
    53: ("CAST", 37), 59: ("NEG", 42), 66: ("SIN", 0), 73: ("LOG", 0), 75: ("SQRT", 0), 76: ("RSQRT", 0),
    77: ("SHAPE", 55), 80: ("FAKE_QUANT", 58), 87: ("LOGICAL_NOT", 63), 92: ("SQUARE", 66), 93: ("ZEROS_LIKE", 67),
    98: ("LEAKY_RELU", 75), 101: ("ABS", 78), 104: ("CEIL", 0), 108: ("COS", 84), 109: ("WHERE", 85),
    110: ("RANK", 86), 111: ("ELU", 0), 113: ("MATRIX_DIAG", 88), 114: ("QUANTIZE", 89), 116: ("ROUND", 0),
    117: ("HARD_SWISH", 91), 124: ("DENSIFY", 99), 150: ("GELU", 116), 152: ("RELU_0_TO_1", 0), 158: ("SIGN", 123),
    159: ("BITCAST", 124),
}  # fmt: skip
"""Code → name, options of those with one input."""

BINARY = {
    0: ("ADD", 11), 18: ("MUL", 21), 23: ("RESIZE_BILINEAR", 15), 34: ("PAD", 22), 36: ("GATHER", 23),
    39: ("TRANSPOSE", 26), 40: ("MEAN", 27), 41: ("SUB", 28), 42: ("DIV", 29), 54: ("PRELU", 0), 55: ("MAXIMUM", 39),
    56: ("ARG_MAX", 40), 57: ("MINIMUM", 39), 58: ("LESS", 41), 61: ("GREATER", 44), 62: ("GREATER_EQUAL", 45),
    63: ("LESS_EQUAL", 46), 69: ("TILE", 51), 70: ("EXPAND_DIMS", 52), 71: ("EQUAL", 53), 72: ("NOT_EQUAL", 54),
    74: ("SUM", 27), 78: ("POW", 56), 79: ("ARG_MIN", 57), 81: ("REDUCE_PROD", 27), 82: ("REDUCE_MAX", 27),
    84: ("LOGICAL_OR", 60), 86: ("LOGICAL_AND", 62), 89: ("REDUCE_MIN", 27), 90: ("FLOOR_DIV", 65),
    91: ("REDUCE_ANY", 27), 94: ("FILL", 68), 95: ("FLOOR_MOD", 72), 97: ("RESIZE_NEAREST_NEIGHBOR", 74),
    99: ("SQUARED_DIFFERENCE", 76), 100: ("MIRROR_PAD", 77), 105: ("REVERSE_V2", 81), 107: ("GATHER_ND", 83),
    112: ("REVERSE_SEQUENCE", 87), 115: ("MATRIX_SET_DIAG", 90), 125: ("SEGMENT_SUM", 100),
    126: ("BATCH_MATMUL", 101), 128: ("CUMSUM", 102), 130: ("BROADCAST_TO", 104), 140: ("REDUCE_ALL", 27),
    145: ("BROADCAST_ARGS", 0), 156: ("ATAN2", 122), 160: ("BITWISE_XOR", 125), 161: ("RIGHT_SHIFT", 126),
}  # fmt: skip
"""Those with two."""

TERNARY = {
    37: ("BATCH_TO_SPACE_ND", 24), 38: ("SPACE_TO_BATCH_ND", 25), 60: ("PADV2", 43), 64: ("SELECT", 47),
    65: ("SLICE", 48), 96: ("RANGE", 73), 122: ("SCATTER_ND", 97), 123: ("SELECT_V2", 98),
    151: ("DYNAMIC_UPDATE_SLICE", 117), 153: ("UNSORTED_SEGMENT_PROD", 118), 154: ("UNSORTED_SEGMENT_MAX", 119),
    155: ("UNSORTED_SEGMENT_SUM", 121), 157: ("UNSORTED_SEGMENT_MIN", 120),
}  # fmt: skip
"""Those with three."""

OPERATORS: dict[int, TfliteOperator] = {
    **{code: TfliteOperator(name, options, ONE) for code, (name, options) in UNARY.items()},
    **{code: TfliteOperator(name, options, TWO) for code, (name, options) in BINARY.items()},
    **{code: TfliteOperator(name, options, THREE) for code, (name, options) in TERNARY.items()},
    2: TfliteOperator("CONCATENATION", 10, (1, MANY)),
    3: TfliteOperator("CONV_2D", 1, (2, 3)),
    4: TfliteOperator("DEPTHWISE_CONV_2D", 2, (2, 3)),
    9: TfliteOperator("FULLY_CONNECTED", 8, (2, 3), (1, 2)),
    16: TfliteOperator("LSTM", 14, (5, 24), (1, 4), gaps=True),
    22: TfliteOperator("RESHAPE", 17, (1, 2)),
    24: TfliteOperator("RNN", 7, (5, 5)),
    27: TfliteOperator("SVDF", 6, (5, 5), gaps=True),
    35: TfliteOperator("UNIDIRECTIONAL_SEQUENCE_RNN", 31, (5, 5)),
    44: TfliteOperator("UNIDIRECTIONAL_SEQUENCE_LSTM", 71, (20, 24), gaps=True),
    45: TfliteOperator("STRIDED_SLICE", 32, (4, 4)),
    46: TfliteOperator("BIDIRECTIONAL_SEQUENCE_RNN", 70, (12, 12), (1, 2), gaps=True),
    48: TfliteOperator("TOPK_V2", 34, TWO, TWO),
    49: TfliteOperator("SPLIT", 35, TWO, (1, MANY)),
    52: TfliteOperator("BIDIRECTIONAL_SEQUENCE_LSTM", 69, (48, 48), (1, 2), gaps=True),
    67: TfliteOperator("TRANSPOSE_CONV", 49, (3, 4)),
    83: TfliteOperator("PACK", 59, (1, MANY)),
    85: TfliteOperator("ONE_HOT", 61, (4, 4)),
    88: TfliteOperator("UNPACK", 64, ONE, (1, MANY)),
    102: TfliteOperator("SPLIT_V", 79, THREE, (1, MANY)),
    106: TfliteOperator("ADD_N", 82, (1, MANY)),
    132: TfliteOperator("CONV_3D", 106, (2, 3)),
    141: TfliteOperator("CONV_3D_TRANSPOSE", 106, (3, 4)),
}
"""Code → the operator."""

REFUSED = {
    31: "CALL", 32: "CUSTOM", 51: "DELEGATE", 118: "IF", 119: "WHILE", 129: "CALL_ONCE", 136: "HASHTABLE",
    142: "VAR_HANDLE", 143: "READ_VARIABLE", 144: "ASSIGN_VARIABLE",
}  # fmt: skip
"""Names of some that are not, for messages."""
