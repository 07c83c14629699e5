"""Times one file on request, with the runtime's own adapter: the other side of `perf/turns.py`."""

import sys
from pathlib import Path

import numpy as np

from bctoolkit.documents.formats import FORMATS, engine_for
from bctoolkit.lazy import attribute
from perf.turns import answer

THREADS = 2


def main(file: Path, images: Path) -> None:
    """Open the file and answer to the first of the images."""
    kind = next(name for name, row in FORMATS.items() if row.suffix == file.suffix)
    backend = attribute(engine_for(kind).backend)(file.read_bytes(), "cpu", THREADS)
    image = np.load(images)["images"][:1].astype(np.float32)
    answer(lambda: backend.run(image), warm_up=20)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
