"""The table of what refused how many damaged files."""

from collections import Counter
from pathlib import Path

__all__ = ["write"]

SHOWN = 60
"""Rules of each kind; the rarer ones are counted together."""

HEAD = """# What refuses damaged files

Made by `python -m tests.fuzz --bundles {bundles} --models {models} --images {images} --out docs/fuzzing.md`: files are damaged from
a seed, as bytes and by what they mean, and hashes put right, so that the parsers behind them are reached. Each case is a
`bctk verify` or `bctk predict` in a process of its own. What must not happen: anything but one line, an exit code other than 0, 1
and 3, more than 10 s of CPU, a file opened or changed outside of the bundle.

**{faults} of {total} did what must not happen.** In {contained} the engine crashed in the child process that opens it, and the
command said so in one line.
"""


def write(path: Path, counts: dict[str, Counter[str]], faults: list[str], contained: Counter[str]) -> None:
    """Write the table as Markdown."""
    sizes = [rules.total() for rules in counts.values()]
    numbers = dict(zip(("bundles", "models", "images"), sizes, strict=True))
    text = HEAD.format(**numbers, faults=len(faults), total=sum(sizes), contained=contained.total())
    for fault in faults:
        text += f"\n- {fault}"
    for kind, rules in counts.items():
        text += f"\n## {rules.total():,} {kind}\n\n| files | what became of them |\n|---|---|\n"
        shown = rules.most_common(SHOWN)
        rest = rules.total() - sum(count for _, count in shown)
        for rule, count in [*shown, *([(f"{len(rules) - SHOWN} rarer rules", rest)] if rest else [])]:
            text += f"| {count} | {_cell(rule)} |\n"
    path.write_text(text, encoding="utf-8")


def _cell(rule: str) -> str:
    return rule.replace("|", "\\|").replace("<", "&lt;").replace("`", "")
