"""What of other people's code an export may run: nothing, until it is asked for by name."""

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["NOTHING", "LoadOptions"]


@dataclass(frozen=True)
class LoadOptions:
    """The code that the user trusts while a model file is opened."""

    imports: tuple[str, ...] = ()
    """Modules to run, by dotted name or as the path of a `.py` file; their classes and functions are the file's."""
    trust_lambda: bool = False
    """Whether Python code that the file itself holds is run."""

    def notices(self) -> Iterator[str]:
        """One line for each thing that will run, as the user is told before it does."""
        for name in self.imports:
            yield f"  --import {name}: runs this module's code"
        if self.trust_lambda:
            yield "  --trust-lambda: runs the Python code inside the model file"


NOTHING = LoadOptions()
"""No code but Keras's own and ours."""
