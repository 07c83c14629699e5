"""Code that a model file names: run where the user names its module, and not otherwise."""

import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from bctoolkit.errors import WeightsError
from bctoolkit.networks import LoadOptions, has_graph, load_model
from bctoolkit.networks.code import sha256_of_modules

SOURCE = '''
import pathlib
import keras

pathlib.Path(__file__).with_name("was_run").touch()


class Half(keras.layers.Layer):
    def call(self, x):
        return x * 0.5


class Called(keras.Model):
    """Subclassed: Keras knows no graph of it."""

    def __init__(self, classes=3, **options):
        super().__init__(**options)
        self.classes = classes
        self.convolution = keras.layers.Conv2D(4, 3, activation="relu")
        self.dropout = keras.layers.Dropout(0.5)
        self.head = keras.layers.Dense(classes, activation="softmax")

    def call(self, x, training=None):
        x = self.dropout(self.convolution(x / 255.0), training=training)
        return self.head(keras.ops.mean(x, axis=(1, 2)))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}


class Built(keras.Model):
    """Functional, in a class of its own."""

    def __init__(self, classes=3, **options):
        image = keras.Input((8, 8, 3))
        x = keras.layers.GlobalAveragePooling2D()(image)
        super().__init__(image, keras.layers.Dense(classes, activation="softmax")(x), **options)
        self.classes = classes

    def get_config(self):
        return {"classes": self.classes, "name": self.name}
'''

IMAGES = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)).astype(np.float32)


@pytest.fixture(autouse=True)
def _no_traces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith(("own_", "imported_own_")):
            del sys.modules[name]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module of the user's, not yet run."""
    return write(tmp_path / "own_layers.py", SOURCE)


def write(path: Path, source: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return path


def save(path: Path, module: Path, kind: str) -> Any:
    """Save a network that uses a class of the module, then forget the module; returns its answers."""
    sys.path.insert(0, str(module.parent))
    own: Any = __import__(module.stem)
    if kind == "Half":
        stack = [own.Half(name="half"), layers.GlobalAveragePooling2D(), layers.Dense(3)]
        model = keras.Sequential([keras.Input((8, 8, 3)), *stack])
    elif kind == "nested":
        image = keras.Input((8, 8, 3))
        model = keras.Model(image, own.Called(name="inner")(image))
    else:
        model = getattr(own, kind)()
    answers = np.asarray(model(IMAGES))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(path)
    sys.path.remove(str(module.parent))
    del sys.modules[module.stem]
    (module.parent / "was_run").unlink()
    return answers


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("named", ["own_layers", "own_layers.py"])
def test_a_module_is_run_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Path, suffix: str, named: str
) -> None:
    answers = save(tmp_path / f"model{suffix}", module, "Half")
    monkeypatch.chdir(tmp_path)
    model = load_model(Path(f"model{suffix}"), LoadOptions(imports=(named,)))
    np.testing.assert_array_equal(model(IMAGES), answers)


@pytest.mark.parametrize("kind", ["Half", "Called", "Built", "nested"])
def test_nothing_is_run_that_is_not_named_and_the_advice_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Path, kind: str
) -> None:
    answers = save(tmp_path / "model.keras", module, kind)
    monkeypatch.chdir(tmp_path)
    sys.path.append(str(tmp_path))  # where Keras would find it, if it looked
    with pytest.raises(WeightsError) as caught:
        load_model(Path("model.keras"))
    command = str(caught.value).rpartition("run it: bctk export model.keras ")[2].split()
    assert command[::2] == ["--import"]
    assert not (tmp_path / "was_run").exists()
    model = load_model(Path("model.keras"), LoadOptions(imports=tuple(command[1::2])))
    assert (tmp_path / "was_run").exists()
    np.testing.assert_allclose(model(IMAGES), answers, atol=1e-6)


def test_a_functional_model_in_a_class_of_its_own_keeps_its_graph(tmp_path: Path, module: Path) -> None:
    save(tmp_path / "model.keras", module, "Built")
    model = load_model(tmp_path / "model.keras", LoadOptions(imports=(str(module),)))
    assert has_graph(model)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "GlobalAveragePooling2D", "Dense"]


def test_a_subclassed_model_is_one_operation_of_a_graph(tmp_path: Path, module: Path) -> None:
    save(tmp_path / "model.keras", module, "Called")
    model = load_model(tmp_path / "model.keras", LoadOptions(imports=(str(module),)))
    assert has_graph(model)
    assert [type(layer).__name__ for layer in model.layers] == ["InputLayer", "Called"]
    assert model.input_shape == (None, 8, 8, 3)


def test_a_subclassed_model_in_half_precision_computes_in_float32(tmp_path: Path, module: Path) -> None:
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        save(tmp_path / "model.keras", module, "Called")
    finally:
        keras.config.set_dtype_policy("float32")
    model = load_model(tmp_path / "model.keras", LoadOptions(imports=(str(module),)))
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    assert model(IMAGES).dtype == "float32"


def test_a_subclassed_model_that_was_never_called_is_refused(tmp_path: Path, module: Path) -> None:
    sys.path.insert(0, str(tmp_path))
    own: Any = __import__("own_layers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own.Called().save(tmp_path / "model.keras")
    with pytest.raises(WeightsError, match="saved before it was called, so that its input is unknown"):
        load_model(tmp_path / "model.keras", LoadOptions(imports=("own_layers",)))


def test_a_class_is_looked_up_inside_its_package(tmp_path: Path) -> None:
    """A `.h5` file does not name modules, and a package does not list all of its classes."""
    module = write(tmp_path / "own_package" / "_inner.py", SOURCE)
    write(tmp_path / "own_package" / "__init__.py", "from own_package import _inner as _\n")
    sys.path.insert(0, str(module.parent))
    answers = save(tmp_path / "model.h5", module, "Half")
    sys.path.insert(0, str(tmp_path))
    np.testing.assert_array_equal(
        load_model(tmp_path / "model.h5", LoadOptions(imports=("own_package",)))(IMAGES), answers
    )


def test_classes_of_one_name_in_two_modules_are_refused(tmp_path: Path) -> None:
    sys.path.insert(0, str(tmp_path))
    for name, factor in (("own_first", 2), ("own_second", 3)):
        source = f"""
            import keras
            class Scale(keras.layers.Layer):
                def call(self, x):
                    return x * {factor}
        """
        write(tmp_path / f"{name}.py", source)
    first, second = __import__("own_first"), __import__("own_second")
    model = keras.Sequential([keras.Input((4,)), first.Scale(name="double"), second.Scale(name="triple")])
    model.save(tmp_path / "model.keras")
    with pytest.raises(
        WeightsError, match=r"layer 'triple' \(Scale\) needs 'Scale' of module own_second, layer 'double'"
    ):
        load_model(tmp_path / "model.keras", LoadOptions(imports=("own_first", "own_second")))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", r"--import .*own_bad.py: fails when it is run, ZeroDivisionError: division by zero"),
        ("raise SystemExit(2)", r"--import .*own_bad.py: fails when it is run, SystemExit: 2"),
        ("import own_nowhere", r"--import .*own_bad.py: needs the module 'own_nowhere', which is not installed"),
        ("def", r"--import .*own_bad.py: fails when it is run, SyntaxError"),
        ("x = 1", r"layer 'half' \(Half\) needs 'Half' of module own_layers, which .*own_bad.py does not define"),
    ],
)
def test_a_module_that_does_not_help_is_one_line(tmp_path: Path, module: Path, source: str, message: str) -> None:
    save(tmp_path / "model.keras", module, "Half")
    bad = write(tmp_path / "own_bad.py", source)
    with pytest.raises(WeightsError, match=message):
        load_model(tmp_path / "model.keras", LoadOptions(imports=(str(bad),)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "own_nowhere",
            "--import own_nowhere: no such module here; install its package, or give the path of a .py file",
        ),
        ("keras.own_nowhere", "--import keras.own_nowhere: no such module here"),
        ("own_nowhere.py", "own_nowhere.py: no such file"),
    ],
)
def test_a_module_that_is_not_there_is_one_line(tmp_path: Path, module: Path, name: str, message: str) -> None:
    save(tmp_path / "model.keras", module, "Half")
    with pytest.raises(WeightsError, match=message):
        load_model(tmp_path / "model.keras", LoadOptions(imports=(name,)))


def test_what_is_run_is_known_by_a_hash_of_its_source(tmp_path: Path, module: Path) -> None:
    names = (str(module),)
    before = sha256_of_modules(names)
    assert sha256_of_modules(names) == before
    module.write_text(SOURCE.replace("0.5", "0.25"))
    assert sha256_of_modules(names) != before
