"""Numbers within bounds, as the fields of recipes and budgets have them."""

from typing import Annotated

from msgspec import Meta

__all__ = ["Below1", "OpenShare", "Positive", "Rate", "Share"]

Positive = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
OpenShare = Annotated[float, Meta(gt=0.0, lt=1.0)]
"""A share that neither none nor all of something is."""
Rate = Annotated[float, Meta(gt=0.0)]
Below1 = Annotated[float, Meta(ge=0.0, lt=1.0)]
