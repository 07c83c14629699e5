"""The benchmark: bundles in; parity, latency and a verdict out. It knows nothing of how a bundle was made."""
