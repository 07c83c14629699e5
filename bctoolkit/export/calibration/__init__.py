"""The ranges of activations, from images of the training part."""
