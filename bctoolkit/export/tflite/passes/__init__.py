"""Passes over a TFLite graph."""
