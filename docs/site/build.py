"""Build the documentation as a site: every tracked page, its links as they are in the repository.

usage: python docs/site/build.py [--out site]

The pages and the files they link to are copied into a tree of the same shape: one link serves a code host and the site.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIG = Path(__file__).with_name("mkdocs.yml")
PAGES = ("*.md", "docs/**/*.md", "*/README.md", "exports/zoo/README.md")
LINK = re.compile(r"\]\(([^)#:\s]+)[^)]*\)")


def copy(root: Path, tree: Path) -> None:
    """Copy the pages of the repository at root, and the files they link to, into tree; decisions get a list."""
    pages = sorted({page for pattern in PAGES for page in root.glob(pattern)})
    targets = {(page.parent / target).resolve() for page in pages for target in LINK.findall(page.read_text("utf-8"))}
    for file in {*pages, *(target for target in targets if target.is_file() and target.is_relative_to(root))}:
        place = tree / file.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)
    decisions = sorted((root / "docs" / "decisions").glob("*.md"))
    titles = ((page, page.read_text("utf-8").partition("\n")[0].lstrip("# ")) for page in decisions)
    lines = (f"- [{title}]({page.name})\n" for page, title in titles)
    (tree / "docs" / "decisions" / "index.md").write_text("# Decisions\n\n" + "".join(lines), encoding="utf-8")
    readme = tree / "README.md"
    listed = readme.read_text("utf-8").replace("](docs/decisions)", "](docs/decisions/index.md)")
    readme.write_text(listed, encoding="utf-8")


def build(out: Path) -> int:
    """Build the site into out, strictly; returns the exit status of mkdocs."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "pages"
        copy(ROOT, tree)
        config = Path(folder) / "mkdocs.yml"
        shutil.copyfile(CONFIG, config)
        command = [
            sys.executable,
            "-m",
            "mkdocs",
            "build",
            "--strict",
            "--quiet",
            "--config-file",
            str(config),
            "--site-dir",
            str(out),
        ]
        quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        return subprocess.run(command, env=quiet, check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the documentation as a site.")
    parser.add_argument("--out", type=Path, default=ROOT / "site", help="folder of the site")
    sys.exit(build(parser.parse_args().out.resolve()))
