"""The dossier's folder.

::

    <folder>/
      dossier.html    the page, for reading and printing
      dossier.json    what it is of, its sections, known limits, and the hash of each file beside it
      SHA256SUMS      the same hashes and that of dossier.json, for `sha256sum -c`
      BUNDLE.sha256   those of the bundle's files, for the same in the bundle's folder
      manifest.json  bom.cdx.json  model.sig                copies of the bundle's documents
      report-1.json  evaluation-1.json …                    copies of the measurements
      run.json  recipe.toml  history.json  metrics.json     copies of the run's documents
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bctoolkit.bundle import MANIFEST
from bctoolkit.documents import to_json
from bctoolkit.dossier.document import (
    DossierDocument,
    DossierFile,
    DossierSection,
    DossierSignature,
    MissingPiece,
)
from bctoolkit.dossier.evidence import SourceFile
from bctoolkit.dossier.limits import known_limits
from bctoolkit.dossier.page import render, sections
from bctoolkit.dossier.section import Section, plain
from bctoolkit.dossier.sources import Sources, gather
from bctoolkit.files import atomic_folder, sha256_bytes
from bctoolkit.signing import TrustedKey
from bctoolkit.system import utc_now, versions

__all__ = ["DOCUMENT", "PAGE", "sums", "write"]

DOCUMENT, PAGE, SUMS, BUNDLE_SUMS = "dossier.json", "dossier.html", "SHA256SUMS", "BUNDLE.sha256"
OTHERS = (
    *(PAGE, SUMS, BUNDLE_SUMS, MANIFEST, "bom.cdx.json", "model.sig", "report-*.json", "evaluation-*.json"),
    *("run.json", "recipe.toml", "history.json", "metrics.json"),
)
"""What the folder of a dossier holds besides the document."""


def write(
    bundle: Path,
    target: Path,
    *,
    reports: Sequence[Path] = (),
    evaluations: Sequence[Path] = (),
    run: Path | None = None,
    trusted: Sequence[TrustedKey] | None = None,
) -> DossierDocument:
    """Write the dossier of a bundle into the folder `target`.

    Args:
        bundle: its folder.
        target: the dossier's folder.
        reports: folders of reports, or their `report.json`.
        evaluations: what `bctk evaluate` writes or prints as JSON; of the bundle or of its network.
        run: the run's folder that the bundle was made of.
        trusted: public keys of which one must have signed the bundle; None asks for no signature.

    Raises:
        BctkError: see `sources.gather`; or `target` is something else, and is left alone.
        OSError: the disk does not take it.
    """
    with atomic_folder(target, DOCUMENT, OTHERS) as folder:
        sources = gather(bundle, reports, evaluations, run, trusted)
        parts, limits, created = sections(sources), known_limits(sources), utc_now()
        page = SourceFile(PAGE, render(sources, parts, limits, created).encode(), "the page")
        listed = SourceFile(BUNDLE_SUMS, _bundle_sums(sources), "hashes of the bundle's files")
        files = [page, listed, *sources.files]
        document = _document(sources, parts, limits, files, created)
        content = to_json(document)
        for file in files:
            (folder / file.name).write_bytes(file.content)
        (folder / DOCUMENT).write_bytes(content)
        hashes = {file.name: file.sha256 for file in files} | {DOCUMENT: sha256_bytes(content)}
        (folder / SUMS).write_bytes(sums(hashes))
    return document


def _document(
    sources: Sources, parts: Sequence[Section], limits: Sequence[str], files: Sequence[SourceFile], created: str
) -> DossierDocument:
    return DossierDocument(
        bundle=sources.bundle.manifest.name,
        model_sha256=sources.bundle.manifest.model.sha256,
        manifest_sha256=sources.manifest.source.sha256,
        signature=_signature(sources),
        sections=tuple(
            DossierSection(
                part.heading,
                tuple(file.name for file in dict.fromkeys(part.files)),
                tuple(MissingPiece(*each) for each in part.missing),
            )
            for part in parts
        ),
        limits=tuple(map(plain, limits)),
        files=tuple(DossierFile(file.name, file.sha256, len(file.content), file.what) for file in files),
        tools=versions("bctoolkit", "numpy", "scipy"),
        created=created,
    )


def _signature(sources: Sources) -> DossierSignature:
    if sources.bundle.signed_by:
        return DossierSignature("trusted", sources.bundle.signed_by)
    return DossierSignature("none" if sources.signature is None else "not checked")


def _bundle_sums(sources: Sources) -> bytes:
    return sums(sources.bundle.files | {MANIFEST: sources.manifest.source.sha256})


def sums(hashes: Mapping[str, str]) -> bytes:
    """Lines that `sha256sum -c` reads: a name with a backslash or a line break is escaped, and a backslash says so."""
    lines = []
    for name, digest in hashes.items():
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")
    return "".join(lines).encode()
