"""Another laboratory's set: its classes in the network's words, and figures beside those at home."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bctoolkit.data import Dataset
from bctoolkit.data.sources.synthetic import draw
from bctoolkit.errors import RecipeError
from bctoolkit.evaluate import evaluate
from bctoolkit.evaluate.site_figures import HomeFigures, against_home, macro_recall, restricted
from bctoolkit.evaluate.site_map import SiteMap, map_site, read_site_map, write_template
from bctoolkit.progress import Silent
from tests.conftest import hashes_of, write_class_folders
from tests.support.cli import Bctk
from tests.support.progress import Recorder

LABELS = ("left", "right", "up")
WHERE = Path("map.toml")


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another laboratory: other names, one class divided in two, one that is unknown, one that is missing."""
    root = tmp_path_factory.mktemp("site")
    made = write_class_folders(root / "made", ("a", "b", "c", "d"), 12, size=36)
    (root / "set").mkdir()
    for old, new in {"a": "Left cell", "b": "RIGHT", "c": "right, young", "d": "blast"}.items():
        (made / old).rename(root / "set" / new)
    return root / "set"


def write_map(folder: Path, **classes: str) -> Path:
    lines = [f"{json.dumps(name)} = {json.dumps(meant)}" for name, meant in classes.items()]
    path = folder / "map.toml"
    path.write_text("[classes]\n" + "\n".join(lines))
    return path


WORDS = {"Left cell": "left", "RIGHT": "right", "right, young": "right", "blast": "foreign"}


def small(*classes: str) -> Dataset:
    images, labels, _ = draw(per_class=2, seed=0, size=8)
    labels = np.arange(len(images)) % len(classes)
    return Dataset(images, labels, classes, hashes_of(images), "site")


def test_a_run_on_another_site_stands_beside_itself_at_home(workspace: Path, site: Path, tmp_path: Path) -> None:
    progress = Recorder()
    run = workspace / "training" / "runs" / "tiny"
    found = evaluate(run, str(site), progress, site_map=write_map(tmp_path, **WORDS), target=tmp_path / "page")
    assert found.count == 36
    assert found.counts == {"left": 12, "right": 24, "up": 0}
    assert found.mapped == WORDS
    assert any("12 cells of classes that the network does not know are left out" in line for line in progress.lines)
    assert found.macro_recall is not None
    recalls = [found.recall[name] or 0.0 for name in ("left", "right")]
    assert found.macro_recall.value == pytest.approx(np.mean(recalls))
    assert found.restricted is not None
    assert found.restricted.classes == ("left", "right")
    assert found.restricted.accuracy.value >= found.accuracy
    stored = json.loads((run / "metrics.json").read_text())
    assert found.home is not None
    assert (found.home.part, found.home.count) == ("test", stored["count"])
    assert found.home.accuracy_change.value == pytest.approx(found.accuracy - stored["accuracy"])
    assert set(found.home.recall_change) == {"left", "right"}
    page = (tmp_path / "page" / "evaluation.html").read_text()
    for words in ("macro recall", "answers among the set&#x27;s 2 classes alone", "points beside home", "at home, on"):
        assert words in page, words


def test_foreign_cells_are_the_foreign_pictures_of_a_bundle_with_a_rule(
    ruled: Path, site: Path, tmp_path: Path
) -> None:
    from bctoolkit import bundle

    labels = bundle.read(ruled).manifest.labels
    words = {"Left cell": labels[0], "RIGHT": labels[1], "right, young": "ignore", "blast": "foreign"}
    found = evaluate(ruled, str(site), Silent(), part="all", site_map=write_map(tmp_path, **words))
    assert found.count == 24
    assert found.foreign is not None
    assert found.foreign.count == 12


def test_images_of_the_own_set_are_not_compared_with_themselves(workspace: Path, class_folders: Path) -> None:
    assert evaluate(workspace / "training" / "runs" / "tiny", str(class_folders), Silent()).home is None


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ({"Left": "left"}, "site has no class 'Left'; did you mean 'Left cell'"),
        ({"Left cell": "lefty"}, "the network has no class 'lefty'; did you mean 'left'"),
        ({"Left cell": "left"}, "class 'odd' of site is none of the network's; map it to one of them"),
        ({"Left cell": "ignore", "odd": "foreign", "up": "ignore"}, "leaves no image of site"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_with_what_does(classes: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        map_site(small("Left cell", "odd", "up"), SiteMap(classes), LABELS, WHERE)


@pytest.mark.parametrize("content", ["", "classes = 3", "[classes]\na = 1", "[other]\na = 'b'", "[classes", "\0"])
def test_a_file_that_is_no_map_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "map.toml").write_text(content)
    with pytest.raises(RecipeError, match=r"map\.toml"):
        read_site_map(tmp_path / "map.toml")


def test_classes_of_the_same_name_need_no_map() -> None:
    mapped = map_site(small("up", "odd"), SiteMap({"odd": "ignore"}), LABELS, WHERE)
    assert set(mapped.dataset.labels) == {2}
    assert mapped.foreign is None


def test_a_template_proposes_and_can_be_read_again(tmp_path: Path) -> None:
    classes = ("LEFT", "rihgt", 'quo"te \\ tab', "é漢")
    write_template(tmp_path / "map.toml", classes, LABELS)
    proposed = read_site_map(tmp_path / "map.toml").classes
    assert proposed == {"LEFT": "left", "rihgt": "right", 'quo"te \\ tab': "ignore", "é漢": "ignore"}
    with pytest.raises(RecipeError, match="exists"):
        write_template(tmp_path / "map.toml", classes, LABELS)


def test_restricted_answers_are_of_the_set_s_classes_even_where_all_are_zero() -> None:
    probabilities = np.array([[0.1, 0.2, 0.7], [0, 0, 1], [0.6, 0.3, 0.1]], np.float32)
    found = restricted(np.array([1, 0, 0]), probabilities, LABELS)
    assert found.accuracy.value == 1


def test_beside_home_only_classes_count_that_both_have() -> None:
    counts = np.array([[8, 2, 0], [0, 0, 0], [5, 0, 5]])
    home = HomeFigures("test", 300, 270, {"left": (90, 100), "right": (90, 100)})
    found = against_home(counts, LABELS, home)
    assert found is not None
    assert list(found.recall_change) == ["left"]
    assert found.macro_recall == pytest.approx(0.9)
    assert found.macro_recall_change.value == pytest.approx(-0.1)
    assert found.accuracy_change.value == pytest.approx(0.65 - 0.9)
    assert macro_recall(counts, LABELS).value == pytest.approx(0.65)


def test_the_command_writes_a_template_and_takes_it(bctk: Bctk, workspace: Path, site: Path, tmp_path: Path) -> None:
    bundle = workspace / "exports" / "bundles" / "tiny-onnx-fp32"
    told = bctk("evaluate", bundle, "--data", site, "--map-template", "map.toml")
    assert told.returncode == 0, told.stderr
    done = bctk("evaluate", bundle, "--data", site, "--map", "map.toml")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("macro recall") < done.stdout.index("\naccuracy ")
    assert "points beside home, 95 % interval" in done.stdout


def test_without_a_class_in_common_nothing_stands_beside_home() -> None:
    home = HomeFigures("validation", 10, 9, {"right": (9, 10)})
    assert against_home(np.diag([3, 0, 4]), LABELS, home) is None


def test_a_run_that_was_not_tested_is_evaluated_all_the_same(workspace: Path, site: Path, tmp_path: Path) -> None:
    run = shutil.copytree(workspace / "training" / "runs" / "tiny", tmp_path / "tiny")
    (run / "metrics.json").unlink()
    found = evaluate(run, str(site), Silent(), site_map=write_map(tmp_path, **WORDS))
    assert (found.count, found.home) == (36, None)
