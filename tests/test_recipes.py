"""Recipes and budgets: all that is shipped parses, and `--set` changes one value or says why it cannot."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bctoolkit import recipes
from bctoolkit.documents import to_toml
from bctoolkit.documents.formats import FORMATS, QUANTIZATIONS
from bctoolkit.errors import RecipeError
from bctoolkit.recipes import (
    ExportRecipe,
    Phase,
    Shape,
    TrainRecipe,
    override,
    read_budget,
    read_export_recipe,
    read_train_recipe,
)
from bctoolkit.workspace import shipped

TRAIN = sorted((shipped() / "training" / "recipes").glob("*.toml"))
EXPORT = sorted((shipped() / "exports" / "recipes").glob("*.toml"))
BUDGETS = sorted((shipped() / "benchmarks" / "budgets").glob("*.toml"))
CONTRACT_RECIPES = {"baseline_cnn", "convnext_atto", "convnext_small", "smoke"}

RECIPE = """
model = "convnext_atto"
input = { height = 64, width = 64 }

[[phases]]
name = "head"
epochs = 2
learning_rate = 1e-3

[[phases]]
name = "all"
epochs = 3
learning_rate = 1e-4
unfreeze = ["*"]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(RECIPE)
    return path


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", TRAIN, ids=name_of)
def test_every_shipped_training_recipe_parses(path: Path) -> None:
    from bctoolkit.networks import NETWORKS

    assert read_train_recipe(path).model in NETWORKS


@pytest.mark.parametrize("path", EXPORT, ids=name_of)
def test_every_shipped_export_recipe_parses(path: Path) -> None:
    assert read_export_recipe(path, {}).formats


@pytest.mark.parametrize("path", BUDGETS, ids=name_of)
def test_every_shipped_budget_names_its_device_and_sets_limits_with_their_reasons(path: Path) -> None:
    budget = read_budget(path)
    limits = {f for f in budget.__struct_fields__ if f not in ("device", "why") and getattr(budget, f) is not None}
    assert budget.device
    assert limits, "a budget without a limit passes everything"
    assert set(budget.why) <= limits


def test_the_recipes_that_are_contract_are_shipped() -> None:
    assert {path.stem for path in TRAIN} >= CONTRACT_RECIPES
    assert "default" in {path.stem for path in EXPORT}


@pytest.mark.parametrize("path", [*TRAIN, *EXPORT, *BUDGETS], ids=name_of)
def test_every_shipped_document_says_in_a_comment_what_it_is_for(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("path", TRAIN, ids=name_of)
def test_a_resolved_recipe_can_be_stored_and_read_back(path: Path, tmp_path: Path) -> None:
    original = read_train_recipe(path)
    stored = tmp_path / "recipe.toml"
    stored.write_bytes(to_toml(original))
    assert read_train_recipe(stored) == original


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("batch_size=16", "batch_size", 16),
        (" batch_size = 16 ", "batch_size", 16),
        ("model=baseline_cnn", "model", "baseline_cnn"),
        ('model="baseline_cnn"', "model", "baseline_cnn"),
        ("weights=runs/a=b", "weights", "runs/a=b"),
        ("weight_decay=1e-4", "weight_decay", 1e-4),
        ("dropout=0", "dropout", 0.0),
    ],
)
def test_set_changes_one_value(recipe: Path, setting: str, field: str, value: object) -> None:
    changed = read_train_recipe(recipe, (setting,))
    assert getattr(changed, field) == value
    assert msgspec.structs.replace(changed, **{field: getattr(read_train_recipe(recipe), field)}) == read_train_recipe(
        recipe
    )


def test_set_reaches_into_tables_and_lists(recipe: Path) -> None:
    settings = ("phases.1.epochs=7", "input.height=32", "augment.flip=false", 'phases.0.unfreeze=["a", "b"]')
    changed = read_train_recipe(recipe, settings)
    assert [phase.epochs for phase in changed.phases] == [2, 7]
    assert (changed.input.height, changed.input.width) == (32, 64)
    assert changed.augment.flip is False
    assert changed.augment.rotate90 is True
    assert changed.phases[0].unfreeze == ("a", "b")


def test_the_last_of_two_settings_holds(recipe: Path) -> None:
    assert read_train_recipe(recipe, ("seed=1", "seed=2")).seed == 2


@pytest.mark.parametrize("setting", ["batch_size", "=3", "", "a..b=1", ".a=1", "a.=1"])
def test_a_setting_without_key_or_value_is_refused(recipe: Path, setting: str) -> None:
    with pytest.raises(RecipeError, match="expected key=value"):
        read_train_recipe(recipe, (setting,))


@pytest.mark.parametrize("key", ["2", "-1", "first", "*", "²"])
def test_a_position_that_is_not_in_the_list_is_refused(recipe: Path, key: str) -> None:
    with pytest.raises(RecipeError, match="is not a position in a list of 2"):
        read_train_recipe(recipe, (f"phases.{key}.epochs=1",))


def test_a_path_through_a_plain_value_is_refused(recipe: Path) -> None:
    with pytest.raises(RecipeError, match="'size' lies inside a plain value"):
        read_train_recipe(recipe, ("model.size=1",))
    with pytest.raises(RecipeError, match="'a' lies inside a plain value"):
        read_train_recipe(recipe, ("model.a.b.c=1",))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("batchsize=16", "unknown key 'batchsize'; did you mean 'batch_size'\\? valid keys: model, weights, "),
        (
            "phases.0.epoch=1",
            "unknown key 'epoch' in phases\\[0\\]; did you mean 'epochs'\\? valid keys: name, epochs,",
        ),
        ("input.hight=1", "unknown key 'hight' in input; did you mean 'height'\\?"),
        ("augment.rotation=1", "unknown key 'rotation' in augment; did you mean 'rotate'\\?"),
        (
            "augment.one_of=[{}, { blurr = 1 }]",
            "unknown key 'blurr' in augment.one_of\\[1\\]; did you mean 'blur'\\?",
        ),
        ("distill.temprature=3", "unknown key 'temprature' in distill; did you mean 'temperature'\\?"),
    ],
)
def test_a_misspelt_setting_is_answered_with_the_names_that_exist(recipe: Path, setting: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        read_train_recipe(recipe, (setting,))


@pytest.mark.parametrize(
    "setting",
    [
        "batch_size=0",
        "batch_size=many",
        "batch_size=16.5",
        "batch_size=true",
        "seed=-1",
        "dropout=1",
        "precision=float64",
        "phases=[]",
        "phases.0.epochs=0",
        "phases.0.learning_rate=0",
        "phases.0.learning_rate=nan",
        "phases.0.schedule=linear",
        "split.test=0.9",
        "split.test=1.5",
        "augment.brightness=1",
        "augment.rotate=181",
        "augment.blur=9",
        "augment.gamma=-1",
        "augment.randaugment=-1",
        "augment.randaugment=4",
        "augment.one_of=[{ randaugment = 1 }]",
        "augment.one_of=[{ jpeg = 2 }]",
        "augment.one_of=[3]",
        "augment.cutmix=-0.5",
        "distill.temperature=0",
        "distill.weight=-0.1",
        "distill=runs/big",
        "drop_path=1",
        "layer_decay=1.1",
        "ema=1",
        "clip_norm=-1",
        "label_smoothing=1",
        "class_weights=some",
        "early_stopping=-1",
        "keep=worst",
        "phases.0.unfreeze_stages=-1",
        "phases.0.warmup_epochs=-1",
        "phases.0.decay_epochs=1",
        "phases.0.decay_epochs=-1",
        "phases.0.pipelines=1.5",
        "phases.0.scale=0",
        "phases.0.scale=1.5",
        "seed=4294967296",
        "input.layout=NCHW",
        "input.dtype=float16",
        "input.resize=area",
        "input.height=0",
        "input.width=-96",
        "input.crop=0",
        "input.crop=-3",
        "input.range=[0, 1]",
        "input.channels=1",
    ],
)
def test_a_value_that_makes_no_sense_is_refused(recipe: Path, setting: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_train_recipe(recipe, (setting,))
    assert "\n" not in str(caught.value)


def test_a_network_that_takes_one_size_has_no_phase_of_another(recipe: Path) -> None:
    with pytest.raises(RecipeError, match="baseline_cnn takes images of one size, so no phase can have a scale"):
        read_train_recipe(recipe, ("phases.0.scale=0.75", "model=baseline_cnn"))


@pytest.mark.parametrize(
    ("scale", "whole", "expected"),
    [
        (0.667, (96, 128, 3), (64, 85, 3)),
        (0.5, (48, 96, 3), (32, 64, 3)),
        (0.01, (64, 64, 3), (32, 32, 3)),
        (0.5, (32, 40, 3), (32, 40, 3)),
        (0.5, (28, 28, 3), (28, 28, 3)),
        (1.0, (96, 97, 3), (96, 97, 3)),
    ],
)
def test_a_phase_s_images_keep_their_form_and_no_side_falls_below_what_networks_take(
    scale: float, whole: Shape, expected: Shape
) -> None:
    assert Phase("small", 1, 1e-3, scale=scale).shape(whole) == expected


def test_one_setting_sets_one_value_only(recipe: Path) -> None:
    with pytest.raises(RecipeError):
        read_train_recipe(recipe, ("batch_size=1\nseed=2",))


def test_a_recipe_without_phases_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.toml").write_text('model = "convnext_atto"\n')
    with pytest.raises(RecipeError, match="at least one"):
        read_train_recipe(tmp_path / "empty.toml")


def test_override_leaves_its_argument_alone() -> None:
    raw: dict[str, Any] = {"phases": [{"epochs": 1}], "input": {"height": 96}}
    changed = override(raw, ("phases.0.epochs=2", "input.height=8", "new.deep=1"))
    assert raw == {"phases": [{"epochs": 1}], "input": {"height": 96}}
    assert changed == {"phases": [{"epochs": 2}], "input": {"height": 8}, "new": {"deep": 1}}


keys = st.from_regex(r"[A-Za-z_]{1,8}", fullmatch=True)
values = st.one_of(st.integers(-(2**60), 2**60), st.booleans(), st.floats(allow_nan=False, allow_infinity=False))


@given(path=st.lists(keys, min_size=1, max_size=4), value=values)
def test_what_is_set_is_found_at_its_path(path: list[str], value: object) -> None:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    node: Any = override({}, (f"{'.'.join(path)}={text}",))
    for key in path:
        node = node[key]
    assert node == value
    assert type(node) is type(value)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("inf", "a number that is inf"),
        ("-nan", "a number that is nan"),
        ("9223372036854775808", "a whole number of more than 64 bits"),
        ("9" * 5000, "4300"),
        ("[" * 40 + "]" * 40, "nested deeper than 32 levels"),
    ],
)
def test_a_value_out_of_bounds_is_called_so_and_not_taken_for_text(text: str, why: str) -> None:
    with pytest.raises(RecipeError, match=why) as refused:
        override({"batch_size": 1}, (f"batch_size={text}",))
    assert str(refused.value).startswith("--set batch_size=")


@given(st.text())
def test_any_setting_is_taken_or_refused_never_a_crash(setting: str) -> None:
    try:
        override({"phases": [{"epochs": 1}], "model": "x"}, (setting,))
    except RecipeError as refused:
        assert str(refused).startswith("--set")  # noqa: PT017


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_can_be_asked_for(name: str) -> None:
    assert ExportRecipe(formats=(name,), quantizations=FORMATS[name].quantizations).formats == (name,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formats": ["coreml"]}, f"unknown format 'coreml'; formats: {', '.join(FORMATS)}"),
        ({"quantizations": ["int4"]}, f"unknown quantization 'int4'; quantizations: {', '.join(QUANTIZATIONS)}"),
        ({"golden": 3}, "golden"),
        ({"input": "float16"}, "input"),
        ({"input": {"dtype": "float16"}}, "input.dtype"),
        ({"input": {"scales": "0-1"}}, "unknown key 'scales' in input; did you mean 'scale'"),
        ({"output": {"labels": ["a", "a"]}}, "'a' is there twice"),
        ({"format": ["onnx"]}, "unknown key 'format'; did you mean 'formats'"),
    ],
)
def test_an_export_recipe_refuses_what_is_not_in_the_table(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_export_recipe(EXPORT[0], changes)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("max_p50_ms = 3", "device"),
        ("device = 'x'\nmax_p50 = 3", "unknown key 'max_p50'; did you mean 'max_p50_ms'"),
        ("device = 'x'\nmax_p50_ms = 0", "max_p50_ms"),
        ("device = 'x'\nmin_accuracy = 97", "min_accuracy"),
        ("device = 'x'\nmax_p50_ms = '3 ms'", "max_p50_ms"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "device.toml").write_text(content)
    with pytest.raises(RecipeError) as caught:
        read_budget(tmp_path / "device.toml")
    assert message in str(caught.value)


def test_the_defaults_of_a_recipe_are_themselves_valid() -> None:
    phase = recipes.Phase("all", 1, 1e-3)
    assert msgspec.convert(msgspec.to_builtins(TrainRecipe(phases=(phase,))), TrainRecipe).phases == (phase,)
