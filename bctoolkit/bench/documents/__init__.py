"""The documents that a benchmark stores."""
