"""Keys: made once, never overwritten, and each half refused where the other belongs."""

import os
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from bctoolkit.errors import RecipeError
from bctoolkit.signing import CURVES, PrivateKey, PublicKey, new_key, read_private_key, read_public_keys, write_pair

MESSAGE = b"a message"


@pytest.mark.parametrize("curve", CURVES)
def test_a_pair_comes_back_as_it_was_written(curve: str, tmp_path: Path) -> None:
    private, public = tmp_path / "new" / "a.key.pem", tmp_path / "new" / "a.pub.pem"
    write_pair(new_key(curve), private, public)
    key, (reader, same) = read_private_key(private), read_public_keys([public, public.read_bytes()])
    assert key.public.hint == reader.hint == same.hint
    assert reader.signed(MESSAGE, key.sign(MESSAGE))
    assert not reader.signed(MESSAGE + b".", key.sign(MESSAGE))
    assert not reader.signed(MESSAGE, b"no signature")


def test_only_its_owner_reads_the_private_key(key: PrivateKey, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_pair(key, tmp_path / "key", tmp_path / "pub")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize("existing", ["key", "pub"])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_key_is_never_overwritten(key: PrivateKey, tmp_path: Path, existing: str, dangling: bool) -> None:
    path = tmp_path / existing
    path.symlink_to(tmp_path / "elsewhere") if dangling else path.write_text("mine")
    with pytest.raises(RecipeError, match=rf"{existing}: exists, and a key is never overwritten"):
        write_pair(key, tmp_path / "key", tmp_path / "pub")
    assert [each.name for each in tmp_path.iterdir()] == [existing]


def test_half_a_pair_is_not_left(key: PrivateKey, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be written"):
        write_pair(key, tmp_path / "key", tmp_path / "absent" / "pub")
    assert list(tmp_path.iterdir()) == []


def test_openssl_reads_what_was_written(key: PrivateKey, tmp_path: Path) -> None:
    try:
        subprocess.run(["openssl", "version"], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl")
    write_pair(key, tmp_path / "key", tmp_path / "pub")
    command = ["openssl", "pkey", "-in", str(tmp_path / "key"), "-pubout"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == (tmp_path / "pub").read_bytes()


def private_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


P521, ED25519 = ec.generate_private_key(ec.SECP521R1()), ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no private key as PEM"),
        (b"\0" * 99, "holds no private key as PEM"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no private key as PEM"),
        (b"\0" * 70_000, "70,000 bytes; wanted at most 65,536"),
        (public_pem(P521), "is a public key, which can only check signatures"),
        (private_pem(P521), "a key of the kind secp521r1; wanted ECDSA on p256 or p384"),
        (private_pem(ED25519), "a key of the kind .*Ed25519PrivateKey; wanted ECDSA"),
        (
            P521.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")),
            "is encrypted; decrypt it",
        ),
    ],
)
def test_what_cannot_sign_is_refused_in_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(RecipeError, match=rf"key\.pem: {problem}") as caught:
        read_private_key(tmp_path / "key.pem")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "holds no public key as PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "holds no public key as PEM"),
        (private_pem(P521), "is a private key, which belongs where bundles are signed"),
        (public_pem(P521), "a key of the kind secp521r1; wanted ECDSA on p256 or p384"),
        (public_pem(ED25519), "a key of the kind .*Ed25519PublicKey; wanted ECDSA"),
    ],
)
def test_what_cannot_be_trusted_is_refused_in_one_line(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "key.pem").write_bytes(content)
    for source, name in ((tmp_path / "key.pem", r"key\.pem"), (content, "trusted key")):
        with pytest.raises(RecipeError, match=rf"{name}: {problem}"):
            read_public_keys([source])


@pytest.mark.parametrize("path", ["absent.pem", ".", "a\0b", "/dev/zero", "pipe"])
def test_a_file_that_is_no_key_is_refused_in_one_line(path: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecipeError) as caught:
        read_private_key(tmp_path / path)
    assert "\n" not in str(caught.value)


def test_an_empty_list_of_trusted_keys_is_refused_not_taken_for_none() -> None:
    with pytest.raises(RecipeError, match="the list of trusted keys is empty"):
        read_public_keys([])


@pytest.mark.parametrize("keys", ["a.pem", b"pem", Path("a.pem")])
def test_one_key_that_is_no_list_is_refused(keys: str) -> None:
    with pytest.raises(RecipeError, match="trusted keys are a list"):
        read_public_keys(keys)


def test_a_hint_is_what_others_compute(other_key: PrivateKey) -> None:
    assert PublicKey(other_key.key.public_key()).hint == other_key.public.hint
    assert len(other_key.public.hint) == 64
