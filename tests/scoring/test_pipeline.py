"""However often it is interrupted, whatever the images are: the file is that of one run."""

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bctoolkit.errors import DatasetError, RecipeError
from bctoolkit.progress import Silent
from bctoolkit.runtime import Classifier
from bctoolkit.scoring.inputs import Inputs, Item
from bctoolkit.scoring.pipeline import Outcome, Runner, require_target, score
from bctoolkit.scoring.rows import Row
from bctoolkit.scoring.stream import score_here
from tests.support.progress import Recorder
from tests.support.scoring import STORED, alone, classifier, pictures

CLASSIFIER = classifier(of_batch=2.0)


def run(words: list[str], target: Path, runner: Runner = alone, batch: int | None = 1, resume: bool = False) -> Outcome:
    require_target(target, resume)
    return score(CLASSIFIER, STORED, Inputs(words), target, runner, Silent(), batch=batch, resume=resume)


class Interrupted:
    """A runner that is stopped after so many batches, and counts the images that it was given."""

    def __init__(self, batches: int) -> None:
        self.left, self.asked = batches, 0

    def __call__(self, asked: Classifier, items: Iterable[Item], batch: int, /) -> Iterator[Sequence[Row]]:
        for rows in alone(asked, items, batch):
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
            self.asked += len(rows)
            yield rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scoring")


@given(
    st.text("gbmkw", min_size=1, max_size=14),
    st.integers(1, 5),
    st.lists(st.integers(1, 4), max_size=4),
    st.sampled_from(["r.csv", "r.parquet"]),
)
@settings(max_examples=40)
def test_interrupted_anywhere_the_file_is_that_of_one_run(
    folder: Path, kinds: str, batch: int, stops: list[int], name: str
) -> None:
    shutil.rmtree(folder)
    words = pictures(folder / "images", kinds)
    once, target = folder / f"once-{name}", folder / name
    outcome = run(words, once, batch=batch)
    assert outcome == (len(kinds), sum(kind != "g" for kind in kinds), 0)
    done, resume = 0, False
    for stop in stops:
        runner = Interrupted(stop)
        try:
            assert run(words, target, runner, batch, resume) == outcome
        except KeyboardInterrupt:
            resume = True
            assert not target.exists()
        done += runner.asked
        if target.exists():
            break
    else:
        last = Interrupted(100)
        assert run(words, target, last, batch, resume) == outcome
        done += last.asked
    assert done == len(kinds), "each image is asked once"
    assert target.read_bytes() == once.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == sorted(["images", once.name, name])


def test_threads_make_no_difference(tmp_path: Path) -> None:
    words = pictures(tmp_path / "images", "gbggmkggwgggg")
    for name, runner in (("a.csv", alone), ("b.csv", partial(score_here, seconds=60))):
        run(words, tmp_path / name, runner, batch=3)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_a_measured_batch_is_kept_when_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = pictures(tmp_path / "images", "g" * 8)
    monkeypatch.setattr("bctoolkit.scoring.pipeline.knee", lambda _: 3)
    with pytest.raises(KeyboardInterrupt):
        run(words, tmp_path / "r.csv", Interrupted(1), batch=None)
    monkeypatch.setattr("bctoolkit.scoring.pipeline.knee", lambda _: 5)
    run(words, tmp_path / "r.csv", batch=None, resume=True)
    run(words, tmp_path / "once.csv", batch=3)
    assert (tmp_path / "r.csv").read_bytes() == (tmp_path / "once.csv").read_bytes()


def test_progress_tells_how_long_it_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bctoolkit.scoring.pipeline.STEP_SECONDS", 0)
    words, seen = pictures(tmp_path / "images", "gggg"), Recorder()
    np.savez(tmp_path / "set.npz", images=np.ones((2, 16, 16, 3), np.uint8))
    inputs = Inputs([*words, str(tmp_path / "set.npz")])
    score(CLASSIFIER, STORED, inputs, tmp_path / "r.csv", alone, seen)
    told = [(label, done, total) for label, done, total, note in seen.steps if label == "images" and note]
    assert told == [("images", done, 6) for done in range(1, 7)]
    assert all(re.fullmatch(r"\d+ images/s, \d+ s left", note) for _, _, _, note in seen.steps if note)
    assert ("checking set.npz", 2, 2, "") in seen.steps


def test_other_images_are_not_gone_on_with(tmp_path: Path) -> None:
    words = pictures(tmp_path / "images", "gggg")
    with pytest.raises(KeyboardInterrupt):
        run(words, tmp_path / "r.csv", Interrupted(2))
    for other in (words[::-1], words[:3]):
        with pytest.raises(RecipeError, match=r"r\.csv was begun with other images"):
            run(other, tmp_path / "r.csv", resume=True)
    Path(words[0]).write_bytes(Path(words[1]).read_bytes())
    with pytest.raises(RecipeError, match=r"r\.csv was begun with other images"):
        run(words, tmp_path / "r.csv", resume=True)


def test_images_that_go_while_they_are_scored_are_told(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\n".join(pictures(tmp_path / "images", "ggg")))

    def shortened(asked: Classifier, items: Iterable[Item], batch: int, /) -> Iterator[Sequence[Row]]:
        (tmp_path / "list.txt").write_text("")
        return alone(asked, items, batch)

    with pytest.raises(DatasetError, match=r"list\.txt: 3 images at first, 0 now"):
        run([str(tmp_path / "list.txt")], tmp_path / "r.csv", shortened)
    assert not (tmp_path / "r.csv").exists()


def test_a_target_is_refused_before_any_work(tmp_path: Path) -> None:
    target = tmp_path / "r.csv"
    with pytest.raises(RecipeError, match=r"r\.csv was not begun, there is nothing to resume"):
        require_target(target, resume=True)
    words = pictures(tmp_path / "images", "ggg")
    with pytest.raises(KeyboardInterrupt):
        run(words, target, Interrupted(1))
    with pytest.raises(
        RecipeError, match=r"r\.csv is unfinished; go on with --resume, or remove .*\.r\.csv\.unfinished"
    ):
        require_target(target, resume=False)
    run(words, target, resume=True)
    with pytest.raises(RecipeError, match=r"r\.csv exists; choose another name, or remove it"):
        require_target(target, resume=False)
    with pytest.raises(RecipeError, match=r"r\.csv is finished, there is nothing to resume"):
        require_target(target, resume=True)


def test_no_image_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no image in"):
        run([str(tmp_path / "empty")], tmp_path / "new" / "r.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]
