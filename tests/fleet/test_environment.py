"""What a machine says of itself, the wheels that fit it, and what it must have."""

import platform

import msgspec
import pytest

from bctoolkit import bundle
from bctoolkit.errors import DeviceError
from bctoolkit.fleet.environment import Facts, modules_for, platforms, require_usable
from tests.support.bundles import STORED

FACTS = {
    "version": [3, 12],
    "implementation": "cpython",
    "executable": "/usr/bin/python3",
    "system": "Linux",
    "machine": "aarch64",
    "libc": ["glibc", "2.36"],
    "installed": ["numpy"],
    "folder": "/tmp/bctk-fleet-abc",
}


def facts(**changes: object) -> Facts:
    return msgspec.json.decode(msgspec.json.encode(FACTS | changes), type=Facts)


def test_wheels_for_a_machine_are_those_of_its_library_and_older_ones() -> None:
    tags = platforms(facts(libc=["glibc", "2.31"]))
    assert tags[0] == "manylinux_2_31_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    assert "manylinux_2_32_aarch64" not in tags
    assert platforms(facts(libc=["musl", "1.2"], machine="x86_64")) == ["musllinux_1_2_x86_64", "musllinux_1_1_x86_64"]


def test_this_machine_has_tags() -> None:
    tags = platforms(facts(machine=platform.machine(), libc=list(platform.libc_ver())))
    assert f"manylinux2014_{platform.machine()}" in tags


@pytest.mark.parametrize("changes", [{"libc": ["", ""]}, {"libc": ["glibc", "x"]}, {"machine": "x86; rm"}])
def test_no_wheels_are_known_for_what_is_none(changes: dict[str, object]) -> None:
    with pytest.raises(DeviceError, match="no wheels are known"):
        platforms(facts(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"folder": "/home/pi"},
        {"folder": "bctk-fleet-x"},
        {"folder": "/tmp/../bctk-fleet-x"},
        {"folder": "/tmp/bctk-fleet-x\nreboot"},
        {"executable": "python3"},
        {"version": [3]},
        {"installed": 3},
    ],
)
def test_an_answer_that_is_none_of_ours_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        facts(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": [3, 9]}, r"pi: /usr/bin/python3 is cpython 3\.9; needs CPython 3\.11 or later"),
        ({"implementation": "pypy"}, "is pypy"),
        ({"system": "Darwin"}, "runs Darwin; only Linux"),
    ],
)
def test_a_machine_that_cannot_measure_is_told_so(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        require_usable(facts(**changes), "pi")


def test_an_environment_holds_the_engines_of_the_bundles_and_little_else() -> None:
    assert set(modules_for([bundle.read(STORED)], (), corruptions=False)) == {"numpy", "msgspec", "PIL", "onnxruntime"}
    assert "scipy" in modules_for([bundle.read(STORED)], (), corruptions=True)
    assert "openvino" in modules_for([bundle.read(STORED)], ("openvino", "litert"), corruptions=False)
