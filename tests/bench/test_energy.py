"""The energy that a system counts, told by trees of files like the kernel's."""

from pathlib import Path
from typing import Any

import pytest

from bctoolkit.bench.worker import energy
from bctoolkit.bench.worker.energy import energy_meter


def zone(root: Path, name: str, of: str, microjoules: int, whole: int = 1_000_000) -> Path:
    folder = root / "class" / "powercap" / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{of}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{whole}\n")
    return folder


def battery(root: Path, name: str, state: str, microwatts: int | None) -> Path:
    folder = root / "class" / "power_supply" / name
    folder.mkdir(parents=True)
    (folder / "status").write_text(f"{state}\n")
    if microwatts is not None:
        (folder / "power_now").write_text(f"{microwatts}\n")
    return folder


def test_a_system_that_counts_nothing_has_no_meter(tmp_path: Path) -> None:
    assert energy_meter(tmp_path) is None


def test_packages_are_added_and_their_parts_are_not(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", 1_000)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 5_000)
    others = [zone(tmp_path, "intel-rapl:0:0", "core", 0), zone(tmp_path, "intel-rapl:2", "psys", 0)]
    counter = energy_meter(tmp_path)
    assert counter is not None
    for number, folder in enumerate((first, second, *others)):
        (folder / "energy_uj").write_text(f"{(21_000, 35_000, 900_000, 900_000)[number]}\n")
    used = counter.used()
    assert used is not None
    assert used.source == "package"
    assert used.joules == pytest.approx(0.05)


def test_a_counter_that_begins_anew_goes_on(tmp_path: Path) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 900_000, whole=1_000_000)
    counter = energy_meter(tmp_path)
    assert counter is not None
    for value in (950_000, 20_000, 990_000, 10_000):
        (folder / "energy_uj").write_text(f"{value}\n")
        counter.tick()
    used = counter.used()
    assert used is not None
    assert used.joules == pytest.approx(0.05 + 0.07 + 0.97 + 0.02)


def test_a_counter_that_may_not_be_read_is_none(tmp_path: Path) -> None:
    """As the kernel keeps it from ordinary users; root reads any file, so the unreadable one is a folder here."""
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    (folder / "energy_uj").unlink()
    (folder / "energy_uj").mkdir()
    assert energy_meter(tmp_path) is None


@pytest.mark.parametrize("lost", ["energy_uj", "max_energy_range_uj"])
def test_what_cannot_be_counted_to_the_end_is_not_told(tmp_path: Path, lost: str) -> None:
    folder = zone(tmp_path, "intel-rapl:0", "package-0", 500)
    if lost == "max_energy_range_uj":
        (folder / lost).unlink()
    counter = energy_meter(tmp_path)
    assert counter is not None
    if lost == "energy_uj":
        (folder / lost).unlink()
    else:
        (folder / "energy_uj").write_text("100\n")
    assert counter.used() is None


def test_a_counter_that_stands_still_counts_nothing(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0", 500)
    counter = energy_meter(tmp_path)
    assert counter is not None
    assert counter.used() is None


def test_a_battery_that_discharges_is_the_whole_machine(tmp_path: Path, clock: Any) -> None:
    """From 10 to 30 W in two seconds: 40 J."""
    folder = battery(tmp_path, "BAT0", "Discharging", 10_000_000)
    battery(tmp_path, "BAT1", "Not charging", 0)
    counter = energy_meter(tmp_path, lambda: clock() / 1e9)
    assert counter is not None
    clock.sleep(2.0)
    (folder / "power_now").write_text("-30000000\n")
    used = counter.used()
    assert used is not None
    assert used.source == "battery"
    assert used.joules == pytest.approx(40.0)


@pytest.mark.parametrize(("state", "power"), [("Charging", 10), ("Full", 10), ("Discharging", None)])
def test_a_battery_that_tells_no_use_is_none(tmp_path: Path, state: str, power: int | None) -> None:
    battery(tmp_path, "BAT0", state, power)
    assert energy_meter(tmp_path) is None


def test_a_battery_that_is_plugged_in_meanwhile_tells_nothing(tmp_path: Path) -> None:
    folder = battery(tmp_path, "BAT0", "Discharging", 10_000_000)
    counter = energy_meter(tmp_path)
    assert counter is not None
    counter.tick()
    (folder / "status").write_text("Charging\n")
    assert counter.used() is None


def test_packages_go_before_batteries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    battery(tmp_path, "BAT0", "Discharging", 10_000_000)
    zone(tmp_path, "intel-rapl:0", "package-0", 500)
    monkeypatch.setattr(energy, "SYS", tmp_path)
    counter = energy_meter()
    assert counter is not None
    assert counter.source == "package"
