"""Colour normalization inside a network, so that no device has to know of it."""

from typing import Any

from keras import layers, ops

__all__ = ["stretched"]

CELL = 4
"""Pixels of a side of the squares that are averaged first: a single pixel, dust or noise, decides nothing."""
LEAST_SPAN = 16.0
"""A channel that spans less is stretched as if it spanned so much: flat pictures stay flat."""


def stretched(image: Any) -> Any:
    """Stretch each channel of each image from its darkest to its brightest square of 4×4 pixels onto 0–255.

    What another stain, lamp or white balance does to a channel as a whole, a factor and an offset, is undone: the
    brightest square is background, the darkest nucleus. After Limare et al. 2011, "Simplest Color Balance"
    (doi:10.5201/ipol.2011.llmps-scb), with means of squares in place of quantiles: an engine computes those of whole
    values 0–255 exactly in float32, and exports need no operation but pooling, maximum and minimum.

    Args:
        image: symbolic, N × height × width × channels float32, values 0–255.

    Returns:
        Of the same shape, values about 0–255; single pixels may lie a little beyond.
    """
    squares = layers.AveragePooling2D(CELL, dtype="float32", name="colours_squares")(image)
    darkest = ops.amin(squares, axis=(1, 2), keepdims=True)
    brightest = ops.amax(squares, axis=(1, 2), keepdims=True)
    return (image - darkest) * (255.0 / ops.maximum(brightest - darkest, LEAST_SPAN))
