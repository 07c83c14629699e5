"""Options that several commands take, each declared once."""

from pathlib import Path
from typing import get_args

import click

from bctoolkit.documents.options import pattern_fault
from bctoolkit.documents.preprocessing import Channels, Head

__all__ = [
    "channels",
    "golden",
    "group",
    "head",
    "imports",
    "labels",
    "licence",
    "output",
    "own_data",
    "prepared",
    "scale",
    "size",
    "to_bundles",
    "trust_lambda",
    "white",
]

own_data = click.option("--data", metavar="PATH", help="The network's images. Default: those of the run.")
scale = click.option(
    "--scale",
    metavar="PRESET|FACTOR,OFFSET",
    help="What the network eats of values 0–255: none, 0-1, -1-1, imagenet or caffe, or numbers. Built into the graph.",
)
channels = click.option(
    "--channels", type=click.Choice(get_args(Channels)), help="Colours the network eats. Default: rgb, or grey."
)
size = click.option("--size", metavar="N|HxW", help="Height and width, of a network that takes any.")
white = click.option(
    "--white",
    type=click.IntRange(256, 65_535),
    metavar="N",
    help="The value of white in images of 16 bits a channel, as 4095 of a 12-bit camera. Default: they are refused.",
)
prepared = click.option(
    "--prepared",
    metavar="HOW",
    help="How the images were cut out of the microscope's pictures, as 'centre 200 of 360'; devices do the same.",
)


def _pattern(context: click.Context, parameter: click.Parameter, text: str | None) -> str | None:
    """A regular expression, refused before images are read where it is none."""
    if fault := pattern_fault(text or ""):
        raise click.BadParameter(fault)
    return text


group = click.option(
    "--group",
    metavar="PATTERN",
    callback=_pattern,
    help="Regular expression on file paths that names what images belong to, as '(patient_[0-9]+)'.",
)
output = click.option("--output", metavar="NAME", help="The output that holds the classes, where there are several.")
head = click.option(
    "--head",
    type=click.Choice(get_args(Head)),
    help="What makes probabilities of the outputs; none: they are. Default: as the network shows.",
)
labels = click.option(
    "--labels",
    metavar="FILE|A,B,C",
    help="The classes in the order of the outputs. Default: the run's, or the images' folders.",
)
imports = click.option(
    "--import",
    "imports",
    multiple=True,
    metavar="MODULE",
    help="Run this module, by name or .py file, for the classes that a Keras file names; repeatable.",
)
trust_lambda = click.option(
    "--trust-lambda", is_flag=True, help="Run the Python code inside a Keras file: its Lambda layers."
)
golden = click.option(
    "--golden", metavar="WHAT", help="Golden images to ship instead of test images: 'synthetic' or a folder."
)
licence = click.option(
    "--licence", metavar="TEXT", help="Of the network's images; stored in the model file and the bill of materials."
)
to_bundles = click.option(
    "--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Default: exports/bundles."
)
