"""Every command explains itself, and the README knows it."""

import re
from pathlib import Path

import click
import pytest

import bctoolkit
from bctoolkit.cli import cli
from tests.support.cli import commands

README = Path(bctoolkit.__file__).resolve().parents[1] / "README.md"


COMMANDS = commands(cli)


def help_of(name: str) -> str:
    context = click.Context(COMMANDS[name], info_name=f"bctk {name}", terminal_width=110, max_content_width=110)
    return COMMANDS[name].get_help(context)


def test_the_commands_that_are_contract_are_there() -> None:
    contract = (
        "demo, init, data inspect, data clean, data fetch, train, evaluate, export, adopt, bench, compare, choose, "
        "predict, verify, dossier"
    )
    assert set(contract.split(", ")) <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_says_in_one_sentence_what_it_does(name: str) -> None:
    short = COMMANDS[name].get_short_help_str(limit=1000)
    assert len(short) > 20
    assert short[0].isupper()


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_shows_an_example_of_itself(name: str) -> None:
    text = help_of(name)
    assert re.search(r"^\s*Examples?:", text, re.MULTILINE)
    assert f"bctk {name}" in text.split("Example", 1)[1]


@pytest.mark.parametrize("name", COMMANDS)
def test_lines_of_an_example_stay_lines(name: str) -> None:
    """Click keeps the lines of a paragraph that begins with the character backspace, not with its two-letter escape."""
    assert "\\b" not in help_of(name)


def test_lines_of_the_group_s_help_stay_lines() -> None:
    text = cli.get_help(click.Context(cli, info_name="bctk", terminal_width=110, max_content_width=110))
    assert "\\b" not in text
    assert re.search(r"^ +bctk train --data PATH +images", text, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_in_an_example_exists(name: str) -> None:
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", help_of(name).split("\nOptions:")[0]))
    known = {flag for parameter in COMMANDS[name].params for flag in parameter.opts}
    elsewhere = {flag for command in COMMANDS.values() for parameter in command.params for flag in parameter.opts}
    assert mentioned <= (elsewhere if name == "init" else known)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    options = [parameter for parameter in COMMANDS[name].params if isinstance(parameter, click.Option)]
    assert not [option.name for option in options if not (option.help or "").strip()]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_a_terminal_of_110_columns(name: str) -> None:
    assert not [line for line in help_of(name).splitlines() if len(line) > 110]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_readme_mentions_every_command(name: str) -> None:
    assert f"bctk {name}" in README.read_text(encoding="utf-8")


def test_the_readme_mentions_no_command_that_does_not_exist() -> None:
    text = README.read_text(encoding="utf-8")
    groups = {name.split()[0] for name in COMMANDS}
    blocks = "\n".join(re.findall(r"```.*?```", text, re.DOTALL))
    mentioned = set(re.findall(r"^\s*(?:\$ )?bctk ([a-z]+)", blocks, re.MULTILINE))
    assert mentioned <= groups


def test_the_group_s_help_tells_the_exit_codes() -> None:
    assert re.search(r"Exit codes: 0 .*1 .*2 .*3 ", cli.help or "", re.DOTALL)
