"""bctoolkit: take an image classifier from microscope images to a device, and prove that it arrived intact."""

__all__ = ["__version__"]

__version__ = "0.1.0"
