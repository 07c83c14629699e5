"""A bar on a terminal; nothing but whole lines where the output is a file or a pipe."""

import io
import sys

import pytest

from bctoolkit.progress import Silent, Terminal, duration

ERASE = "\r\x1b[K"


class Screen(io.StringIO):
    """A text stream that calls itself a terminal."""

    def isatty(self) -> bool:
        return True


def visible(written: str) -> str:
    """What a terminal shows on its last line."""
    return written.rsplit("\n", 1)[-1].rsplit(ERASE, 1)[-1]


def test_a_pipe_gets_lines_and_no_control_characters() -> None:
    pipe = io.StringIO()
    terminal = Terminal(pipe)
    terminal.step("reading", 1, 2)
    terminal.say("half way")
    terminal.step("reading", 2, 2)
    assert pipe.getvalue() == "half way\n"


def test_a_terminal_shows_label_count_and_note() -> None:
    screen = Screen()
    Terminal(screen).step("phase head", 3, 8, "loss 1.25")
    assert screen.getvalue().startswith("phase head ")
    assert screen.getvalue().endswith(" 3/8 loss 1.25")


@pytest.mark.parametrize(("done", "filled"), [(0, 0), (1, 6), (2, 12), (3, 18)])
def test_the_bar_is_filled_in_proportion(done: int, filled: int) -> None:
    screen = Screen()
    Terminal(screen).step("work", done, 4)
    assert screen.getvalue().count("━") == filled
    assert screen.getvalue().count("━") + screen.getvalue().count("─") == Terminal.width


def test_a_new_step_replaces_the_one_before() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.step("work", 1, 4, "a long note that has to go")
    terminal.step("work", 2, 4)
    assert visible(screen.getvalue()).endswith("2/4")


def test_a_finished_bar_is_erased() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.step("work", 1, 2)
    terminal.step("work", 2, 2)
    assert visible(screen.getvalue()) == ""


def test_a_line_takes_the_bar_s_place() -> None:
    screen = Screen()
    terminal = Terminal(screen)
    terminal.step("work", 1, 2)
    terminal.say("done with it")
    assert screen.getvalue().endswith(f"{ERASE}done with it\n")


def test_nothing_is_erased_where_no_bar_stands() -> None:
    screen = Screen()
    Terminal(screen).say("hello")
    assert screen.getvalue() == "hello\n"


def test_a_total_of_zero_counts_as_finished() -> None:
    screen = Screen()
    Terminal(screen).step("nothing to do", 0, 0)
    assert screen.getvalue() == ""


def test_standard_error_is_the_default_so_that_output_can_be_piped(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().say("on the side")
    assert capsys.readouterr() == ("", "on the side\n")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_from_two_seconds_on_it_is_said_how_long_the_rest_takes() -> None:
    """At the pace of what was done since it was begun, not of what was done before."""
    screen, clock = Screen(), Clock()
    terminal = Terminal(screen, clock)
    terminal.step("work", 10, 40)
    for seconds, done, left in ((1, 11, ""), (4, 20, ", about 10 s left"), (5, 30, ", about 5 s left")):
        clock.now += seconds
        terminal.step("work", done, 40, "note")
        assert visible(screen.getvalue()).endswith(f" {done}/40{left} note")
    terminal.step("other work", 1, 9)
    assert visible(screen.getvalue()).endswith(" 1/9")
    terminal.step("other work", 0, 9)
    assert visible(screen.getvalue()).endswith(" 0/9")


def test_a_pipe_gets_a_line_a_minute() -> None:
    pipe, clock = io.StringIO(), Clock()
    terminal = Terminal(pipe, clock)
    for second in range(241):
        clock.now = 100.0 + second
        terminal.step("work", second, 240)
        if second == 90:
            terminal.say("a line")
    assert pipe.getvalue().splitlines() == [
        "work 60/240, about 3 min left",
        "a line",
        "work 150/240, about 90 s left",
        "work 210/240, about 30 s left",
    ]


def test_silent_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    silent = Silent()
    silent.say("unheard")
    silent.step("unseen", 1, 2, "note")
    sys.stderr.flush()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "0 s"), (119.4, "119 s"), (120, "2 min"), (475, "8 min")])
def test_a_duration_is_as_exact_as_an_estimate(seconds: float, said: str) -> None:
    assert duration(seconds) == said
