"""The networks: ConvNeXt by table, the original project's baseline CNN, and their pre-trained weights.

Importing this package registers the layers that a saved `.keras` file of ours names, so it is what `load_model` needs.
"""

from bctoolkit.networks.build import NETWORKS, build
from bctoolkit.networks.files import load_model
from bctoolkit.networks.layers import Gelu, LayerScale, StochasticDepth, has_graph, leaves
from bctoolkit.networks.weights import load_weights
from bctoolkit.trust import LoadOptions

__all__ = [
    "NETWORKS",
    "Gelu",
    "LayerScale",
    "LoadOptions",
    "StochasticDepth",
    "build",
    "has_graph",
    "leaves",
    "load_model",
    "load_weights",
]
