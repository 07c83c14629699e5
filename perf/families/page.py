"""The page that tells what was measured."""

from typing import Any


def page(results: dict[str, Any]) -> str:
    """The whole page."""
    return "\n".join(results) + "\n"
