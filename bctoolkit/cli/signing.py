"""`bctk keygen` and `bctk sign`, and the options that name keys."""

from pathlib import Path

import click

from bctoolkit.cli.output import echo
from bctoolkit.cli.shared import require_extras

__all__ = ["Signer", "keygen", "sign", "signing_key", "trusted_keys"]

signing_key = click.option(
    "--sign",
    metavar="KEY",
    type=click.Path(path_type=Path),
    help="Sign each bundle with this private key, made by `bctk keygen`.",
)

trusted_keys = click.option(
    "--trusted",
    multiple=True,
    metavar="KEY",
    type=click.Path(path_type=Path),
    help="Refuse a bundle that is not, file by file, as the owner of this public key signed it; repeatable.",
)


class Signer:
    """Signs with the key of a file; does nothing where there is none.

    Raises:
        RecipeError: the file holds no key to sign with.
    """

    def __init__(self, path: Path | None) -> None:
        if path is not None:
            require_extras("sign")
            from bctoolkit.signing import read_private_key

        self._key = None if path is None else read_private_key(path)

    def sign(self, bundle: Path) -> None:
        """Write `model.sig` into a bundle."""
        if self._key is not None:
            from bctoolkit.bundle import sign

            sign(bundle, self._key)


@click.command()
@click.option(
    "--out",
    default="signing",
    show_default=True,
    metavar="[DIR/]NAME",
    help="Writes NAME.key.pem and NAME.pub.pem, never over a file that exists.",
    type=click.Path(path_type=Path),
)
@click.option(
    "--curve", type=click.Choice(["p256", "p384"]), default="p256", show_default=True, help="Elliptic curve of the key."
)
def keygen(out: Path, curve: str) -> None:
    """Make a key pair that signs bundles: ECDSA, as OpenSSF Model Signing takes it.

    \b
    Example:  bctk keygen --out keys/lab
    """
    require_extras("sign")
    from bctoolkit.signing import new_key, write_pair

    key = new_key(curve)
    private, public = (out.with_name(f"{out.name}.{kind}.pem") for kind in ("key", "pub"))
    write_pair(key, private, public)
    echo(f"{private}: the private key. Whoever has it signs in your name: keep it where you export, in no repository")
    echo(f"{public}: the public key {key.public.hint[:16]}…. Put it on each device, by a way that you trust")
    echo(f"next: bctk export --sign {private}, and on the device: bctk verify BUNDLE --trusted {public}")


@click.command()
@click.argument("bundles", nargs=-1, required=True, metavar="BUNDLE...", type=click.Path(path_type=Path))
@click.option(
    "--key", required=True, metavar="KEY", type=click.Path(path_type=Path), help="The private key that signs."
)
def sign(bundles: tuple[Path, ...], key: Path) -> None:
    """Sign bundles that exist, each checked against its hashes before; an earlier signature is replaced.

    `model.sig` is in the form of OpenSSF Model Signing 1.0 and covers every other file.

    \b
    Example:  bctk sign exports/bundles/atto-onnx-fp32 --key keys/lab.key.pem
    """
    signer = Signer(key)
    for bundle in bundles:
        signer.sign(bundle)
        echo(f"{bundle}: signed")
