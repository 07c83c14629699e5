"""Measures of a classifier and of two on the same images."""
