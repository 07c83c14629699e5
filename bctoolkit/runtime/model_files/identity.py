"""Whether a bundle's model file was made for the manifest beside it, seen before an engine gets it."""

from bctoolkit.bundle import Bundle
from bctoolkit.documents import decode_json, parse
from bctoolkit.documents.formats import lookup
from bctoolkit.errors import BundleCorrupt
from bctoolkit.lazy import attribute
from bctoolkit.manifest import Identity
from bctoolkit.runtime.model_files.ports import classifier_ports, require_ports

__all__ = ["identity_of", "model_file"]

JSON, TEXT = ("labels", "input"), ("source_sha256",)
"""Properties of a model file that are fields of its identity, and how they are written."""


def model_file(opened: Bundle) -> bytes:
    """The artifact's bytes, which agree with the manifest in hash, labels, input and source, and hold nothing else.

    Raises:
        BundleCorrupt: the file is missing, was changed, was made for another bundle, or takes, gives or holds what it
            should not.
    """
    manifest, model, name = opened.manifest, opened.model(), opened.manifest.model.file
    wanted = classifier_ports(manifest.input, len(manifest.labels))
    require_ports(model, manifest.format, wanted, str(opened.path / name), BundleCorrupt)
    opened.require_identity(name, identity_of(opened, model))
    return model


def identity_of(opened: Bundle, model: bytes) -> Identity:
    """What a model file states of what it was made for; nothing where it cannot be read, which its engine tells.

    Raises:
        BundleCorrupt: it states what cannot be read.
    """
    source = str(opened.path / opened.manifest.model.file)
    properties = attribute(lookup(opened.manifest.format).properties)(model)
    raw = {key: properties[key] for key in TEXT if key in properties}
    for key in JSON:
        if key in properties:
            text = f"{source}: {key}"
            raw[key] = decode_json(properties[key].encode(), text, BundleCorrupt, "copy the bundle again")
    return parse(Identity, raw, source, BundleCorrupt)
