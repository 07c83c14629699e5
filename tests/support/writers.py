"""Writers of files and folders for tests, some of which are killed."""

import subprocess
import sys
from pathlib import Path

from bctoolkit.files import atomic_folder

OLD = {"a.txt": "old a", "b.txt": "old b"}

NEW = {"a.txt": "new a", "c.txt": "new c"}

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from bctoolkit.files import atomic_folder
target, fatal, seen = Path(sys.argv[1]), int(sys.argv[2]), 0
WATCHED = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}

def die_before_step(event, arguments):
    '''Kill this process with SIGKILL just before it does its step number `fatal` on the file system.'''
    global seen
    if event in WATCHED and (event in ("os.remove", "os.rmdir") or str(arguments[0]).startswith(str(target.parent))):
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        seen += 1
"""

FOLDER = (
    PRELUDE
    + """
sys.addaudithook(die_before_step)
with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
    (folder / "a.txt").write_text("new a")
    (folder / "c.txt").write_text("new c")
print(seen)
"""
)

WAITING = (
    PRELUDE
    + """
with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
    (folder / "a.txt").write_text("new a")
    print("inside", flush=True)
    time.sleep(60)
"""
)


def fill(folder: Path, content: dict[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in content.items():
        (folder / name).write_text(text)


def content_of(folder: Path) -> dict[str, str] | None:
    return {path.name: path.read_text() for path in folder.iterdir()} if folder.exists() else None


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def run(script: str, target: Path, fatal: int = -1) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, str(target), str(fatal)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def write_new(target: Path) -> None:
    with atomic_folder(target, "a.txt", ("*.txt",)) as folder:
        fill(folder, NEW)
