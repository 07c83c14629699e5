"""What building the C++ project takes: a compiler, Debian's libraries, headers of ONNX Runtime, the wheels' engines."""

import fcntl
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

__all__ = [
    "ROOT",
    "SANITIZED",
    "ZOO",
    "App",
    "Unavailable",
    "build",
    "compile_alone",
    "compile_beside",
    "require_compiler",
]

ROOT = Path(__file__).resolve().parents[3]
ZOO = ROOT / "exports" / "zoo"
FOLDER = ROOT / ".cpp"

SUITE, PACKAGE = "trixie", "libonnxruntime-dev"
"""Debian's first release with headers of ONNX Runtime; its API 21 is that of all later libraries, too."""
SYSTEM = Path("/usr/include/onnxruntime")

TOOLS = ("cmake", "g++")
LIBRARIES = {"jpeglib.h": "libjpeg-dev", "png.h": "libpng-dev", "zlib.h": "zlib1g-dev"}

SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")
REPORT = 99
"""Exit code of a program in which a sanitizer has found something."""


class Unavailable(Exception):
    """The project cannot be built here; the message says why."""


class App:
    """A program that was built."""

    def __init__(self, program: Path, bundle: Path) -> None:
        self.program, self.bundle = program, bundle

    def run(self, *arguments: object, environment: Mapping[str, str] | None = None) -> CompletedProcess[str]:
        """Run it to its end; a sanitizer's report is exit code 99."""
        options = {"ASAN_OPTIONS": f"exitcode={REPORT}", "UBSAN_OPTIONS": f"exitcode={REPORT}:print_stacktrace=1"}
        words = [str(self.program), *map(str, arguments)]
        everything = {**os.environ, **options, **(environment or {})}
        return subprocess.run(words, env=everything, capture_output=True, text=True, timeout=600, check=False)


def require_compiler() -> None:
    """Raise Unavailable where the compiler, CMake or a library is missing."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise Unavailable(f"building the C++ project takes {' and '.join(missing)}: apt-get install g++ cmake")
    for header, package in LIBRARIES.items():
        tried = subprocess.run(
            ["g++", "-E", "-x", "c++", "-"],
            input=f"#include <cstddef>\n#include <cstdio>\n#include <{header}>\n",
            capture_output=True,
            text=True,
            check=False,
        )
        if tried.returncode:
            raise Unavailable(f"building the C++ project takes {header}: apt-get install {package}")


def build(project: Path, folder: Path, *flags: str) -> App:
    """Configure and build a project that `bctk app cpp` wrote, with the engines that the wheels bring.

    Raises:
        Unavailable: something that it takes is missing.
    """
    require_compiler()
    settings = {
        "CMAKE_BUILD_TYPE": "None",
        "CMAKE_CXX_FLAGS": " ".join(("-Wall", "-Wextra", "-Werror", *flags)),
        "ONNXRUNTIME_ROOT": _wheel("onnxruntime") / "capi",
        "ONNXRUNTIME_INCLUDE_DIR": _headers(),
        "LITERT_ROOT": _wheel("ai_edge_litert"),
    }
    defined = [f"-D{name}={value}" for name, value in settings.items()]
    _run("cmake", "-S", project, "-B", folder, *defined)
    _run("cmake", "--build", folder)
    return App(folder / "classify", project / "bundle")


def compile_beside(app: App, source: Path, program: Path, *flags: str) -> App:
    """Compile a program that is given the library as `app` was built with it, on ONNX Runtime."""
    built, project = app.program.parent, app.bundle.parent
    libraries = (built / "libbctoolkit.a", built / "libonnxruntime.so.1", "-ljpeg", "-lpng", "-lz", "-pthread")
    words = ("g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", *flags, f"-I{project}", source, "-o", program)
    _run(*words, *libraries, f"-Wl,-rpath,{built}")
    return App(program, app.bundle)


def compile_alone(source: Path, project: Path, program: Path, *flags: str) -> App:
    """Compile a program that includes the library's source, without an engine."""
    require_compiler()
    words = ("g++", "-std=c++17", "-w", *flags, f"-I{project}", source, "-o", program)  # parts of it are not used
    _run(*words, "-ljpeg", "-lpng", "-lz", "-pthread")
    return App(program, project / "bundle")


def _wheel(module: str) -> Path:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise Unavailable(f"building the C++ project takes the package {module}")
    return Path(found.origin).parent


def _headers() -> Path:
    """The system's headers of ONNX Runtime, or Debian's, unpacked once beside the checkout."""
    if (SYSTEM / "onnxruntime_c_api.h").exists():
        return SYSTEM
    bootstrap, unpacked = shutil.which("mmdebstrap"), FOLDER / "onnxruntime"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not unpacked.exists():
            if bootstrap is None:
                raise Unavailable("headers of ONNX Runtime take mmdebstrap, or Debian trixie's libonnxruntime-dev")
            system = FOLDER / "system"
            shutil.rmtree(system, ignore_errors=True)
            _fetch(bootstrap, system)
            (system / "usr" / "include" / "onnxruntime").rename(unpacked)
            shutil.rmtree(system, ignore_errors=True)
    return unpacked


def _fetch(bootstrap: str, target: Path) -> None:
    """Unpack Debian's packages; no maintainer script is run."""
    command = [bootstrap, "--quiet", "--variant=extract", f"--include={PACKAGE}", SUITE, str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise Unavailable(f"mmdebstrap could not get {PACKAGE}: {said[-1] if said else done.returncode}")


def _run(*words: object) -> None:
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
