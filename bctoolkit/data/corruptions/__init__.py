"""The fixed suite of corruptions, and images under it."""
