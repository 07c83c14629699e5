"""An aarch64 Python beside the checkout, run by QEMU: Debian's interpreter, and the wheels a Raspberry Pi would get.

QEMU translates the instructions of one process and hands its system calls to this machine's kernel
(https://www.qemu.org/docs/master/user/main.html), so neither a virtual machine nor a container is needed.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["CPUS", "ArmMachine", "Unavailable", "build", "printed"]

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".arm"

SUITE = "bookworm"
PACKAGES = ("python3", "libstdc++6", "libgomp1")
EXTRAS = ("images", "onnx", "tflite")

ARMV8 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"


class Cpu(NamedTuple):
    """What Linux tells of a CPU of Arm's own design, by which engines choose their kernels."""

    part: str
    features: str


CPUS = {
    "cortex-a72": Cpu("0xd08", ARMV8),
    "cortex-a76": Cpu("0xd0b", f"{ARMV8} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"),
}
"""By QEMU's name: those of Raspberry Pi 4 and 5."""

OLDEST_GLIBC, GLIBC = 17, 36
"""2.17 is the oldest that aarch64 wheels are built for (PEP 599), 2.36 that of `SUITE`."""


class Unavailable(Exception):
    """There is no aarch64 Python here, and none can be made; the message says why."""


class ArmMachine:
    """Runs commands of the checkout as an aarch64 process."""

    def __init__(self, emulator: str, folder: Path) -> None:
        self._emulator, self._folder = emulator, folder

    def python(self, cpu: str, *arguments: object) -> str:
        """What Python prints when it is run with these arguments as one of `CPUS`; `bctoolkit` is the checkout's."""
        root = self._folder / cpu
        command = [self._emulator, "-cpu", cpu, "-L", root, _interpreter(root), *arguments]
        path = os.pathsep.join(map(str, (ROOT, self._folder / "site")))
        return printed(command, {**os.environ, "PYTHONPATH": path})


def printed(command: Sequence[object], environment: dict[str, str] | None = None) -> str:
    """What a command of the checkout prints, once it has succeeded."""
    words = [str(word) for word in command]
    done = subprocess.run(words, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build() -> ArmMachine:
    """What the last call left, or a new one where other packages are asked for.

    Raises:
        Unavailable: QEMU or mmdebstrap is missing, or packages cannot be had.
    """
    emulator = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    bootstrap = shutil.which("mmdebstrap")
    if emulator is None or bootstrap is None:
        raise Unavailable("an aarch64 process takes QEMU and mmdebstrap: apt-get install qemu-user-static mmdebstrap")
    FOLDER.mkdir(exist_ok=True)
    stamp = FOLDER / "made-of.json"
    ingredients = json.dumps([SUITE, PACKAGES, GLIBC, CPUS, _requirements(), (ROOT / "constraints.txt").read_text()])
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != ingredients:
            stamp.unlink(missing_ok=True)
            _system(bootstrap, FOLDER / "system")
            _wheels(FOLDER / "site", _interpreter(FOLDER / "system"))
            for cpu in CPUS:
                _as_cpu(FOLDER / "system", FOLDER / cpu, CPUS[cpu])
            stamp.write_text(ingredients)
    return ArmMachine(emulator, FOLDER)


def _requirements() -> list[str]:
    """What `bctoolkit` needs on a device with either engine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    return [*project["dependencies"], *(line for extra in EXTRAS for line in extras[extra])]


def _system(bootstrap: str, target: Path) -> None:
    """Unpack Debian's packages, from where this machine's own come from; no maintainer script is run."""
    shutil.rmtree(target, ignore_errors=True)
    include = ",".join(PACKAGES)
    _run(
        *(bootstrap, "--quiet", "--variant=extract", "--architectures=arm64", f"--include={include}", SUITE, target),
        *_own_mirrors(),
    )


def _own_mirrors() -> list[str]:
    """Lines for apt of the places this machine has `SUITE` from; none, for mmdebstrap's default, if it has not."""
    told = subprocess.run(
        ["apt-get", "indextargets", "--format", "deb $(REPO_URI) $(CODENAME) main", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in dict.fromkeys(told.stdout.splitlines()) if line.endswith(f" {SUITE} main")]


def _wheels(target: Path, interpreter: Path) -> None:
    """Unpack wheels for an interpreter, of the versions that are tested together."""
    shutil.rmtree(target, ignore_errors=True)
    version = interpreter.name.removeprefix("python")
    number = version.replace(".", "")
    platforms = [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(GLIBC, OLDEST_GLIBC - 1, -1)]
    _run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", target),
        *("--constraint", ROOT / "constraints.txt", "--only-binary=:all:", "--implementation=cp"),
        *(f"--python-version={version}", f"--abi=cp{number}", "--abi=abi3", *platforms),
        *("--platform=manylinux2014_aarch64", *_requirements()),
    )


def _interpreter(root: Path) -> Path:
    (found,) = (root / "usr" / "bin").glob("python3.*")
    return found


def _as_cpu(system: Path, root: Path, cpu: Cpu) -> None:
    """The same files, and a /proc/cpuinfo of that CPU: without one the engines crash when they are imported."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "proc").mkdir(parents=True)
    for entry in system.iterdir():
        if entry.name != "proc":
            (root / entry.name).symlink_to(Path("..", system.name, entry.name))
    lines = (
        f"Features\t: {cpu.features}",
        *("CPU implementer\t: 0x41", "CPU architecture: 8", "CPU variant\t: 0x0", f"CPU part\t: {cpu.part}"),
        "CPU revision\t: 3",
    )
    entries = ["\n".join((f"processor\t: {number}", *lines, "", "")) for number in range(4)]
    (root / "proc" / "cpuinfo").write_text("".join(entries))


def _run(*command: object) -> None:
    """Run a command that fetches packages.

    Raises:
        Unavailable: it failed; with the last line it said.
    """
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise Unavailable(f"{Path(words[0]).name} could not get packages: {said[-1] if said else done.returncode}")
