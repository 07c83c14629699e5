"""What a recipe says about augmentation: how training images are varied, each drawn anew."""

from typing import Annotated, Literal

from msgspec import Meta

from bctoolkit.documents import Document
from bctoolkit.documents.bounds import Below1, Share

__all__ = ["STRENGTHS", "Augment", "AugmentOps"]

STRENGTHS = (
    *("rotate", "translate", "zoom", "brightness", "contrast", "gamma", "saturation"),
    *("hue", "white_balance", "stain", "stain_mix", "solarize", "vignette", "blur", "noise", "jpeg"),
    *("cutout", "dirt"),
)
"""The operations that are drawn by `chance` or `randaugment`, each with a strength."""


class AugmentOps(Document, frozen=True):
    """Random operations on images, each drawn for each image anew; a strength of 0 is off."""

    flip: bool = False
    """Mirror left-right and up-down."""
    rotate90: bool = False
    """Turn by a multiple of 90°."""
    chance: Share = 1.0
    """Probability with which an image gets each of the operations below that are on."""
    randaugment: Annotated[int, Meta(ge=0)] = 0
    """Instead of by `chance`: every image gets exactly so many of the operations below that are on."""
    rotate: Annotated[float, Meta(ge=0, le=180)] = 0.0
    """Largest turn in degrees."""
    translate: Below1 = 0.0
    """Largest shift, as a share of the side."""
    zoom: Below1 = 0.0
    """Largest change of the size's logarithm, 0.53 for ×0.59 to ×1.70; mild where size tells classes apart."""
    edge: Literal["mirror", "background"] = "mirror"
    """What a turned, shifted or shrunk image is continued by: itself mirrored, or its brightest colour."""
    brightness: Below1 = 0.0
    """Largest shift, as a share of the value range."""
    contrast: Below1 = 0.0
    """Largest relative change of contrast."""
    gamma: Annotated[float, Meta(ge=0, le=3)] = 0.0
    """Largest change of gamma, in powers of two."""
    saturation: Share = 0.0
    """Largest relative change of saturation; 1 reaches grey."""
    hue: Share = 0.0
    """Largest turn of the colours, 1 being half a turn."""
    stain: Below1 = 0.0
    """Largest relative change of each channel's optical density, as another staining makes it."""
    stain_mix: Below1 = 0.0
    """Largest share of a channel's optical density that is added to or taken from each other, as other dyes absorb."""
    white_balance: Below1 = 0.0
    """Largest change of the logarithm of each channel's gain, as another camera or lamp makes it."""
    solarize: Share = 0.0
    """Invert values above a threshold that falls to 1 − strength of the range."""
    vignette: Share = 0.0
    """Light that falls off from a spot anywhere: largest loss at a distance of one side."""
    blur: Annotated[float, Meta(ge=0, le=8)] = 0.0
    """Largest standard deviation of a Gaussian blur, in pixels."""
    noise: Below1 = 0.0
    """Largest standard deviation of Gaussian noise, as a share of the value range."""
    jpeg: Share = 0.0
    """JPEG artefacts: the quality falls to 100 − 95·strength."""
    cutout: Below1 = 0.0
    """Largest side of a rectangle that covers a part of the image, as a share of the side."""
    dirt: Below1 = 0.0
    """Ellipses of one colour that cover up to so large a share of the image's area, one or several."""

    def __post_init__(self) -> None:
        """Refuse to draw more operations than there are."""
        on = sum(getattr(self, name) > 0 for name in STRENGTHS)
        if self.randaugment > on:
            raise ValueError(f"randaugment = {self.randaugment}, but only {on} of the operations it draws from are on")


class Augment(AugmentOps, frozen=True):
    """What is done to training images; never part of the exported graph."""

    flip: bool = True
    rotate90: bool = True
    brightness: Below1 = 0.1
    contrast: Below1 = 0.1
    saturation: Share = 0.1
    one_of: tuple[AugmentOps, ...] = ()
    """Every image gets one of these, drawn evenly, after the operations above."""
    mixup: Annotated[float, Meta(ge=0)] = 0.0
    """Blend pairs of images and labels with a weight of Beta(mixup, mixup); 0 is off."""
    cutmix: Annotated[float, Meta(ge=0)] = 0.0
    """Paste a rectangle of another image, its share of Beta(cutmix, cutmix); 0 is off."""
