"""How many CPUs a control group's quota leaves."""

from pathlib import Path

import pytest

from bctoolkit.system import facts


def group(root: Path, own: str, files: dict[str, str]) -> Path:
    """A system's `proc` and `sys` with the control group `own` of this process and files by their path."""
    for path, content in {
        "proc/self/cgroup": own,
        **{f"sys/fs/cgroup/{name}": text for name, text in files.items()},
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return root


@pytest.mark.parametrize(
    ("own", "files", "quotas"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, [1.5]),
        ("0::/\n", {"cpu.max": "max 100000\n"}, []),
        ("0::/pod/app\n", {"pod/app/cpu.max": "max 100000\n", "pod/cpu.max": "50000 100000\n"}, [0.5]),
        ("0::/../../pod\n", {"cpu.max": "300000 100000\n"}, [3.0]),
        (
            "3:cpu,cpuacct:/app\n",
            {"cpu,cpuacct/cpu.cfs_quota_us": "200000", "cpu,cpuacct/cpu.cfs_period_us": "100000"},
            [2.0],
        ),
        ("3:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, []),
        ("3:memory:/app\n", {"memory/cpu.max": "100000 100000"}, []),
        ("0::/\n", {"cpu.max": "garbage"}, []),
        ("0::/\n", {"cpu.max": "100000 0"}, []),
        ("", {}, []),
    ],
)
def test_the_quotas_of_all_groups_above_are_read(
    own: str, files: dict[str, str], quotas: list[float], tmp_path: Path
) -> None:
    assert list(facts._cpu_quotas(group(tmp_path, own, files))) == quotas


def test_a_system_without_control_groups_has_no_quota(tmp_path: Path) -> None:
    assert list(facts._cpu_quotas(tmp_path)) == []


@pytest.mark.parametrize(("quotas", "cpus"), [([], None), ([0.5], 1), ([1.9, 1000.0], 1), ([1000.0], None)])
def test_a_quota_never_raises_the_number_and_leaves_at_least_one(
    quotas: list[float], cpus: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "_cpu_quotas", lambda root: iter(()))
    without = facts.usable_cpus()
    monkeypatch.setattr(facts, "_cpu_quotas", lambda root: iter(quotas))
    assert facts.usable_cpus() == (cpus or without)
