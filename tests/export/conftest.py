"""Small Keras graphs to export."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from bctoolkit.contract import InputContract
from bctoolkit.data import load, split
from bctoolkit.data.split import save
from bctoolkit.documents import to_json
from bctoolkit.documents.formats import FORMATS
from bctoolkit.export.checks.conditioning import conditioning
from bctoolkit.export.checks.images import choose_check_images
from bctoolkit.export.exporter import ExportSettings
from bctoolkit.export.keras_graph import precision
from bctoolkit.export.keras_graph.twin import fold, freeze
from bctoolkit.export.keras_network import keras_form
from bctoolkit.export.plan import Job
from bctoolkit.export.source import load_data, open_source
from bctoolkit.export.variants import form_variant
from bctoolkit.files import sha256_file
from bctoolkit.lazy import attribute
from bctoolkit.networks.inference import predict
from bctoolkit.progress import Silent
from bctoolkit.recipes import ExportRecipe, Split
from bctoolkit.run import DataFacts, RunFacts, TestMetrics
from bctoolkit.statistics import metrics
from tests.support.chain import Chain
from tests.support.networks import SIZE, fit_head, small_convnext


def shake(model: keras.Model) -> keras.Model:
    """Draw every weight anew, so that no factor is one and no offset zero."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            shake(layer)
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
        else:
            layer.set_weights([w + rng.normal(0.1, 0.1, w.shape) for w in layer.get_weights()])
    return model


@pytest.fixture(scope="session")
def images() -> NDArray[np.uint8]:
    """N × 32 × 32 × 3, values 0–255."""
    return np.random.default_rng(1).integers(0, 256, (6, SIZE, SIZE, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def graph() -> Callable[..., keras.Model]:
    """Build a model from layers in a row, with drawn weights; the input is an image."""

    def build(*stack: Any, shape: tuple[int, ...] = (SIZE, SIZE, 3)) -> keras.Model:
        inputs = keras.Input(shape, name="image")
        x = inputs
        for layer in stack:
            x = layer(x)
        return shake(keras.Model(inputs, x, name="graph"))

    return build


@pytest.fixture(scope="session")
def stock_convnext() -> keras.Model:
    """Keras's own ConvNeXt block structure, nested and with grouped convolutions, at a width that is quick."""
    from keras.src.applications.convnext import ConvNeXt

    base = ConvNeXt(
        depths=[1, 1, 2, 1],
        projection_dims=[16, 32, 48, 64],
        drop_path_rate=0.1,
        include_top=False,
        input_shape=(SIZE, SIZE, 3),
        pooling="avg",
        weights=None,
        name="convnext_mini",
    )
    inputs = keras.Input((SIZE, SIZE, 3))
    return shake(keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(base(inputs)), name="stock"))


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, class_folders: Path) -> Path:
    """The run folder of a small ConvNeXt that tells tints apart, as training leaves one. Read only."""
    contract = InputContract(height=SIZE, width=SIZE)
    dataset = load(str(class_folders), contract)
    parts = split(dataset, Split())
    model = small_convnext(0)
    fit_head(model, dataset.images[parts.train], dataset.labels[parts.train])
    folder = tmp_path_factory.mktemp("runs") / "cells"
    folder.mkdir()
    model.save(folder / "model.keras")
    (folder / "recipe.toml").write_text("# drawn, not trained\n")
    save(folder / "split.npz", dataset, parts)
    facts = RunFacts(
        name="cells",
        model="small_convnext",
        parameters=model.count_params(),
        labels=dataset.classes,
        input=contract,
        precision="float32",
        weights="drawn",
        data=DataFacts(str(class_folders), "real", dataset.sha256, parts.counts(dataset)),
        seconds=0.0,
        model_sha256=sha256_file(folder / "model.keras"),
        recipe_sha256=sha256_file(folder / "recipe.toml"),
        created="2026-01-01T00:00:00+00:00",
    )
    (folder / "run.json").write_bytes(to_json(facts))
    answers = np.asarray(model(dataset.images[parts.test].astype(np.float32)))
    labels = dataset.labels[parts.test]
    counts = metrics.confusion(labels, answers)
    right = metrics.accuracy(labels, answers)
    figures = TestMetrics(
        count=len(labels),
        accuracy=right,
        accuracy_ci95=metrics.exact_interval(int(right * len(labels)), len(labels)),
        macro_f1=metrics.macro_f1(counts),
        ece=metrics.expected_calibration_error(labels, answers),
        recall=metrics.recall_by_class(counts, dataset.classes),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )
    (folder / "metrics.json").write_bytes(to_json(figures))
    return folder


@pytest.fixture(scope="session")
def chain(run_folder: Path) -> Chain:
    source = open_source(run_folder)
    data = load_data(source, None, Silent())
    check_images = choose_check_images(None, 64, data, source.contract, Silent())
    job = Job(source, ExportRecipe(), data, check_images, Path("nowhere"), Silent(), bisect=True)
    network = source.load()
    frozen = freeze(network)
    folded = fold(frozen)
    probabilities = predict(network, check_images.images, "reference", Silent())
    settings = ExportSettings(job.contract)
    few = check_images.few
    exact = precision.float64(network, check_images.images[few])
    return Chain(
        job,
        network,
        frozen,
        folded,
        form_variant(job, keras_form("float32 Keras", network), probabilities),
        form_variant(job, keras_form("frozen twin", frozen)),
        form_variant(job, keras_form("folded twin", folded)),
        {name: attribute(row.exporter)(folded, settings) for name, row in FORMATS.items()},
        conditioning(probabilities[few], exact, lambda: pytest.fail("float64 is enough"), few),
    )
