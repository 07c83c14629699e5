"""`bctk app cpp`: a bundle → a CMake project in C++."""

from pathlib import Path

import click

from bctoolkit.cli.output import echo

__all__ = ["cpp"]


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--out", required=True, metavar="DIR", help="Folder of the project.", type=click.Path(path_type=Path))
def cpp(bundle: Path, out: Path) -> None:
    """Write a CMake project that runs a bundle in C++17, on ONNX Runtime or LiteRT by the bundle's format.

    DIR holds the bundle, two files to copy into an app of yours (bctoolkit.h, bctoolkit.cpp), and a command that
    classifies JPEG and PNG files. It checks every hash and a few golden images, prepares pictures, calibrates
    probabilities and refuses answers as `bctk predict` does. See docs/cpp.md.

    \b
    Example:  bctk app cpp exports/bundles/atto-onnx-fp32 --out cells
              cmake -S cells -B build && make -C build
              build/classify cells/bundle cell.png
    """
    from bctoolkit.app.cpp.project import write_project

    folder = write_project(bundle, out)
    echo(f"{folder}: written; build it with: cmake -S {folder} -B build && cmake --build build")
