"""What is imported when: the command line starts fast, and a device needs no training framework."""

import subprocess
import sys
from pathlib import Path

import pytest
from click import Group

from bctoolkit.cli import cli
from tests.support.bundles import SIGNED, SIGNED_BY

HEAVY = (
    "numpy", "tensorflow", "keras", "onnx", "onnxruntime", "openvino", "ai_edge_litert", "PIL", "matplotlib", "scipy",
    "rich",    "cryptography",
)  # fmt: skip
TRAINING = ("tensorflow", "keras", "onnx", "tf2onnx", "onnxscript", "click")
SLOW_TO_IMPORT = (
    "importlib.metadata", "email", "asyncio", "concurrent", "multiprocessing", "subprocess", "http", "ssl", "xml",
    "bctoolkit.recipes", "bctoolkit.workspace", "bctoolkit.data",
)  # fmt: skip
"""What a device app may need or not, but the runtime does not."""
OPTIONAL = (
    "PIL",
    "matplotlib",
    "rich",
    "scipy",
    "psutil",
    "click",
    "pyarrow",
    "ray",
    "onnxruntime",
    "openvino",
    "ai_edge_litert",
    "cryptography",
    *TRAINING,
)
BASE = (
    "errors", "documents", "documents.formats", "files", "lazy", "progress", "system", "contract", "recipes",
    "statistics.metrics",
)  # fmt: skip
DEVICE = ("workspace", "signing", "bundle", "run", "runtime", "data", "scoring.pipeline", "scoring.on_ray")

BLOCKER = f"""
import sys
class Blocker:
    '''Let the optional packages look as if they were not installed.'''
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {OPTIONAL!r}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
sys.meta_path.insert(0, Blocker())
"""


EACH = """
import os, sys, traceback
def each(function, cases):
    '''Call the function with each case in a fork of this process; end with 1 if one of them fails.'''
    failed = False
    for case in cases:
        child = os.fork()
        if child == 0:
            try:
                function(case)
            except BaseException:
                print(case, traceback.format_exc(), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        failed |= os.waitpid(child, 0)[1] != 0
    sys.exit(failed)
"""


def commands(group: Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    paths = [path]
    for name, command in group.commands.items():
        paths += commands(command, (*path, name)) if isinstance(command, Group) else [(*path, name)]
    return paths


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def imported_by(script: str, packages: tuple[str, ...]) -> list[str]:
    """Of the packages, those that a script imports: not what the interpreter began with, as it does under coverage."""
    end = f"print(*sorted(set({packages!r}) & (set(sys.modules) - before)))"
    done = run(f"import sys\nbefore = set(sys.modules)\n{script}\nprint()\n{end}")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()


def test_no_help_imports_anything_heavy() -> None:
    script = f"""{EACH}
def help_of(command):
    from bctoolkit.cli import main
    try: main([*command, "--help"])
    except SystemExit as end: assert end.code == 0, end.code
    imported = set({HEAVY!r}) & set(sys.modules)
    assert not imported, imported
each(help_of, {commands(cli)!r})
"""
    done = run(script)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Usage: ") >= len(commands(cli)) > 10


def test_version_imports_nothing_heavy() -> None:
    assert imported_by("from bctoolkit.cli import main\ntry: main(['--version'])\nexcept SystemExit: pass", HEAVY) == []


def test_the_runtime_imports_no_training_framework_and_no_engine_yet() -> None:
    packages = (*TRAINING, "onnxruntime", "openvino", "ai_edge_litert", "PIL", "scipy", "matplotlib", *SLOW_TO_IMPORT)
    assert imported_by("import bctoolkit.runtime", packages) == []


@pytest.mark.parametrize("name", ["onnx", "tflite"])
def test_a_prediction_imports_one_engine_and_no_training_framework(workspace: Path, name: str) -> None:
    path = workspace / "exports" / "bundles" / f"tiny-{name}-fp32"
    script = (
        "import numpy as np\nfrom bctoolkit.runtime import load\n"
        f"load({str(path)!r}).predict(np.zeros((1, 32, 32, 3), np.uint8))"
    )
    engine = {"onnx": "onnxruntime", "tflite": "ai_edge_litert"}[name]
    assert imported_by(script, (*TRAINING, "onnxruntime", "ai_edge_litert", "PIL", "scipy")) == [engine]


def test_each_base_module_imports_without_any_extra() -> None:
    modules = [f"bctoolkit.{name}" for name in (*BASE, *DEVICE)]
    done = run(f"{BLOCKER}\n{EACH}\nimport importlib\neach(importlib.import_module, {modules!r})")
    assert done.returncode == 0, done.stderr


def test_help_works_without_any_extra_but_click() -> None:
    allowed = BLOCKER.replace("'click', ", "").replace(", 'click'", "")
    assert "'click'" not in allowed
    script = f"""{allowed}
{EACH}
def help_of(command):
    from bctoolkit.cli import main
    try: main([*command, "--help"])
    except SystemExit as end: assert end.code == 0, end.code
each(help_of, {commands(cli)!r})
"""
    done = run(script)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("name", "extra"), [("onnx", "onnx"), ("tflite", "tflite")])
def test_a_missing_engine_is_answered_with_what_to_install(workspace: Path, name: str, extra: str) -> None:
    path = workspace / "exports" / "bundles" / f"tiny-{name}-fp32"
    script = (
        f"{BLOCKER}\nfrom bctoolkit.errors import MissingExtra\nfrom bctoolkit.runtime import load\n"
        f"try: load({str(path)!r})\nexcept MissingExtra as missing: print(missing)"
    )
    done = run(script)
    assert done.stdout.endswith(f"install it with: pip install 'bctoolkit[{extra}]'\n"), done.stderr


def test_a_signature_is_checked_with_cryptography_alone() -> None:
    allowed = BLOCKER.replace("'cryptography', ", "")
    assert "'cryptography'" not in allowed
    script = f"{allowed}\nfrom bctoolkit import bundle\nbundle.read({str(SIGNED)!r}, [{str(SIGNED_BY)!r}]).check()"
    done = run(script)
    assert done.returncode == 0, done.stderr


def test_without_it_no_bundle_is_trusted() -> None:
    script = (
        f"{BLOCKER}\nfrom bctoolkit import bundle\nfrom bctoolkit.errors import MissingExtra\n"
        f"bundle.read({str(SIGNED)!r})\n"
        f"try: bundle.read({str(SIGNED)!r}, [{str(SIGNED_BY)!r}])\nexcept MissingExtra as missing: print(missing)"
    )
    assert "pip install 'bctoolkit[sign]'" in run(script).stdout


def test_an_array_of_the_contract_s_shape_is_prepared_without_pillow() -> None:
    script = (
        f"{BLOCKER}\nimport numpy as np\nfrom bctoolkit.runtime import InputContract, prepare\n"
        "print(prepare(np.zeros((120, 96, 3), np.uint8), InputContract()).shape)"
    )
    assert run(script).stdout == "(96, 96, 3)\n"


@pytest.mark.parametrize("arguments", ["'x.png', InputContract()", "np.zeros((9, 9, 3), np.uint8), InputContract()"])
def test_without_pillow_files_and_resizing_name_the_extra(arguments: str) -> None:
    script = (
        f"{BLOCKER}\nimport numpy as np\nfrom bctoolkit.errors import MissingExtra\n"
        "from bctoolkit.runtime import InputContract, prepare\n"
        f"try: prepare({arguments})\nexcept MissingExtra as missing: print(missing)"
    )
    assert "pip install 'bctoolkit[images]'" in run(script).stdout


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        ("train --data synthetic --recipe smoke", "train"),
        ("export tiny", "export"),
        ("bench exports/bundles/tiny-onnx-fp32 --data synthetic --corruptions", "bench"),
        ("verify exports/bundles/tiny-onnx-fp32", "onnx"),
        ("keygen", "sign"),
    ],
)
def test_a_command_without_its_extra_says_in_one_line_what_to_install(
    workspace: Path, tmp_path: Path, command: str, extra: str
) -> None:
    allowed = BLOCKER.replace("'click', ", "").replace(", 'click'", "")
    given = command.split() + (["--out", str(tmp_path / "out")] if extra in ("export", "bench", "sign") else [])
    script = f"import os\nos.chdir({str(workspace)!r})\n{allowed}\nfrom bctoolkit.cli import main\nmain({given!r})"
    done = run(script)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert f"pip install 'bctoolkit[{extra}]'" in done.stderr
    assert list(tmp_path.iterdir()) == []
