"""The grammar of addresses: what is taken, and that nothing taken is an option, a path or a word of a shell."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.errors import RecipeError
from bctoolkit.fleet.address import Address, parse, parse_all

GOOD = {
    "local": Address("local"),
    "ssh://raspberry": Address("raspberry"),
    "ssh://pi@10.0.0.7:2222": Address("10.0.0.7", "pi", 2222),
    "ssh://lab.pi-4@rack_1.example.org": Address("rack_1.example.org", "lab.pi-4"),
    "ssh://[fe80::1]:22": Address("fe80::1", None, 22),
    "ssh://pi?python=/opt/py/bin/python3.12": Address("pi", python="/opt/py/bin/python3.12"),
}
BAD = [
    "", "pi", "http://pi", "ssh://", "ssh://-oProxyCommand=x", "ssh://-l@pi", "ssh://pi@-h", "ssh://pi:0", "ssh://pi:65536",
    "ssh://pi:22x", "ssh://pi/", "ssh://pi;reboot", "ssh://$(id)", "ssh://`id`", "ssh://a b", "ssh://a\nb", "ssh://pi:22:22",
    "ssh://us er@pi", "ssh://a@b@c", "ssh://[::g]", "ssh://[1.2.3.4]", "ssh://local", "ssh://pi?python=-c", "ssh://pi?python=",
    "ssh://pi?python=/bin/sh -c x", "ssh://pi?shell=/bin/sh", "ssh://pi?", "ssh://..", "adb://SERIAL", "LOCAL",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_its_parts(text: str) -> None:
    assert parse(text) == GOOD[text]
    assert str(GOOD[text]) == text.partition("?")[0]


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_address_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(RecipeError, match=r"^--on ") as caught:
        parse(text)
    assert "\n" not in str(caught.value)


@given(st.text(st.characters(codec="utf-8"), max_size=40))
def test_whatever_is_taken_is_harmless(text: str) -> None:
    try:
        address = parse(f"ssh://{text}")
    except RecipeError:
        return
    for part in (address.host, address.user or "x", address.python or "x", address.name):
        assert re.fullmatch(r"[\w.:@+/-]+", part, re.ASCII)
        assert not part.startswith("-")
    assert "/" not in address.name
    assert address.name not in (".", "..")


def test_a_machine_is_named_once() -> None:
    with pytest.raises(RecipeError, match="pi-22 is named twice"):
        parse_all(("ssh://pi:22", "local", "ssh://pi:22?python=/usr/bin/python3"))
    assert len(parse_all(("ssh://pi:22", "ssh://pi:23", "local"))) == 3
