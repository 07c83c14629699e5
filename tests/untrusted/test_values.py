"""JSON and TOML of others: bounded in depth and numbers, and never more than one line of complaint."""

import pytest

from bctoolkit.untrusted.values import DEEPEST, from_json, from_toml


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "."),
        (b"{", "truncated"),
        (b"\xff\xfe", "."),
        (b'"\xff"', "not UTF-8"),
        (b"NaN", "invalid character"),
        (b"1e999", "out of range"),
        (b"[-Infinity]", "invalid character"),
        (b"[" * 100_000, "nested deeper"),
        (b"[" * (DEEPEST + 2) + b"]" * (DEEPEST + 2), "nested deeper"),
        (b'{"a":' * 500 + b"1" + b"}" * 500, "nested deeper"),
        (b"1" * 10_000, "out of range"),
        (b"[" + b"1" * 400 + b"]", "more than 64 bits"),
        (b'{"a": [9223372036854775808]}', "more than 64 bits"),
        (b'"\\ud800"', "."),
        (b'"\\ud800\\ud800"', "."),
        (b'{"\\udc00": 1}', "."),
    ],
)
def test_what_is_no_json_of_ours_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        from_json(content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a", "Expected"),
        (b"a=\xff", "not UTF-8"),
        (b"a=" + b"[" * 100_000, "nested deeper"),
        (b"a=" + b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "nested deeper"),
        (b"[" + b".".join([b"a"] * 20_000) + b"]", "nested deeper"),
        (b"a=" + b"1" * 10_000, "digits"),
        (b"a=0x" + b"f" * 100_000, "more than 64 bits"),
        (b"a=[nan]", "a number that is nan"),
        (b"a=1e999", "a number that is inf"),
        (b'a="\\ud800"', "scalar"),
    ],
)
def test_what_is_no_toml_of_ours_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        from_toml(content)
    assert "\n" not in str(caught.value)


def test_plain_values_come_back() -> None:
    deep = b"[" * DEEPEST + b"]" * DEEPEST
    assert from_json(deep) is not None
    assert from_json(b'{"a": [1, -9223372036854775808, 1.5, null, true, "\\ud83d\\ude00"]}') == {
        "a": [1, -(2**63), 1.5, None, True, "\U0001f600"]
    }
    assert from_toml(b"a = [1, 2.5]\n[b]\nc = 2026-01-02")["a"] == [1, 2.5]
