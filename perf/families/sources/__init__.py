"""Where the networks come from: libraries, and networks in the styles of notebooks.

Nothing heavy is imported before a network is built, so that the page can be written without TensorFlow.
"""

from perf.families.sources import applications, keras_hub, kimm, notebooks
from perf.families.sources.network import Network

__all__ = ["NETWORKS", "SOURCES", "Network"]

SOURCES: dict[str, dict[str, Network]] = {
    "keras.applications": applications.NETWORKS,
    "keras-hub": keras_hub.NETWORKS,
    "kimm": kimm.NETWORKS,
    "notebooks": notebooks.NETWORKS,
}

NETWORKS: dict[str, Network] = {
    f"{source}/{name}": network for source, networks in SOURCES.items() for name, network in networks.items()
}
"""Networks by source and name, e.g. `kimm/RepVGGA0`."""
