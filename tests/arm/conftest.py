"""The aarch64 process, and what its tests measured in the summary of a run."""

import pytest

from tests.arm.machine import ArmMachine, Unavailable, build


@pytest.fixture(scope="session")
def arm() -> ArmMachine:
    try:
        return build()
    except Unavailable as reason:
        pytest.skip(str(reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.stats.get(outcome, [])]
    for report in reports:
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
