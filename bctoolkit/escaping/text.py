"""One function for each kind of reader; all build on `visible`.

Names come from files that others made: of images, classes, layers, bundles. In a terminal a control character moves the
cursor or clears the screen, and a right-to-left mark turns what stands beside it around; in Markdown a bracket is a
link, and in a spreadsheet a cell that begins with `=` is computed.
"""

import codecs
import html
import re
import unicodedata

__all__ = [
    "ESCAPED",
    "for_csv",
    "for_html",
    "for_json",
    "for_markdown",
    "for_markdown_cell",
    "hidden",
    "visible",
]

HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of characters that steer a terminal or turn the direction of writing, and of half characters."""

SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
"""What makes a spreadsheet take a cell for a formula (OWASP, CSV Injection)."""


def hidden(character: str) -> bool:
    """Whether a character cannot be seen, or is none (the Unicode Standard, 23.7, Noncharacters)."""
    code = ord(character)
    is_none = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    return is_none or unicodedata.category(character) in HIDDEN


def visible(text: str) -> str:
    """The text in one line, each hidden character as `\\u001b`; blanks and letters of all scripts stay."""
    if text.isprintable():
        return text
    return "".join(SHORT.get(each) or _python(each) if hidden(each) else each for each in text)


def _python(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def for_json(text: str) -> str:
    """JSON of the same value, its hidden characters escaped but for the line breaks between its tokens."""
    return "\n".join(line if line.isprintable() else _json_line(line) for line in text.split("\n"))


def _json_line(line: str) -> str:
    return "".join(_json(each) if hidden(each) else each for each in line)


def _json(character: str) -> str:
    """A hidden character; those beyond 16 bits as two halves, as RFC 8259, section 7, has it."""
    halves = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{halves[i : i + 2].hex()}" for i in range(0, len(halves), 2))


def _escape(problem: UnicodeError) -> tuple[str, int]:
    """What an encoding lacks, in the form that JSON has for it too."""
    if not isinstance(problem, UnicodeEncodeError):
        raise problem
    return "".join(map(_json, problem.object[problem.start : problem.end])), problem.end


ESCAPED = "bctoolkit-escaped"
"""How a stream, as its `errors`, writes a character that its encoding lacks: as `\\u0394`, so that JSON stays JSON."""
codecs.register_error(ESCAPED, _escape)


def for_markdown(text: str) -> str:
    """Text that stands in Markdown as it is: no markup, no link, no HTML, one line."""
    plain = re.sub(r"([\\`*\[\]])", r"\\\1", visible(text))
    plain = re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", plain)  # within a word an underscore is one
    plain = re.sub(r"^(\s*)(>|\d*(?=[.)]\s)|[#+-]+(?=\s|$))", _escaped_start, plain)
    return plain.replace("&", "&amp;").replace("<", "&lt;")


def _escaped_start(match: re.Match[str]) -> str:
    """What would make of a line a quotation, an item of a list or a heading."""
    blanks, mark = match.groups()
    return f"{match[0]}\\" if mark.isdecimal() else f"{blanks}\\{mark}"


def for_markdown_cell(text: str) -> str:
    """As `for_markdown`, in a table's cell, which a bar would end."""
    return for_markdown(text).replace("|", "\\|")


def for_csv(cell: str) -> str:
    """A cell that no spreadsheet computes: what it would take for a formula begins with an apostrophe; numbers stay."""
    if not cell.lstrip(" ").startswith(FORMULA) or _is_number(cell):
        return visible(cell)
    return f"'{visible(cell)}"


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", cell, re.IGNORECASE | re.ASCII) is not None


def for_html(text: str) -> str:
    """Text as markup, also within quotes of an attribute."""
    return html.escape(visible(text))
