"""How bytes, documents and archives are damaged, from a seed."""

import copy
import io
import json
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["NASTY", "Change", "damaged_arrays", "damaged_bytes", "damaged_document", "damaged_header", "damaged_json"]

Change = Callable[[np.random.Generator, bytes], bytes]

DEEP, DIGITS = "deep", "digits"
"""What Python does not write: lists within lists, and a long number."""

NASTY: list[Any] = [
    None, True, -1, 0, 1, 2**31, 2**63, 10**400, DIGITS, 1e308, -1e-308, float("nan"), float("inf"), "", " ", ".", "..",
    "../outside/secret", "/dev/zero", "a\0b", "a\nb", "\x1b[2J", "\u202e", "\ud800", "x" * 300, "x" * 10**6, "0" * 64,
    "model.onnx", "golden.npz", "manifest.json", [], {}, [[]], [None] * 3, ["a"] * 5, [1.5] * 4, {"a": 1}, DEEP,
]  # fmt: skip
"""Values that no field expects, or that some field should not take."""

INTEGERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**62, 2**63, 2**64 - 1)


def damaged_bytes(rng: np.random.Generator, content: bytes) -> bytes:
    """A few bytes or words changed, a part cut out, doubled or inserted, or the end cut off."""
    spoilt = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        at, kind = int(rng.integers(0, max(1, len(spoilt)))), int(rng.integers(0, 7))
        size = int(rng.choice([1, 2, 4, 8]))
        if kind <= 2:
            spoilt[at : at + 1] = bytes([int(rng.integers(0, 256))])
        elif kind == 3:
            word = int(INTEGERS[int(rng.integers(0, len(INTEGERS)))]) % 256**size
            spoilt[at : at + size] = word.to_bytes(size, "little" if rng.integers(0, 2) else "big")
        elif kind == 4:
            del spoilt[at : at + int(rng.integers(1, 64))]
        elif kind == 5:
            spoilt[at:at] = spoilt[at : at + int(rng.integers(1, 64))]
        elif rng.integers(0, 4) == 0:
            del spoilt[at:]
    return bytes(spoilt)


def damaged_header(rng: np.random.Generator, content: bytes, size: int = 256) -> bytes:
    """The same near the beginning alone, where lengths and types stand."""
    return damaged_bytes(rng, content[:size]) + content[size:]


def damaged_document(rng: np.random.Generator, document: Any) -> Any:
    """One to three places of a document replaced by a nasty value, by another's value, removed or doubled."""
    document = copy.deepcopy(document)
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(document))
        holder, key = places[int(rng.integers(0, len(places)))]
        other, other_key = places[int(rng.integers(0, len(places)))]
        kind = int(rng.integers(0, 6))
        if kind <= 2:
            holder[key] = NASTY[int(rng.integers(0, len(NASTY)))]
        elif kind == 3:
            holder[key] = copy.deepcopy(other[other_key])
        elif kind == 4 and isinstance(holder, dict):
            del holder[key]
        elif isinstance(holder, dict):
            holder[f"{key}_"] = 1
        else:
            holder.append(holder[key])
    return document


def damaged_json(rng: np.random.Generator, content: bytes) -> bytes:
    """A document of which some fields are damaged, as JSON of any quality."""
    return _text(damaged_document(rng, json.loads(content))).encode("utf-8", "surrogatepass")


def _text(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False).replace(f'"{DEEP}"', "[" * 5_000 + "]" * 5_000)
    return text.replace(f'"{DIGITS}"', "1" * 10_000)


def _places(value: Any) -> "list[tuple[Any, Any]]":
    """Every field of a document, as what holds it and the key or position there."""
    keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
    return [place for key in keys for place in ((value, key), *_places(value[key]))]


def damaged_arrays(rng: np.random.Generator, content: bytes) -> bytes:
    """An `.npz` with an array of another form, another header, other packing, or damaged as bytes."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    name = str(rng.choice(list(arrays)))
    kind = int(rng.integers(0, 6))
    if kind == 0:
        return damaged_bytes(rng, content)
    if kind == 1:
        arrays[name] = _other_array(rng, arrays[name])
        return _npz(arrays)
    if kind == 2:
        return _repacked(arrays, {name: _other_header(rng, arrays[name])}, rng)
    if kind == 3:
        return _repacked(arrays, {name: damaged_header(rng, _npy(arrays[name]), 130)}, rng)
    if kind == 4:
        return _repacked(arrays, {}, rng, method=int(rng.choice([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])))
    return _other_list(rng, arrays)


def _other_array(rng: np.random.Generator, array: Any) -> Any:
    changes: list[Callable[[], Any]] = [
        lambda: array[:0],
        lambda: array[:-1],
        lambda: array[..., :1],
        lambda: array[None],
        lambda: array.reshape(-1),
        lambda: array.T,
        lambda: np.asfortranarray(array),
        lambda: array.astype(">f8"),
        lambda: array.astype(np.float16),
        lambda: array.astype(str),
        lambda: array.astype(object),
        lambda: np.full_like(array, 255 if array.dtype == np.uint8 else -7),
        lambda: np.full(array.shape, np.nan, array.dtype) if array.dtype.kind == "f" else array + array.dtype.type(1),
        lambda: np.full(array.shape, 1e30, np.float32),
        lambda: np.broadcast_to(np.zeros(1, array.dtype), (10**7, *array.shape[1:])[:1]).copy(),
    ]
    return changes[int(rng.integers(0, len(changes)))]()


def _other_header(rng: np.random.Generator, array: Any) -> bytes:
    shapes = [
        "(10**12,)",
        "(1000000000000,)",
        "(-1,)",
        "()",
        "(" + "1," * 100 + ")",
        "(9" + "9" * 400 + ",)",
        f"{array.shape}",
    ]
    types = [
        "'|O'",
        "'<U1000000'",
        "'V9'",
        "[('a', 'u1')]",
        "'|u1'",
        "'<f4'",
        f"'{array.dtype.str}'",
        "__import__('os')",
    ]
    flags = ["False", "True", "7"]
    text = f"{{'descr': {_one(rng, types)}, 'fortran_order': {_one(rng, flags)}, 'shape': {_one(rng, shapes)}, }}"
    others = ["(" * 5_000, "-" * 9_000 + "1", "{" * 100, text + " " * 70_000]
    header = _one(rng, [text, text, *others]).encode()
    version, size = (b"\x02\x00", "<I") if len(header) > 65_535 or rng.integers(0, 4) == 0 else (b"\x01\x00", "<H")
    return b"\x93NUMPY" + version + struct.pack(size, len(header)) + header + array.tobytes()


def _one(rng: np.random.Generator, texts: list[str]) -> str:
    return texts[int(rng.integers(0, len(texts)))]


def _other_list(rng: np.random.Generator, arrays: dict[str, Any]) -> bytes:
    """Other members, or other words about them."""
    members = {f"{name}.npy": _npy(array) for name, array in arrays.items()}
    kind = int(rng.integers(0, 5))
    if kind == 0:
        members.pop(str(rng.choice(list(members))))
    elif kind == 1:
        members |= {f"../outside/{number}": b"x" for number in range(int(rng.choice([1, 5_000])))}
    elif kind == 2:
        members[str(rng.choice(list(members)))] = bytes(20_000_000)
    content = bytearray(_zip(members, zipfile.ZIP_DEFLATED))
    if kind >= 3:
        for signature, field in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
            at = content.find(signature)
            while at >= 0:
                if kind == 3:
                    content[at + field] |= 1
                else:
                    content[at + field + 12 : at + field + 20] = rng.bytes(8)
                at = content.find(signature, at + 1)
    return bytes(content)


def _repacked(
    arrays: dict[str, Any], changed: dict[str, bytes], rng: np.random.Generator, method: int | None = None
) -> bytes:
    members = {f"{name}.npy": changed.get(name, _npy(array)) for name, array in arrays.items()}
    return _zip(members, int(rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])) if method is None else method)


def _zip(members: dict[str, bytes], method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
