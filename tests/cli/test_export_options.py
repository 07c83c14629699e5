"""What `bctk export` says of its options: kept bundles, patterns that fit nothing, forms that a format lacks."""

import re
import shlex
from pathlib import Path

import keras
import pytest

from tests.support.cli import Bctk


def test_a_second_export_keeps_the_bundles_unless_forced(bctk: Bctk, workspace: Path, tmp_path: Path) -> None:
    arguments = ("export", "tiny", "--quantize", "fp32", "--licence", "CC BY 4.0", "--out", tmp_path / "out")
    first = bctk(*arguments, cwd=workspace)
    assert first.returncode == 0, first.stderr
    manifest = tmp_path / "out" / "tiny-onnx-fp32" / "manifest.json"
    before = manifest.read_bytes()
    second = bctk(*arguments, cwd=workspace)
    assert second.stderr.splitlines() == [
        "  reused, as no input has changed: tiny-onnx-fp32 (--force exports them anew)"
    ]
    assert second.stdout == first.stdout
    assert manifest.read_bytes() == before
    forced = bctk(*arguments, "--force", cwd=workspace)
    assert "nothing has changed" not in forced.stderr


def test_a_dry_run_says_what_every_bundle_takes_and_writes_nothing(bctk: Bctk, workspace: Path, tmp_path: Path) -> None:
    forms = ("--format", "onnx", "--format", "tflite", "--quantize", "all", "--out", tmp_path / "out")
    done = bctk("export", "tiny", *forms, "--dry-run", cwd=workspace)
    assert done.returncode == 0, done.stderr
    *rows, total, searched = done.stdout.splitlines()
    sizes = {name: float(megabytes) * 1e6 for name, megabytes, *_ in map(str.split, rows)}
    made = workspace / "exports" / "bundles"
    assert set(sizes) == {path.name for path in made.iterdir()} - {"tiny-tflite-w8a16"}
    for name, size in sizes.items():
        real = sum(path.stat().st_size for path in (made / name).iterdir())
        assert abs(size - real) <= 0.1 * real + 0.06e6, name  # it is printed in tenths of a megabyte
    assert re.match(r"all: about \d+ s on this machine, up to \d\.\d GB of memory, \d\.\d MB in ", total)
    assert searched.startswith("an integer form that is not good enough")
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_what_is_there_takes_nothing(bctk: Bctk, workspace: Path) -> None:
    done = bctk("export", "tiny", "--format", "tflite", "--quantize", "all", "--dry-run", cwd=workspace)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "nothing to make\n"
    assert "reused, as no input has changed: tiny-tflite-fp32, tiny-tflite-fp16, " in done.stderr


def test_a_dry_run_refuses_what_the_export_would_refuse(bctk: Bctk, workspace: Path, tmp_path: Path) -> None:
    done = bctk("export", "tiny", "--data", tmp_path / "absent", "--dry-run", cwd=workspace)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")


def test_a_pattern_that_fits_nothing_names_layers_that_are_there(bctk: Bctk, workspace: Path, tmp_path: Path) -> None:
    done = bctk(
        *("export", "tiny", "--quantize", "int8-dynamic", "--keep-float", "stage_*", "--out", tmp_path / "out"),
        cwd=workspace,
    )
    assert done.returncode == 1
    assert "error: --keep-float 'stage_*' fits none of the " in done.stderr
    assert "hidden" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_form_that_one_of_the_formats_lacks_is_refused(bctk: Bctk, workspace: Path) -> None:
    done = bctk("export", "tiny", "--format", "tflite", "--quantize", "fp16-weights", cwd=workspace)
    assert done.returncode == 1
    assert done.stderr.startswith("error: tflite has no quantization 'fp16-weights'; it has fp32, ")


MODULE = """
import keras

print("this module talks")


@keras.saving.register_keras_serializable(package="own")
class Half(keras.layers.Layer):
    def call(self, x):
        return x / 2
"""


@pytest.mark.slow
def test_the_command_that_an_error_names_helps(bctk: Bctk, tmp_path: Path) -> None:
    (tmp_path / "own_half.py").write_text(MODULE)
    namespace = {"__name__": "own_half"}
    exec(MODULE, namespace)
    stack = [keras.layers.Rescaling(1 / 255), namespace["Half"](name="half"), keras.layers.GlobalAveragePooling2D()]  # type: ignore[operator]
    model = keras.Sequential([keras.Input((16, 16, 3)), *stack, keras.layers.Dense(3, activation="softmax")])
    model.save(tmp_path / "my net.keras")
    del keras.saving.get_custom_objects()["own>Half"]
    first = bctk("export", "my net.keras", "--golden", "synthetic", cwd=tmp_path)
    assert (first.returncode, first.stdout) == (1, "")
    (line,) = first.stderr.splitlines()
    assert line.startswith("error: my net.keras: layer 'half' (Half) needs 'Half' of module own_half; if you trust")
    command = shlex.split(line.rpartition("run it: ")[2])
    assert command == ["bctk", "export", "my net.keras", "--import", "own_half"]
    second = bctk(*command[1:], "--golden", "synthetic", cwd=tmp_path)
    assert second.returncode == 0, second.stderr
    assert second.stderr.splitlines()[0] == "  --import own_half: runs this module's code"
    assert second.stdout.splitlines() == ["exports/bundles/my net-onnx-fp32", "next: bctk bench"]
