"""One file in one engine.

usage: python -m perf.versus.child ENGINE PROVIDER FILE THREADS   runs it as often as a line on stdin asks for
"""

import sys
from pathlib import Path

import numpy as np

from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.lazy import attribute
from perf.turns import answer


def main() -> None:
    """Open the file with the runtime's own adapter and run it on a random image when asked."""
    engine, provider, path, threads = sys.argv[1:]
    content, suffix = Path(path).read_bytes(), Path(path).suffix
    name = next(name for name, row in FORMATS.items() if row.suffix == suffix)
    port = attribute(FORMATS[name].ports)(content).inputs[0]
    shape = tuple(1 if axis is None else axis for axis in port.shape)
    image = (np.random.default_rng(0).random(shape) * 255).astype(port.dtype)
    backend = attribute(engine_for(name, engine).backend)(content, provider, int(threads))
    answer(lambda: backend.run(image), warm_up=20)


if __name__ == "__main__":
    main()
