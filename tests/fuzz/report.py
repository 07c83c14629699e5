"""The table of what refused how many damaged files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.fuzz.runner import Outcome

__all__ = ["Tally", "write"]

SHOWN = 60
"""Rules of each kind; the rarer ones are counted together."""

HEAD = """# What refuses damaged files

Made by `python -m tests.fuzz --bundles {bundles} --models {models} --images {images} --out docs/fuzzing.md`: files are
damaged from a seed, as bytes and by what they mean, and their hashes put right, so that the parsers behind those are
reached. Each case is a `bctk verify` or `bctk predict` in a process of its own. What must not happen: more than one
line, a traceback, an exit code other than 0, 1 and 3, more than 10 s of CPU, a file opened or changed outside of the
bundle.

**{faults} of {total} did what must not happen.** In {contained} the engine crashed in the child process that opens it,
and the command said so in one line.
"""


class Tally:
    """What became of the cases.

    Args:
        counts: kind of file → rule → files.
    """

    def __init__(self, counts: dict[str, Counter[str]]) -> None:
        self.counts, self.contained = counts, 0
        self.faults: list[str] = []

    @property
    def sizes(self) -> dict[str, int]:
        """Kind of file → cases."""
        return {kind: rules.total() for kind, rules in self.counts.items()}

    def add(self, kind: str, number: int, outcome: Outcome) -> None:
        """Count a case."""
        self.counts[kind][outcome.rule] += 1
        self.contained += outcome.contained
        if outcome.fault:
            self.faults.append(f"{kind} {number}: {outcome.fault}")

    def stored(self) -> dict[str, Any]:
        """All of it as JSON holds it."""
        return {"counts": self.counts, "contained": self.contained, "faults": self.faults}

    @staticmethod
    def read(stored: dict[str, Any]) -> "Tally":
        """What `stored` gave."""
        tally = Tally({kind: Counter(rules) for kind, rules in stored["counts"].items()})
        tally.contained, tally.faults = stored["contained"], stored["faults"]
        return tally

    @staticmethod
    def together(parts: "Sequence[Tally]") -> "Tally":
        """Those of several processes as one."""
        whole = Tally({kind: sum((part.counts[kind] for part in parts), Counter()) for kind in parts[0].counts})
        whole.contained = sum(part.contained for part in parts)
        whole.faults = [fault for part in parts for fault in part.faults]
        return whole


def write(path: Path, tally: Tally) -> None:
    """Write the table as Markdown."""
    bundles, models, images = tally.sizes.values()
    numbers = {"bundles": bundles, "models": models, "images": images, "total": sum(tally.sizes.values())}
    text = HEAD.format(**numbers, faults=len(tally.faults), contained=tally.contained)
    for fault in tally.faults:
        text += f"\n- {_cell(fault)}"
    for kind, rules in tally.counts.items():
        if rules:
            text += f"\n## {rules.total():,} {kind}\n\n| files | what became of them |\n|---|---|\n"
            text += "".join(f"| {count} | {_cell(rule)} |\n" for rule, count in _shown(rules))
    path.write_text(text, encoding="utf-8")


def _shown(rules: Counter[str]) -> list[tuple[str, int]]:
    """The most common rules, and the others as one."""
    shown = rules.most_common(SHOWN)
    rest = rules.total() - sum(count for _, count in shown)
    return [*shown, (f"{len(rules) - SHOWN} rarer rules", rest)] if rest else shown


def _cell(rule: str) -> str:
    return rule.replace("|", "\\|").replace("<", "&lt;").replace("`", "")
