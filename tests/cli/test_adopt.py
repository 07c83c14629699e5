"""What `bctk adopt` says of a file or an option that it cannot use: one line, and nothing is left behind."""

from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Refused
from tests.support.cli import Bctk
from tests.support.foreign import classifier


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A classifier of 8×8 pixels that nobody here made."""
    path = tmp_path / "net.onnx"
    onnx.save(classifier(), path)
    return path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--reference", "none.keras"), "none.keras: no such file"),
        (("--reference", "none.onnx"), "none.onnx: no such file; wanted an .onnx or .tflite file"),
        (("--reference", "nobody"), "no finished run 'nobody'"),
        (("--reference", "net.onnx", "--scale", "0..1"), "--scale 0..1: wanted none, 0-1, -1-1, imagenet, caffe, or"),
        (("--reference", "net.onnx", "--reference-scale", "x"), "--reference-scale x: wanted none, 0-1, "),
        (("--reference", "net.onnx", "--scale", "0-1", "--size", "9"), "takes images of 8×8 pixels, not 9×9"),
        (("--reference", "net.onnx", "--labels", "cat,cat"), "--labels cat,cat: 'cat' is there twice"),
        (("--reference", "net.onnx", "--labels", "a,b"), "has 3 classes, but there are 2 labels"),
        (("--reference", "net.onnx"), "what its 3 outputs stand for is not in the file"),
        (("--reference", "net.onnx", "--quantization", "int8"), "which is fp32, not int8; leave out --quantization"),
        (("--reference", "net.onnx", "--name", "a/b"), "'a/b' is no name of a bundle; give one with --name"),
        (("--reference", "net.onnx", "--labels", "a,b,c"), "no images to check the export on; say where they are with"),
        (("--reference", "net.onnx", "--channels", "grey", "--scale", "0-1"), "takes 3 channel(s), not grey"),
        (("--reference", "net.onnx", "--labels", "a,b,c", "--golden", "synthetic"), "say it with --scale none|0-1|"),
    ],
)
def test_an_option_that_does_not_go_with_the_file(
    options: tuple[str, ...], expected: str, file: Path, refused: Refused
) -> None:
    assert expected in refused("adopt", file, *options)


def test_a_file_that_is_none_is_refused_before_tensorflow_starts(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"<html>not found</html>")
    line = refused("adopt", "net.onnx", "--reference", "none.keras")
    assert "not an ONNX file" in line or "none.keras: no such file" in line
    assert "TensorFlow" not in line


def test_without_labelled_images_a_file_is_compared_on_synthetic_ones(bctk: Bctk, file: Path, tmp_path: Path) -> None:
    stated = ("--scale", "0-1", "--labels", "a,b,c", "--golden", "synthetic", "--name", "mine", "--out", "out")
    done = bctk("adopt", file, "--reference", file, *stated)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["out/mine-onnx-fp32", "next: bctk bench out/*"]
    checked = bctk("verify", tmp_path / "out" / "mine-onnx-fp32")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.splitlines()[-1] == "verified"
