"""Every error a user can meet, in one tree.

::

    BctkError                     exit code 1, one line, no traceback
    ├── RecipeError               a recipe, option or workspace that does not make sense
    ├── DatasetError              images or labels that cannot be used
    ├── MissingExtra              an optional package that is not installed
    ├── WeightsError              pre-trained weights that cannot be had or do not fit
    ├── BundleError
    │   ├── BundleCorrupt         a file that is not what the manifest says
    │   ├── BundleTooNew          written by a later version of bctoolkit
    │   └── BundleUntrusted       not as a trusted key signed it
    ├── VectorsError              conformance vectors that cannot be made, read, or are of another bundle
    ├── ExportError
    │   ├── UnsupportedOp         a layer that has no counterpart in the target format
    │   ├── ParityFailed          the artifact does not behave like the Keras reference
    │   └── FormsRefused          some of the forms that were asked for could not be made; the others were
    ├── DeviceError               another machine that cannot be reached or used
    └── BackendError
        ├── ProviderUnavailable   the engine cannot run on what was asked for
        ├── SelfTestFailed        the engine does not compute on this machine what was sealed
        └── InputMismatch         an array or image that breaks the input contract

A message is one line: the fact, the value observed, the remedy. Anything that is not a `BctkError` is a bug: one line
that says so, and with `--debug` a traceback.
"""

from collections.abc import Sequence
from typing import Any

__all__ = [
    "BackendError",
    "BctkError",
    "BundleCorrupt",
    "BundleError",
    "BundleTooNew",
    "BundleUntrusted",
    "DatasetError",
    "DeviceError",
    "ExportError",
    "FormsRefused",
    "InputMismatch",
    "MissingExtra",
    "ParityFailed",
    "ProviderUnavailable",
    "RecipeError",
    "SelfTestFailed",
    "UnsupportedOp",
    "VectorsError",
    "WeightsError",
]


class BctkError(Exception):
    """The root: catching it catches every error bctoolkit raises on purpose."""


class RecipeError(BctkError):
    """A recipe, an option or a workspace that does not make sense."""


class DatasetError(BctkError):
    """Images or labels that cannot be used."""


class MissingExtra(BctkError):
    """An optional package that is not installed."""


class WeightsError(BctkError):
    """Pre-trained weights that cannot be had or do not fit the network."""


class BundleError(BctkError):
    """A folder that is not a usable bundle."""


class BundleCorrupt(BundleError):
    """A file of the bundle differs from what the manifest says."""


class BundleTooNew(BundleError):
    """The bundle was written by a later version of bctoolkit."""


class BundleUntrusted(BundleError):
    """The bundle is not as the owner of a trusted key signed it."""


class VectorsError(BctkError):
    """Conformance vectors that cannot be made, cannot be read, or belong to another bundle."""


class ExportError(BctkError):
    """A network that cannot be exported."""


class UnsupportedOp(ExportError):
    """A layer has no counterpart in the target format."""


class ParityFailed(ExportError):
    """The artifact does not behave like the Keras reference."""


class FormsRefused(ExportError):
    """Some of the forms that were asked for could not be made; the others were.

    Args:
        bundles: those that were made, of type `bundle.Bundle`.
        refusals: why the others were not, a line each.
    """

    def __init__(self, bundles: Sequence[Any], refusals: Sequence[ExportError]) -> None:
        super().__init__("; ".join(map(str, refusals)))
        self.bundles, self.refusals = tuple(bundles), tuple(refusals)

    def __reduce__(self) -> tuple[type["FormsRefused"], tuple[Any, ...]]:
        """How it is pickled: made anew of what it was made of."""
        return type(self), (self.bundles, self.refusals)


class DeviceError(BctkError):
    """Another machine that cannot be reached, or cannot do what was asked of it."""


class BackendError(BctkError):
    """An inference engine that refuses to work."""


class ProviderUnavailable(BackendError):
    """The engine cannot run on the provider that was asked for."""


class SelfTestFailed(BackendError):
    """The engine's answers to golden images are not the reference's.

    Args:
        message: the fact, the figures, the likely cause and the remedy.
        causes: what may be behind it, each a key of `runtime.self_test.diagnosis.CAUSES`.
    """

    def __init__(self, message: str, causes: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.causes = causes


class InputMismatch(BackendError):
    """An array or image breaks the input contract."""
