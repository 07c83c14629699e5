"""What a bundle is made of, in the form that tools for software bills of materials read.

CycloneDX 1.6 (ECMA-424): https://cyclonedx.org/docs/1.6/json/. Everything in it follows from the manifest: the same
manifest gives the same bytes, and what the manifest does not know is left out. There is no time in it, so that two
exports of the same have the same bill.
"""

import hashlib
import re
import uuid
from typing import Any

import msgspec

from bctoolkit.bom.model_card import model_card
from bctoolkit.manifest import ArrayFile, Manifest

__all__ = ["bill_of_materials"]

Json = dict[str, Any]

MODEL, NETWORK, DATASET = "model", "network", "dataset"
"""References within the document."""


def bill_of_materials(manifest: Manifest) -> Json:
    """The document, as plain values.

    Args:
        manifest: of the bundle, which need not name the bill itself.
    """
    components = [_network(manifest), *_dataset(manifest), *_adopted(manifest), *_files(manifest)]
    body = {
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [_tool(name, version) for name, version in sorted(manifest.tools.items())]},
            "component": _model(manifest),
        },
        "components": components,
        "dependencies": [
            {"ref": MODEL, "dependsOn": [component["bom-ref"] for component in components]},
            *({"ref": component["bom-ref"]} for component in components),
        ],
    }
    digest = hashlib.sha256(msgspec.json.encode(body)).digest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": uuid.UUID(bytes=digest[:16], version=5).urn,
        **body,
    }


def _model(manifest: Manifest) -> Json:
    """The artifact."""
    return {
        "type": "machine-learning-model",
        "bom-ref": MODEL,
        "name": manifest.name,
        "description": f"Image classifier in {manifest.model.file}",
        "hashes": _sha256(manifest.model.sha256),
        "modelCard": model_card(manifest, DATASET if _has_dataset(manifest) else None),
        "properties": _properties(
            file=manifest.model.file,
            bytes=manifest.model.bytes,
            format=manifest.format,
            quantization=manifest.quantization,
            keep_float=" ".join(manifest.keep_float),
        ),
    }


def _network(manifest: Manifest) -> Json:
    """The trained network that the artifact was made of."""
    return {
        "type": "machine-learning-model",
        "bom-ref": NETWORK,
        "name": manifest.source.run,
        "description": "The trained Keras network that the artifact has to answer like",
        **_known(hashes=_sha256(manifest.source.model_sha256)),
        **_known(properties=_properties(recipe_sha256=manifest.source.recipe_sha256)),
    }


def _has_dataset(manifest: Manifest) -> bool:
    return bool(manifest.source.dataset_sha256 or manifest.licence)


def _dataset(manifest: Manifest) -> list[Json]:
    """The images that the network was trained on, as far as they are known."""
    if not _has_dataset(manifest):
        return []
    component = {
        "type": "data",
        "bom-ref": DATASET,
        "name": f"images of {manifest.source.run}",
        "description": "The images that the network was trained, validated and tested on",
        **_known(licenses=[{"license": {"name": manifest.licence}}] if manifest.licence else []),
        "data": [{"type": "dataset", "name": "labelled images"}],
        **_known(properties=_properties(dataset_sha256=manifest.source.dataset_sha256)),
    }
    return [component]


def _adopted(manifest: Manifest) -> list[Json]:
    """The file made elsewhere that the artifact was made of."""
    adopted = manifest.adopted
    if adopted is None:
        return []
    component = {
        "type": "file",
        "bom-ref": "adopted",
        "name": adopted.file,
        "description": "The file made elsewhere that the artifact was made of",
        "hashes": _sha256(adopted.sha256),
        **_known(properties=_properties(producer=adopted.producer, arithmetic=adopted.arithmetic)),
    }
    return [component]


def _files(manifest: Manifest) -> list[Json]:
    """The files beside the artifact."""
    rows = (
        (manifest.golden, "Golden images with the reference's probabilities"),
        (manifest.reference, "The reference's probabilities of the test part"),
        (manifest.calibration, "Hashes of the images that set the ranges of activations"),
    )
    return [_file(entry, description) for entry, description in rows if entry is not None]


def _file(entry: ArrayFile, description: str) -> Json:
    return {
        "type": "file",
        "bom-ref": entry.file,
        "name": entry.file,
        "description": description,
        "hashes": _sha256(entry.sha256),
        "properties": _properties(count=entry.count, images=entry.images),
    }


def _tool(name: str, version: str) -> Json:
    """A package that took part in the export."""
    if name == "python":
        return {"type": "platform", "name": name, "version": version}
    package = re.sub(r"[-_.]+", "-", name).lower()
    return {"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{package}@{version}"}


def _sha256(content: str) -> list[Json]:
    return [{"alg": "SHA-256", "content": content}] if content else []


def _properties(**values: object) -> list[Json]:
    """Those of the values that are known, under names of our own."""
    return [
        {"name": f"bctoolkit:{key}", "value": str(value)} for key, value in values.items() if value not in ("", None)
    ]


def _known(**lists: list[Json]) -> Json:
    """Those of the lists that hold something."""
    return {key: value for key, value in lists.items() if value}
