"""How figures are shown: each function takes a value as a file holds it and gives the text."""

__all__ = ["count", "gigabytes", "megabytes", "milliseconds", "number", "percent", "points", "scientific", "text"]


def text(value: object) -> str:
    """As it is; several with commas between them."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def count(value: float) -> str:
    """A whole number."""
    return f"{value:,}"


def number(value: float) -> str:
    """Up to four digits."""
    return f"{value:.4g}"


def percent(value: float) -> str:
    """A share."""
    return f"{value:.2%}"


def points(value: float) -> str:
    """A difference of shares."""
    shown = f"{100 * value:.2f}"
    return "0.00" if float(shown) == 0 else shown


def scientific(value: float) -> str:
    """A small difference."""
    return f"{value:.1e}"


def milliseconds(value: float) -> str:
    """A time that is stored in milliseconds."""
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def megabytes(value: float) -> str:
    """A size that is stored in bytes; 1 MB is 1,000,000."""
    return f"{value / 1e6:.4g} MB"


def gigabytes(value: float) -> str:
    """The same in GB."""
    return f"{value / 1e9:.1f} GB"
