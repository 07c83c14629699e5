"""The benchmark: bundles in; parity, latency and a verdict out. It knows nothing of how a bundle was made."""

from bctoolkit.bench.pipeline import bench, resume

__all__ = ["bench", "resume"]
