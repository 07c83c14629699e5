"""Which machine to measure on: `local`, or `ssh://[user@]host[:port][?python=PATH]`."""

import ipaddress
import re
from dataclasses import dataclass

from bctoolkit.errors import RecipeError

__all__ = ["LOCAL", "Address", "parse", "parse_all"]

LOCAL = "local"
SCHEME = "ssh://"
USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
"""A DNS name, an IPv4 address, or a name of the user's own in ~/.ssh/config."""
PYTHON = re.compile(r"[A-Za-z0-9_.+/-]{1,512}")
GRAMMAR = "give local, or ssh://[user@]host[:port][?python=PATH]"


@dataclass(frozen=True)
class Address:
    """A machine, as the user named it."""

    host: str
    """`local` is this machine."""
    user: str | None = None
    port: int | None = None
    python: str | None = None
    """Interpreter on that machine; None: `python3`."""

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return self.host == LOCAL

    @property
    def name(self) -> str:
        """Its name in reports, which can also be a folder's: user, host and port."""
        host = self.host.replace(":", "-")
        return (f"{self.user}@" if self.user else "") + host + (f"-{self.port}" if self.port else "")

    def __str__(self) -> str:
        """The address as it is written, without the interpreter."""
        if self.is_local:
            return LOCAL
        host = f"[{self.host}]" if ":" in self.host else self.host
        return SCHEME + (f"{self.user}@" if self.user else "") + host + (f":{self.port}" if self.port else "")


def parse(text: str) -> Address:
    """An address of the grammar, whose parts can be no options of a program and nothing to a shell.

    Raises:
        RecipeError: it is none.
    """
    if text == LOCAL:
        return Address(LOCAL)
    if not text.startswith(SCHEME):
        raise RecipeError(f"--on {text!r}: unknown kind of machine; {GRAMMAR}")
    rest, has_query, query = text.removeprefix(SCHEME).partition("?")
    user, has_user, place = rest.rpartition("@")
    host, port = _host_and_port(place, text)
    if has_user and not USER.fullmatch(user):
        raise RecipeError(f"--on {text!r}: {user!r} is no user's name; {GRAMMAR}")
    if host == LOCAL:
        raise RecipeError(f"--on {text!r}: for this machine, give local")
    return Address(host, user or None, port, _python(query, text) if has_query else None)


def parse_all(texts: tuple[str, ...]) -> list[Address]:
    """Addresses of different machines.

    Raises:
        RecipeError: one is none, or two have the same name in a report.
    """
    addresses = [parse(text) for text in texts]
    names = [address.name for address in addresses]
    if len(set(names)) < len(names):
        raise RecipeError(f"--on: {max(names, key=names.count)} is named twice; name each machine once")
    return addresses


def _host_and_port(place: str, text: str) -> tuple[str, int | None]:
    bracketed = re.fullmatch(r"\[([0-9A-Fa-f:.]+)\](?::(\d{1,5}))?", place)
    plain = re.fullmatch(r"([^\[\]:]*)(?::(\d{1,5}))?", place)
    match = bracketed or plain
    if match is None or not (_is_ipv6(match[1]) if bracketed else HOST.fullmatch(match[1])):
        raise RecipeError(f"--on {text!r}: {place!r} is no host with an optional port; {GRAMMAR}")
    port = None if match[2] is None else int(match[2])
    if port is not None and not 1 <= port <= 65_535:
        raise RecipeError(f"--on {text!r}: port {port} is not in the range 1 to 65535")
    return match[1], port


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def _python(query: str, text: str) -> str:
    name, _, path = query.partition("=")
    if name != "python" or not PYTHON.fullmatch(path) or path.startswith("-"):
        raise RecipeError(f"--on {text!r}: ?{query} is not ?python= and a path; {GRAMMAR}")
    return path
