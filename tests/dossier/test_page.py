"""The page: every figure on it stands in the file that it is linked to, and nothing else is a figure."""

import json
import re
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from bctoolkit.documents import parse
from bctoolkit.dossier import write
from bctoolkit.dossier.document import DossierDocument
from bctoolkit.errors import RecipeError
from tests.support.bundles import SIGNED, SIGNED_BY, STORED, reseal
from tests.support.dossiers import edit, report_of, run_of
from tests.support.figures import Figure, Page, require_figure, unlinked_numbers


@pytest.fixture
def full(measured: Path, tmp_path: Path) -> Path:
    """The dossier of a bundle of which everything was measured."""
    write(
        measured / "colours",
        tmp_path / "dossier",
        reports=[measured / "report"],
        evaluations=[measured / "evaluation"],
        run=run_of(measured / "colours", tmp_path / "run"),
    )
    return tmp_path / "dossier"


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """The dossier of a stored bundle with a stored report."""
    report = report_of(SIGNED, tmp_path / "report")
    write(SIGNED, tmp_path / "dossier", reports=[report], trusted=[SIGNED_BY])
    return tmp_path / "dossier"


def test_every_figure_of_a_full_dossier_stands_in_the_file_that_it_is_linked_to(full: Path) -> None:
    page = Page(full)
    assert len(page.figures) > 300
    for figure in page.figures:
        require_figure(full, figure)
    files = {figure.attributes["data-file"] for figure in page.figures}
    assert files == {
        *("manifest.json", "bom.cdx.json", "report-1.json", "evaluation-1.json"),
        *("run.json", "recipe.toml", "history.json", "metrics.json"),
    }  # fmt: skip
    assert unlinked_numbers(page) == []


def test_every_figure_of_a_stored_bundle_and_report_does(signed: Path) -> None:
    page = Page(signed)
    for figure in page.figures:
        require_figure(signed, figure)
    assert {figure.attributes["data-file"] for figure in page.figures} == {
        "manifest.json", "report-1.json", "bom.cdx.json"
    }  # fmt: skip
    assert unlinked_numbers(page) == []


def test_a_figure_that_was_made_up_would_be_noticed(signed: Path) -> None:
    page = Page(signed)
    share = next(each for each in page.figures if each.attributes.get("data-at") == "/labelled/accuracy")
    for wrong in (
        Figure(share.attributes | {"value": "0.99"}, share.text),
        Figure(share.attributes, "99.00%"),
        Figure(share.attributes | {"data-at": "/parity/max_abs_diff"}, share.text),
    ):
        with pytest.raises(AssertionError):
            require_figure(signed, wrong)
    page.outside += " accuracy 99.00% "
    assert unlinked_numbers(page) == ["99.00%"]


def test_each_section_names_its_files_with_their_hashes(full: Path) -> None:
    document = parse(DossierDocument, json.loads((full / "dossier.json").read_bytes()), "dossier.json", RecipeError)
    hashes = {file.file: file.sha256 for file in document.files}
    sections = re.findall(r"<section>\n<h2>([^<]*)</h2>(.*?)</section>", (full / "dossier.html").read_text(), re.DOTALL)
    told = {
        heading: dict(re.findall(r'<a href="[^"]*">([^<]*)</a> <code>(\w{64})</code>', body))
        for heading, body in sections
    }
    for section in document.sections:
        assert told[section.heading] == {name: hashes[name] for name in section.files}
        used = set(re.findall(r'data-file="([^"]*)"', dict(sections)[section.heading]))
        assert used <= set(section.files)


def test_the_hashes_verify_and_a_changed_file_does_not(full: Path, measured: Path) -> None:
    def check(sums: Path, folder: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sha256sum", "-c", sums], cwd=folder, capture_output=True, text=True, check=False)

    assert check(full / "SHA256SUMS", full).returncode == 0
    listed = {line.split("  ")[1] for line in (full / "SHA256SUMS").read_text().splitlines()}
    assert listed == {path.name for path in full.iterdir()} - {"SHA256SUMS"}
    assert check(full / "BUNDLE.sha256", measured / "colours").returncode == 0
    bundle = {path.name for path in (measured / "colours").iterdir()} - {"manifest.json.sha256"}
    assert {line.split("  ")[1] for line in (full / "BUNDLE.sha256").read_text().splitlines()} == bundle
    (full / "report-1.json").write_bytes((full / "report-1.json").read_bytes().replace(b"0.9", b"1.0", 1))
    assert "report-1.json: FAILED" in check(full / "SHA256SUMS", full).stdout


def test_the_page_needs_no_network_and_is_made_of_headings_and_headed_tables(full: Path) -> None:
    page = Page(full)
    assert all((full / link).is_file() for link in page.links)
    names = [tag for tag, _ in page.tags]
    assert not {"script", "link", "iframe", "img", "object"} & set(names)
    assert dict(page.tags)["html"] == {"lang": "en"}
    assert names.count("h1") == 1
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    heads = [attributes for tag, attributes in page.tags if tag == "th"]
    assert all(head.get("scope") in ("col", "row") for head in heads)
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")


def test_the_page_says_what_it_is_not_and_leaves_room_to_sign(signed: Path) -> None:
    text = Page(signed).text
    for words in ("no declaration of conformity", "no medical device", "must not be used for diagnosis"):
        assert words in text
    for line in ("Name", "Place and date", "Signature", "intended purpose"):
        assert line in text


def test_what_is_missing_is_said_with_the_command_that_would_tell_it(tmp_path: Path) -> None:
    document = write(STORED, tmp_path / "dossier")
    missing = {section.heading: [piece.remedy for piece in section.missing] for section in document.sections}
    assert missing["Devices"] == ["bctk bench BUNDLE --data PATH"]
    assert missing["Verdicts"] == ["bctk bench BUNDLE --data PATH --budget FILE"]
    assert missing["Robustness"] == ["bctk evaluate BUNDLE --data PATH --corruptions --json"]
    assert missing["Accuracy on labelled images"] == ["bctk bench BUNDLE --data PATH"]
    assert missing["Training"] == ["bctk dossier BUNDLE --run RUN"]
    assert missing["Software"] == ["bctk export RUN"]
    assert missing["Files and signature"] == ["bctk sign BUNDLE --key KEY"]
    text = Page(tmp_path / "dossier").text
    assert all(remedy in text for remedies in missing.values() for remedy in remedies)
    sections = re.findall(r"<section>.*?</section>", (tmp_path / "dossier" / "dossier.html").read_text(), re.DOTALL)
    assert all(len(re.sub(r"<h2>.*?</h2>|<[^>]*>|\s", "", section)) > 30 for section in sections)  # none is left blank


HOSTILE = '<script>alert("1")</script> T-shirt/top & ~'


def test_hostile_names_are_text(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in SIGNED.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())

    def rename(raw: dict[str, object]) -> None:
        raw["labels"] = [HOSTILE, "greenish", "bluish"]
        raw["name"] = "<b>bold"
        raw["licence"] = "</p><img src=x onerror=alert(1)>"
        labelled = raw["labelled"]
        assert isinstance(labelled, dict)
        labelled["recall"] = {HOSTILE: labelled["recall"]["reddish"], "bluish": labelled["recall"]["bluish"]}

    reseal(bundle, rename)
    report = report_of(bundle, tmp_path / "report", bundle='"><i>')
    edit(report / "report.json", lambda raw: raw["machine"].update(versions={"<u>x": "</td>"}, cpu="\u202eCPU"))
    write(bundle, tmp_path / "dossier", reports=[report])
    page = Page(tmp_path / "dossier")
    names = {tag for tag, _ in page.tags}
    assert not {"script", "img", "i", "u"} & names
    assert HOSTILE in page.text
    assert "\u202e" not in (tmp_path / "dossier" / "dossier.html").read_text()
    for figure in page.figures:
        require_figure(tmp_path / "dossier", figure)
