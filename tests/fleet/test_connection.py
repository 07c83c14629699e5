"""What is handed to ssh: quoting, and the check of host keys."""

import shlex
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit.fleet.address import parse
from bctoolkit.fleet.connection import Connection, host_key_option


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20), min_size=1, max_size=4))
def test_words_reach_a_command_as_they_are(words: list[str]) -> None:
    script = 'for word in "$@"; do printf "%s\\0" "$word"; done'
    done = subprocess.run(["sh", "-c", shlex.join(["sh", "-c", script, "sh", *words])], capture_output=True, check=True)
    assert done.stdout.decode() == "".join(f"{word}\0" for word in words)


@pytest.mark.parametrize("setting", ["ask", "true", "no", "off", "false", "nonsense"])
def test_an_unknown_host_key_is_refused_whatever_the_configuration_allows(setting: str) -> None:
    effective = f"user x\nstricthostkeychecking {setting}\nport 22\n"
    assert host_key_option(effective) == ["-o", "StrictHostKeyChecking=yes"]


def test_a_configuration_that_keeps_the_first_key_stands() -> None:
    assert host_key_option("stricthostkeychecking accept-new\n") == []
    assert host_key_option("") == ["-o", "StrictHostKeyChecking=yes"]


def test_the_host_stands_behind_all_options(tmp_path: Path) -> None:
    connection = Connection(parse("ssh://pi@rack:2222"), tmp_path, None, threading.Event())
    connection._host_key = host_key_option("")
    command = connection._ssh("-M")
    assert command[-2:] == ["--", "rack"]
    assert command[command.index("-l") + 1] == "pi"
    assert command[command.index("-p") + 1] == "2222"
    assert f"ControlPath={tmp_path / 'socket'}" in command
    assert not any("StrictHostKeyChecking=no" in word for word in command)
