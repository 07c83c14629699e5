"""A network that is fed another scale than it was trained on, or read in another order, is not exported."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers

from bctoolkit.data import load
from bctoolkit.data.dataset import stratified
from bctoolkit.documents.preprocessing import PRESETS, InputSettings, OutputSettings
from bctoolkit.errors import ExportError, RecipeError
from bctoolkit.export import export
from bctoolkit.export.checks.feeding import require_right_feeding
from bctoolkit.export.source import load_data, open_source
from bctoolkit.recipes import ExportRecipe
from bctoolkit.runtime import load as open_bundle
from tests.conftest import once
from tests.support.colours import COLOURS, colour_network, train_colour_network, write_colours
from tests.support.progress import Recorder

BACKWARDS = tuple(reversed(COLOURS))


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return once(tmp_path_factory, "colours", lambda root: write_colours(root / "set")) / "set"


@pytest.fixture(scope="session")
def backwards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images, their classes named so that the alphabet turns them round."""
    return once(tmp_path_factory, "backwards", lambda root: write_colours(root / "set", names=BACKWARDS)) / "set"


@pytest.fixture
def judge(tmp_path: Path) -> Callable[..., list[str]]:
    """Judge a network by labelled images; what is said, or the error."""

    def run(model: keras.Model, data: Path, most: int = 240, **settings: Any) -> list[str]:
        model.save(tmp_path / "net.keras")
        output = {key: settings.pop(key) for key in ("labels", "head") if key in settings}
        recipe, progress = ExportRecipe(input=InputSettings(**settings), output=OutputSettings(**output)), Recorder()
        source = open_source(tmp_path / "net.keras", recipe=recipe)
        images = load_data(source, str(data), progress)
        assert images is not None
        few = images.dataset.take(stratified(images.dataset, np.arange(len(images.dataset)), most))
        images = dataclasses.replace(images, dataset=few)
        require_right_feeding(source, images, recipe, progress)
        return progress.lines

    return run


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "none"])
def test_a_network_fed_as_it_is_is_stopped_with_the_preset_it_wants(
    preset: str, judge: Callable[..., list[str]], colours: Path
) -> None:
    expected = (
        rf"^net: right on \d+\.\d% of 192 labelled images as it is to be exported, on 100\.0% with --scale {preset};"
    )
    with pytest.raises(
        ExportError, match=expected + rf" give --scale {preset}(, or --scale none to keep it as it is)?$"
    ):
        judge(colour_network(preset), colours)


@pytest.mark.parametrize(
    "preset", [pytest.param(each, marks=() if each in ("imagenet", "caffe") else pytest.mark.soak) for each in PRESETS]
)
def test_with_its_preset_it_is_sealed_and_as_right_as_it_was(preset: Any, colours: Path, tmp_path: Path) -> None:
    """From the files of the images to the labels, in both formats, with nothing said of scale on the device."""
    colour_network(preset).save(tmp_path / "net.keras")
    recipe = ExportRecipe(formats=("onnx", "tflite"), golden=8, input=InputSettings(scale=preset))
    for sealed in export(tmp_path / "net.keras", recipe, tmp_path / "out", Recorder(), data=str(colours)):
        classifier = open_bundle(sealed.path)
        dataset = load(str(colours), classifier.contract)
        assert (classifier.predict_each(dataset.images[:]).argmax(1) == dataset.labels).mean() > 0.99
        adaptation = sealed.manifest.adaptation
        assert (adaptation.scale if adaptation else "none") == preset


def test_the_first_preset_is_no_false_alarm_and_the_order_assumed_is_said(
    judge: Callable[..., list[str]], colours: Path
) -> None:
    names = ",".join(COLOURS)
    (line,) = judge(colour_network("none"), colours)
    assert (
        line == f"  labels: the folders by the alphabet, {names}; in that order right on 100.0% of 64 labelled images"
    )
    assert judge(colour_network("none"), colours, labels=COLOURS) == []


@pytest.mark.soak
@pytest.mark.parametrize("preset", PRESETS)
def test_a_network_that_was_trained_on_a_scale_wants_that_one(
    preset: Any, judge: Callable[..., list[str]], colours: Path
) -> None:
    model = train_colour_network(preset)
    (line,) = judge(model, colours, scale=preset, channels="rgb" if preset != "caffe" else None)
    assert re.search(r"in that order right on (9[5-9]|100)\.\d% of \d+ labelled images$", line)
    if preset == "none":
        judge(model, colours)
        return
    with pytest.raises(ExportError, match=rf"on (9[5-9]|100)\.\d% with --scale {preset};"):
        judge(model, colours)


def test_a_scale_that_was_stated_is_only_warned_of_above_chance(judge: Callable[..., list[str]], colours: Path) -> None:
    line = judge(colour_network("0-1"), colours, scale="none")[0]
    assert line.startswith("  warning: net is right on 3")
    assert line.endswith("on 100.0% with --scale 0-1; exported as it is")
    with pytest.raises(ExportError, match=r"on 100\.0% with --scale caffe; give --scale caffe$"):
        judge(colour_network("caffe"), colours, scale="none")


def test_a_network_of_bgr_images_is_stopped_with_that(judge: Callable[..., list[str]], colours: Path) -> None:
    """As those that OpenCV reads."""
    model = colour_network("0-1")
    kernel, *others = model.get_weights()
    model.set_weights([kernel[:, :, ::-1], *others])
    with pytest.raises(
        ExportError, match=r"on 100\.0% with --scale 0-1 --channels bgr; give --scale 0-1 --channels bgr$"
    ):
        judge(model, colours)
    with pytest.raises(ExportError, match=r"on 100\.0% with --channels bgr; give --channels bgr$"):
        judge(model, colours, scale="0-1")
    judge(model, colours, scale="0-1", channels="bgr")


def test_outputs_in_another_order_than_the_folders_are_stopped_with_theirs(
    judge: Callable[..., list[str]], backwards: Path
) -> None:
    order = ",".join(BACKWARDS)
    with pytest.raises(
        ExportError, match=rf"right on 0\.0% of .* on 100\.0% with --labels {order}; give --labels {order}$"
    ):
        judge(colour_network("none"), backwards)
    with pytest.raises(ExportError, match=rf"with --scale 0-1 --labels {order}; give --scale 0-1 --labels {order}$"):
        judge(colour_network("0-1"), backwards)
    assert judge(colour_network("none"), backwards, labels=BACKWARDS) == []


def test_two_classes_in_each_other_s_place_are_stopped_too(judge: Callable[..., list[str]], tmp_path: Path) -> None:
    swapped = (COLOURS[1], COLOURS[0], *COLOURS[2:])
    data = write_colours(tmp_path / "set", names=swapped)
    with pytest.raises(
        ExportError, match=rf"on 100\.0% with --labels {','.join(swapped)}; give .*, or --labels {COLOURS[0]}"
    ):
        judge(colour_network("none"), data)


def untrained() -> keras.Model:
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((16, 16, 3)), layers.Flatten(), layers.Dense(6)])


def test_a_network_at_chance_is_stopped_unless_its_labels_are_stated(
    judge: Callable[..., list[str]], colours: Path
) -> None:
    rng = np.random.default_rng(0)
    model = untrained()
    model.set_weights([rng.normal(0, 0.01, weight.shape) for weight in model.get_weights()])
    with pytest.raises(
        ExportError, match=r"no better than chance \(16\.7%\); .*where its outputs are .* say so with --labels, else"
    ):
        judge(model, colours, head="softmax")
    (line,) = judge(model, colours, head="softmax", labels=COLOURS)
    assert line.startswith("  warning: net is right on ")
    assert "no better than chance (16.7%)" in line


def test_too_few_images_stop_nothing(judge: Callable[..., list[str]], colours: Path) -> None:
    (line,) = judge(colour_network("0-1"), colours, most=6)
    assert line == "  warning: net is right on 33.3% of 6 labelled images, too few to tell it from chance"


def test_settings_of_a_bare_file_are_refused_for_a_run(run_folder: Path) -> None:
    stated = (InputSettings(scale="0-1"), InputSettings(white=4095))
    inputs = [ExportRecipe(input=settings) for settings in stated]
    for recipe in (*inputs, ExportRecipe(output=OutputSettings(head="none"))):
        with pytest.raises(RecipeError, match=r"a run's network takes .*; leave out --scale, --channels"):
            open_source(run_folder, recipe=recipe)


@pytest.mark.parametrize("white", [None, 4095])
def test_what_is_white_becomes_part_of_a_bare_file_s_contract(tmp_path: Path, white: int | None) -> None:
    colour_network("none").save(tmp_path / "net.keras")
    recipe = ExportRecipe(input=InputSettings(white=white))
    assert open_source(tmp_path / "net.keras", recipe=recipe).contract.white == white


def test_labels_of_another_number_than_the_outputs_are_refused(tmp_path: Path) -> None:
    colour_network("none").save(tmp_path / "net.keras")
    with pytest.raises(RecipeError, match="--labels names 2 classes, but the network has 6 outputs"):
        open_source(tmp_path / "net.keras", recipe=ExportRecipe(output=OutputSettings(labels=("a", "b"))))
