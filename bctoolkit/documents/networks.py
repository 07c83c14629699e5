"""The table of networks that `bctk train` knows, apart from what builds them, so that a name can be refused at once."""

from typing import Literal, NamedTuple

from bctoolkit.errors import RecipeError

__all__ = ["BASELINE", "CONVNEXT", "LEAST_SIDE", "ColourNormalization", "Depths", "require_network"]

ColourNormalization = Literal["none", "white"]
"""What a network does to an image's colours before all else."""


class Depths(NamedTuple):
    """Blocks and channels of the four stages of a ConvNeXt."""

    blocks: tuple[int, int, int, int]
    channels: tuple[int, int, int, int]


CONVNEXT: dict[str, Depths] = {
    "convnext_atto": Depths((2, 2, 6, 2), (40, 80, 160, 320)),
    "convnext_femto": Depths((2, 2, 6, 2), (48, 96, 192, 384)),
    "convnext_pico": Depths((2, 2, 6, 2), (64, 128, 256, 512)),
    "convnext_nano": Depths((2, 2, 8, 2), (80, 160, 320, 640)),
    "convnext_tiny": Depths((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": Depths((3, 3, 27, 3), (96, 192, 384, 768)),
}
"""Tiny and small: Liu et al. 2022, table 9. Atto to nano: the smaller widths of ConvNeXt V2 (arXiv:2301.00808)."""

BASELINE = "baseline_cnn"

LEAST_SIDE = 32
"""Pixels: a smaller image has nothing left in the last stage."""


def require_network(name: str) -> None:
    """Check that there is a network of this name.

    Raises:
        RecipeError: there is none; the message names those that exist.
    """
    if name != BASELINE and name not in CONVNEXT:
        raise RecipeError(f"unknown model {name!r}; models: {', '.join((*CONVNEXT, BASELINE))}")
