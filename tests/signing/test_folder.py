"""A signed bundle is trusted as it was signed, and in no other state."""

import base64
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bctoolkit import bundle as bundles
from bctoolkit.errors import BundleCorrupt, BundleError, BundleUntrusted
from bctoolkit.signing import SIGNATURE, PrivateKey, new_key, verify_folder
from bctoolkit.signing.envelope import Envelope, message
from bctoolkit.signing.statement import encode, files_of
from tests.support.bundles import SIGNED

FILES = sorted(path.name for path in SIGNED.iterdir())


def read(folder: Path, *keys: PrivateKey) -> bundles.Bundle:
    return bundles.read(folder, [key.public.pem for key in keys])


@pytest.mark.parametrize("curve", ["p256", "p384"])
def test_a_bundle_is_trusted_by_the_key_that_signed_it(signed: Path, curve: str) -> None:
    key = new_key(curve)
    bundles.sign(signed, key)
    opened = read(signed, key)
    assert opened.signed_by == key.public.hint
    assert bundles.read(signed).signed_by == ""


def test_any_of_several_trusted_keys_will_do(signed: Path, key: PrivateKey, other_key: PrivateKey) -> None:
    assert read(signed, other_key, key).signed_by == key.public.hint


def test_a_signature_covers_every_other_file(signed: Path) -> None:
    envelope = Envelope.decode((signed / SIGNATURE).read_bytes())
    assert sorted(files_of(envelope.payload)) == [name for name in FILES if name != SIGNATURE]


def test_a_copy_under_another_name_is_trusted(signed: Path, key: PrivateKey) -> None:
    read(signed.rename(signed.with_name("elsewhere")), key)


def add(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(b"")


def link(folder: Path) -> None:
    """The same content behind a link."""
    (folder / "golden.npz").rename(folder.parent / "golden.npz")
    (folder / "golden.npz").symlink_to(folder.parent / "golden.npz")


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda folder: (folder / SIGNATURE).unlink(), "not signed: it holds no model.sig"),
        (lambda folder: bundles.sign(folder, new_key()), r"is by the key \w{16}…, and trusted is"),
        (lambda folder: (folder / "reference.npz").write_bytes(b""), "'reference.npz' was changed after"),
        (lambda folder: (folder / "bom.cdx.json").write_bytes(b"{}"), "'bom.cdx.json' was changed after"),
        (lambda folder: (folder / "manifest.json.sha256").unlink(), "'manifest.json.sha256' was signed and is missing"),
        (lambda folder: (folder / "reference.npz").unlink(), "'reference.npz' was signed and is missing"),
        (add("calibration.npz"), "'calibration.npz' was added after"),
        (add(".hidden"), "'.hidden' was added after"),
        (add(".gitignore"), "'.gitignore' was added after"),
        (add("model.sig.orig"), "'model.sig.orig' was added after"),
        (add("a\nb\x1b[2J"), r"'a\\nb\\x1b\[2J' was added after"),
        (lambda folder: (folder / "inner").mkdir(), "'inner' was added after"),
        (lambda folder: (folder / "l").symlink_to("golden.npz"), "'l' was added after"),
        (link, "'golden.npz' is a link, a folder or a device"),
        (lambda folder: os.mkfifo(folder / "pipe"), "'pipe' was added after"),
    ],
)
def test_another_bundle_than_was_signed_is_refused_and_the_difference_told(
    signed: Path, key: PrivateKey, change: Callable[[Path], object], refusal: str
) -> None:
    change(signed)
    with pytest.raises(BundleUntrusted, match=refusal) as caught:
        read(signed, key)
    assert str(signed) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
@pytest.mark.parametrize("name", [SIGNATURE, "model.onnx"])
def test_what_is_no_file_is_neither_waited_for_nor_followed(
    signed: Path, key: PrivateKey, name: str, make: Callable[[Path], object]
) -> None:
    (signed / name).unlink()
    make(signed / name)
    with pytest.raises(BundleUntrusted, match="is a link, a folder or a device"):
        read(signed, key)


@pytest.fixture(scope="module")
def reused(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PrivateKey]:
    """A signed bundle for tests that put each file back as it was."""
    folder, key = Path(shutil.copytree(SIGNED, tmp_path_factory.mktemp("signed") / "bundle")), new_key()
    bundles.sign(folder, key)
    return folder, key


@pytest.mark.parametrize("name", FILES)
@given(data=st.data())
@settings(max_examples=50)
def test_one_changed_byte_is_refused_wherever_it_is(
    reused: tuple[Path, PrivateKey], name: str, data: st.DataObject
) -> None:
    folder, key = reused
    content = (folder / name).read_bytes()
    position = data.draw(st.integers(0, len(content) - 1), "position")
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[position]), "byte")
    try:
        (folder / name).write_bytes(content[:position] + bytes([byte]) + content[position + 1 :])
        with pytest.raises(BundleUntrusted) as caught:
            read(folder, key)
    finally:
        (folder / name).write_bytes(content)
    assert "\n" not in str(caught.value)


@pytest.mark.soak
def test_every_byte_of_a_signature_counts(reused: tuple[Path, PrivateKey]) -> None:
    folder, key = reused
    content = (folder / SIGNATURE).read_bytes()
    try:
        for position in range(len(content)):
            for change in (1, 2, 4, 8, 16, 32, 64, 128):
                changed = bytes([content[position] ^ change])
                (folder / SIGNATURE).write_bytes(content[:position] + changed + content[position + 1 :])
                with pytest.raises(BundleUntrusted):
                    read(folder, key)
    finally:
        (folder / SIGNATURE).write_bytes(content)


def changed(content: bytes, *path: Any, value: Any) -> bytes:
    """A signature file with one value replaced, or taken away where it is `...`."""
    raw = json.loads(content)
    inner = raw
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return json.dumps(raw).encode()


MATERIAL, DSSE = "verificationMaterial", "dsseEnvelope"


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda _: b"null",
        lambda _: b"\xff\xfe",
        lambda _: b"[" * 100_000,
        lambda _: b'{"mediaType":' * 50_000,
        lambda _: b" " * 2_000_000,
        lambda content: changed(content, "mediaType", value="application/vnd.dev.sigstore.bundle.v0.2+json"),
        lambda content: changed(content, "novelty", value=1),
        lambda content: changed(content, MATERIAL, value={"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}),
        lambda content: changed(content, MATERIAL, "publicKey", value={}),
        lambda content: changed(content, MATERIAL, "publicKey", "hint", value="../../../etc/passwd"),
        lambda content: changed(content, MATERIAL, "tlogEntries", value=[{}]),
        lambda content: changed(content, DSSE, "payloadType", value="text/plain"),
        lambda content: changed(content, DSSE, "payload", value=10**400),
        lambda content: changed(content, DSSE, "payload", value="not base64"),
        lambda content: changed(content, DSSE, "payload", value="é"),
        lambda content: changed(content, DSSE, "payload", value="AB=="),
        lambda content: changed(content, DSSE, "signatures", value=[]),
        lambda content: changed(content, DSSE, "signatures", value=json.loads(content)[DSSE]["signatures"] * 2),
        lambda content: changed(content, DSSE, "signatures", 0, "sig", value=""),
        lambda content: changed(content, DSSE, "signatures", 0, "sig", value="A" * 2000),
    ],
)
def test_a_file_that_is_no_signature_is_refused_in_one_line(
    signed: Path, key: PrivateKey, change: Callable[[bytes], bytes]
) -> None:
    (signed / SIGNATURE).write_bytes(change((signed / SIGNATURE).read_bytes()))
    with pytest.raises(BundleUntrusted, match=r"model\.sig: ") as caught:
        read(signed, key)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def statement(**changes: Any) -> Callable[[bytes], bytes]:
    """A change of the statement's top level."""
    return lambda payload: json.dumps(json.loads(payload) | changes).encode()


def predicate(**changes: Any) -> Callable[[bytes], bytes]:
    def change(payload: bytes) -> bytes:
        raw = json.loads(payload)
        return json.dumps(raw | {"predicate": raw["predicate"] | changes}).encode()

    return change


RESOURCE = {"name": "../escape", "algorithm": "sha256", "digest": "0" * 64}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda _: b"", "cannot be read"),
        (lambda _: b"[]", "cannot be read"),
        (lambda _: b"[" * 500_000, "cannot be read"),
        (statement(_type="https://in-toto.io/Statement/v0.1"), "is a statement of another kind"),
        (statement(predicateType="https://slsa.dev/provenance/v1"), "is a statement of another kind: 'https://slsa"),
        (statement(subject=[]), "cannot be read"),
        (statement(subject=[{"name": "x", "digest": {"sha256": "0" * 64}}]), "has another digest of the whole"),
        (predicate(serialization={"method": "shards", "hash_type": "sha256"}), "is made over 'shards' by 'sha256'"),
        (predicate(serialization={"method": "files", "hash_type": "blake2b"}), "is made over 'files' by 'blake2b'"),
        (predicate(resources=[RESOURCE | {"algorithm": "md5"}]), "is made over 'files'"),
        (predicate(resources=[RESOURCE, RESOURCE]), "names a file twice"),
        (predicate(resources=[RESOURCE | {"digest": "0" * 63}]), "cannot be read"),
        (predicate(resources=[RESOURCE | {"name": ""}]), "cannot be read"),
        (predicate(resources=[RESOURCE | {"name": "x" * 1001}]), "cannot be read"),
        (predicate(resources=[RESOURCE | {"name": str(i)} for i in range(1001)]), "cannot be read"),
        (predicate(resources=[]), "cannot be read"),
    ],
)
def test_a_trusted_key_that_signed_something_else_is_refused(
    signed: Path, key: PrivateKey, change: Callable[[bytes], bytes], problem: str
) -> None:
    payload = change(Envelope.decode((signed / SIGNATURE).read_bytes()).payload)
    envelope = Envelope(key.public.hint, payload, key.sign(message(payload)))
    (signed / SIGNATURE).write_bytes(envelope.encode())
    with pytest.raises(BundleUntrusted, match=f"model.sig: {problem}"):
        read(signed, key)


def test_a_signed_path_is_compared_and_never_opened(signed: Path, key: PrivateKey) -> None:
    files = files_of(Envelope.decode((signed / SIGNATURE).read_bytes()).payload)
    (signed.parent / "escape").write_bytes(b"")
    payload = encode("bundle", files | {"../escape": "0" * 64}, ())
    (signed / SIGNATURE).write_bytes(Envelope(key.public.hint, payload, key.sign(message(payload))).encode())
    with pytest.raises(BundleUntrusted, match=r"'\.\./escape' was signed and is missing"):
        read(signed, key)


def test_a_field_that_a_later_specification_adds_is_passed_over(signed: Path, key: PrivateKey) -> None:
    payload = predicate(novelty=1)(Envelope.decode((signed / SIGNATURE).read_bytes()).payload)
    (signed / SIGNATURE).write_bytes(Envelope(key.public.hint, payload, key.sign(message(payload))).encode())
    read(signed, key)


def test_what_is_used_is_what_was_verified(signed: Path, key: PrivateKey) -> None:
    """A file that is exchanged after the signature was checked is not used."""
    opened = read(signed, key)
    for name, use in (("model.onnx", opened.model), ("golden.npz", opened.golden), ("reference.npz", opened.reference)):
        (signed / name).write_bytes(b"exchanged")
        with pytest.raises(BundleCorrupt, match=name):
            use()


def test_a_manifest_that_is_exchanged_while_it_is_verified_is_not_used(
    signed: Path, key: PrivateKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verify_and_exchange(folder: Path, trusted: Any) -> Any:
        signature = verify_folder(folder, trusted)
        content = (folder / "manifest.json").read_bytes().replace(b'"mean_colour"', b'"another"')
        (folder / "manifest.json").write_bytes(content)
        return signature

    monkeypatch.setattr("bctoolkit.bundle.opened.verify_folder", verify_and_exchange)
    with pytest.raises(BundleUntrusted, match=r"manifest\.json: is not what was signed"):
        read(signed, key)


def test_only_a_whole_bundle_is_signed(signed: Path, key: PrivateKey) -> None:
    before = (signed / SIGNATURE).read_bytes()
    (signed / "notes.txt").write_text("mine")
    with pytest.raises(BundleUntrusted, match=r"'notes\.txt' is no part of the bundle; remove it"):
        bundles.sign(signed, key)
    (signed / "notes.txt").unlink()
    (signed / "reference.npz").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="reference"):
        bundles.sign(signed, key)
    assert (signed / SIGNATURE).read_bytes() == before


def test_a_payload_is_read_only_after_its_signature(signed: Path, key: PrivateKey) -> None:
    raw = json.loads((signed / SIGNATURE).read_bytes())
    raw[DSSE]["payload"] = base64.b64encode(b"not even JSON").decode()
    (signed / SIGNATURE).write_text(json.dumps(raw))
    with pytest.raises(BundleUntrusted, match="was changed: the key did not sign this content"):
        read(signed, key)
