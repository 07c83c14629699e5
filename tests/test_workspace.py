"""The shelves of a workspace, and how commands find things on them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from bctoolkit.errors import ExportError, RecipeError
from bctoolkit.workspace import SHELVES, Workspace, create, shipped


def finished_run(root: Path, name: str, when: int) -> Path:
    folder = root / "training" / "runs" / name
    folder.mkdir(parents=True)
    (folder / "model.keras").write_bytes(b"stub")
    os.utime(folder / "model.keras", (when, when))
    return folder


def recipe(root: Path, name: str) -> Path:
    path = root / "training" / "recipes" / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("# own\n")
    return path


@pytest.mark.parametrize("shelf", SHELVES)
def test_the_package_ships_every_shelf(shelf: str) -> None:
    assert (shipped() / shelf / "README.md").is_file()
    assert list((shipped() / shelf / SHELVES[shelf][0]).glob("*.toml"))


def test_a_built_in_recipe_is_known_in_an_empty_folder(tmp_path: Path) -> None:
    assert Workspace(tmp_path).declared("training", "smoke") == shipped() / "training" / "recipes" / "smoke.toml"


def test_the_workspace_s_own_recipe_comes_before_the_shipped_one(tmp_path: Path) -> None:
    own = recipe(tmp_path, "smoke")
    assert Workspace(tmp_path).declared("training", "smoke") == own


@pytest.mark.parametrize("name", ["own.toml", "sub/own.toml"])
def test_a_recipe_may_be_given_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text("# own\n")
    assert Workspace().declared("training", name) == Path(name)


@pytest.mark.parametrize("name", ["absent.toml", "sub/absent"])
def test_a_recipe_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match=rf"no such file: {name}"):
        Workspace(tmp_path).declared("training", name)


def test_an_unknown_recipe_is_answered_with_all_that_are_known(tmp_path: Path) -> None:
    recipe(tmp_path, "mine")
    with pytest.raises(RecipeError) as caught:
        Workspace(tmp_path).declared("training", "smok")
    assert str(caught.value).startswith("unknown recipe 'smok'; recipes: baseline_cnn, ")
    assert {"mine", "smoke"} <= set(str(caught.value).replace(";", ",").split(", "))


def test_an_unknown_budget_is_called_a_budget(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="unknown budget 'mainframe'; budgets: "):
        Workspace(tmp_path).declared("benchmarks", "mainframe")


def test_the_newest_finished_run_is_the_default(tmp_path: Path) -> None:
    finished_run(tmp_path, "b", 1_000)
    newest = finished_run(tmp_path, "a", 2_000)
    assert Workspace(tmp_path).model(None) == newest


def test_a_run_that_is_still_being_written_is_not_a_run(tmp_path: Path) -> None:
    finished = finished_run(tmp_path, "a", 1_000)
    finished_run(tmp_path, ".b.partial-1", 2_000)
    assert Workspace(tmp_path).model(None) == finished


def test_a_run_without_a_model_is_not_finished(tmp_path: Path) -> None:
    (tmp_path / "training" / "runs" / "a").mkdir(parents=True)
    with pytest.raises(ExportError, match=r"no finished run 'a'; runs in .*: none$"):
        Workspace(tmp_path).model("a")


def test_without_a_run_the_way_to_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no finished run in .*runs; make one with: bctk train --data PATH"):
        Workspace(tmp_path).model(None)


def test_a_run_is_found_by_name_and_by_path(tmp_path: Path) -> None:
    run = finished_run(tmp_path, "a", 1_000)
    assert Workspace(tmp_path).model("a") == run
    assert Workspace(tmp_path).model(str(run)) == run


def test_a_missing_run_is_answered_with_those_that_exist(tmp_path: Path) -> None:
    finished_run(tmp_path, "a", 1_000)
    finished_run(tmp_path, "b", 2_000)
    with pytest.raises(ExportError, match=r"no finished run 'c'; runs in .*: a, b$"):
        Workspace(tmp_path).model("c")


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_model_file_is_taken_as_it_is(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    with pytest.raises(ExportError, match=rf"model\{suffix}: no such file"):
        Workspace(tmp_path).model(str(path))
    path.write_bytes(b"stub")
    assert Workspace(tmp_path).model(str(path)) == path


def test_images_in_training_data_are_the_default(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.default_data() is None
    workspace.data.mkdir(parents=True)
    (workspace.data / "notes.txt").write_text("no class folder\n")
    assert workspace.default_data() is None
    (workspace.data / "left").mkdir()
    assert workspace.default_data() == str(tmp_path / "training" / "data")


def test_no_link_of_a_new_workspace_leads_nowhere(tmp_path: Path) -> None:
    create(tmp_path)
    for file in [path for path in tmp_path.rglob("*") if path.is_file()]:
        for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text(encoding="utf-8")):
            assert target.startswith(("https://", "http://", "#")) or (file.parent / target.split("#")[0]).exists()


def test_create_makes_the_three_shelves_with_all_that_is_shipped(tmp_path: Path) -> None:
    made = create(tmp_path / "new")
    assert made == [tmp_path / "new" / shelf for shelf in SHELVES]
    for shelf, (declared, _) in SHELVES.items():
        files = {path.name for path in (tmp_path / "new" / shelf / declared).iterdir()}
        assert files == {path.name for path in (shipped() / shelf / declared).iterdir()}
        assert (tmp_path / "new" / shelf / "README.md").is_file()
    assert {path.name for path in (tmp_path / "new").iterdir()} == set(SHELVES)


def test_create_leaves_other_files_of_the_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine\n")
    create(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine\n"


@pytest.mark.parametrize("shelf", SHELVES)
def test_create_changes_nothing_where_a_shelf_stands(tmp_path: Path, shelf: str) -> None:
    (tmp_path / shelf).mkdir()
    with pytest.raises(RecipeError, match=rf"{shelf} already exists; choose an empty folder"):
        create(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == [shelf]


@pytest.mark.parametrize(
    "made",
    ["training/runs/a/model.keras", "exports/bundles/a/model.onnx", "benchmarks/reports/a.md", "training/data/x/1.png"],
)
def test_git_ignores_what_stages_make_and_the_images_of_patients(tmp_path: Path, made: str) -> None:
    create(tmp_path)
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / made).parent.mkdir(parents=True)
    (tmp_path / made).write_bytes(b"x")
    assert subprocess.run([*git, "check-ignore", "-q", made], check=False).returncode == 0


def test_git_keeps_recipes_and_budgets(tmp_path: Path) -> None:
    create(tmp_path)
    git = ["git", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    kept = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.toml")]
    assert subprocess.run([*git, "check-ignore", *kept], check=False).returncode == 1


def test_the_workspaces_own_images_are_class_folders_or_a_single_archive(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert workspace.default_data() is None
    workspace.data.mkdir(parents=True)
    assert workspace.default_data() is None
    (workspace.data / "one.npz").touch()
    assert workspace.default_data() == str(workspace.data / "one.npz")
    (workspace.data / "two.npz").touch()
    assert workspace.default_data() is None
    (workspace.data / "lymphocyte").mkdir()
    assert workspace.default_data() == str(workspace.data)


def unfinished_run(root: Path, name: str, when: int) -> Path:
    folder = root / "training" / "runs" / f".{name}.unfinished"
    folder.mkdir(parents=True)
    os.utime(folder, (when, when))
    return folder.with_name(name)


def test_the_run_started_last_is_the_one_to_resume(tmp_path: Path) -> None:
    unfinished_run(tmp_path, "a", 1_000)
    newest = unfinished_run(tmp_path, "b.c", 3_000)
    unfinished_run(tmp_path, "c", 2_000)
    assert Workspace(tmp_path).unfinished_run(None) == newest
    assert Workspace(tmp_path).unfinished_run("a") == newest.with_name("a")


def test_a_finished_run_is_not_one_to_resume_whatever_it_left(tmp_path: Path) -> None:
    unfinished = unfinished_run(tmp_path, "a", 1_000)
    unfinished_run(tmp_path, "b", 2_000)
    finished_run(tmp_path, "b", 3_000)
    assert Workspace(tmp_path).unfinished_run(None) == unfinished
    finished_run(tmp_path, "a", 3_000)
    with pytest.raises(RecipeError, match=r"--resume: no unfinished run in .*runs"):
        Workspace(tmp_path).unfinished_run(None)


def test_an_unfinished_run_is_not_one_to_export(tmp_path: Path) -> None:
    folder = unfinished_run(tmp_path, "a", 1_000).with_name(".a.unfinished")
    (folder / "model.keras").write_bytes(b"stub")
    with pytest.raises(ExportError, match="no finished run"):
        Workspace(tmp_path).model(None)
