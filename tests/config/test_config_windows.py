"""Windows in a site file: what is refused, what the defaults are, and which samples are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.base import Kind
from gateway.config_errors import Problem
from gateway.config_file import examine, load
from gateway.journal import terms
from gateway.pipeline.fields import Percentiles
from gateway.pipeline.longer import LOCAL, Validity
from gateway.plans import plans
from gateway.rules_windows import periods

BASE = Path(__file__).parents[2] / "configs" / "base.toml"
SITE = """
[site]
name = "post"
timezone = "{zone}"
[gateway]
name = "lp-1"
data_dir = "data"
[[sensor]]
name = "pm"
driver = "sds011"
port = "/dev/ttyUSB0"
{sensor}
[[sensor]]
name = "mic"
driver = "nsrt_mk4"
port = "/dev/ttyUSB1"
[[sensor]]
name = "radar"
driver = "ops243"
port = "/dev/ttyUSB2"
"""


def site(folder: Path, windows: str = "", *, sensor: str = "", zone: str = "Europe/Bucharest") -> Path:
    path = folder / "site.toml"
    text = f'extends = "{BASE}"\n' + SITE.format(sensor=sensor, zone=zone) + windows
    path.write_text(text, encoding="utf-8")
    return path


def errors(path: Path) -> list[Problem]:
    return [problem for problem in examine(path)[1] if not problem.warning]


WRONG = [
    ("[windows]\nrunning_s = [[28800, 3000]]\n", "windows.running_s", "no running means of hours"),
    ("[windows]\nrunning_s = [[3600, 3600]]\n", "windows.running_s", "no running means of hours"),
    ("[windows]\nrunning_s = [[10800, 7200]]\n", "windows.running_s", "no running means of hours"),
    ("[windows.hours]\nday = 20\n", "windows.hours", "do not follow each other"),
    ("[windows.validity.nigth]\n", "windows.validity.nigth", "there are no windows 'nigth'"),
    ('[windows.validity.3600s]\nby = "hours"\n', "windows.validity.3600s.by", "has no hours to count"),
    ('[windows.validity.den]\nby = "hours"\n', "windows.validity.den.by", "has no hours to count"),
    ("[windows.percentiles]\nlevel = [100]\n", "windows.percentiles.level[0]", "100"),
    ('[windows]\nlocal = ["noon"]\n', "windows.local[0]", "'noon' is not known here"),
]


@pytest.mark.parametrize(("windows", "key", "what"), WRONG, ids=[f"{key}: {what[-20:]}" for _, key, what in WRONG])
def test_is_refused(tmp_path: Path, windows: str, key: str, what: str) -> None:
    (problem,) = errors(site(tmp_path, windows))
    assert problem.key == key
    assert what in problem.what
    assert problem.hint


@pytest.mark.parametrize(
    ("zone", "base_s", "refused"),
    [
        ("Europe/Bucharest", 3600, False), ("Asia/Kathmandu", 900, False), ("Asia/Kathmandu", 1800, True),
        ("Australia/Lord_Howe", 3600, True), ("UTC", 7200, True),
    ],
)  # fmt: skip
def test_hours_of_the_wall_begin_with_a_window(tmp_path: Path, zone: str, base_s: int, refused: bool) -> None:
    found = errors(site(tmp_path, f"[windows]\nbase_s = {base_s}\nlong_s = []\n", zone=zone))
    assert [problem.key for problem in found] == (["windows.local"] if refused else [])
    assert not errors(site(tmp_path, f"[windows]\nbase_s = {base_s}\nlong_s = []\nlocal = []\n", zone=zone))


def test_the_defaults(tmp_path: Path) -> None:
    config = load(site(tmp_path))
    words = terms(config)
    assert words.percentiles == Percentiles((10, 50, 90), (1, 5, 10, 50, 90, 95, 99), (85,), 100)
    assert [one.name for one in words.local] == list(LOCAL)
    assert {one.zone for one in words.local} == {"Europe/Bucharest"}
    assert words.allowed_lateness_s == 3600.0
    assert words.validity_of("3600s") == Validity(0.75)
    assert words.validity_of("local_day") == words.validity_of("8h") == Validity(0.75, by_hours=True)
    assert periods(config) == ("60s", "3600s", *LOCAL)
    for table in (config.windows.hours, config.windows.percentiles, *config.windows.validity.values()):
        assert table.origin


def test_a_site_says_it_differently(tmp_path: Path) -> None:
    more = """
[windows]
running_s = [[28800, 3600]]
local = ["night"]
[windows.hours]
day = 6
night = 22
[windows.percentiles]
level = [10, 90]
speed = []
[windows.validity.night]
min_capture = 0.5
"""
    words = terms(load(site(tmp_path, more)))
    assert [(one.name, one.from_h, one.to_h) for one in words.local] == [("night", 22, 30)]
    assert words.parts.hours == (13, 3, 8)
    assert [one.name for one in words.running] == ["8h"]
    assert words.percentiles == Percentiles((10, 50, 90), (10, 90), ())
    assert words.validity_of("night").min_capture == 0.5


def test_samples_are_kept_where_percentiles_are_asked(tmp_path: Path) -> None:
    for named, kept in (("", {"pm2_5", "pm10"}), ('percentiles = ["pm2_5"]', {"pm2_5"}), ("percentiles = []", set())):
        spec = plans(load(site(tmp_path, sensor=named)))["pm"].spec
        assert {one.name for one, keep in zip(spec.channels, spec.keep, strict=True) if keep} == kept
    radar = plans(load(site(tmp_path)))["radar"].spec
    for channel, keep in zip(radar.channels, radar.keep, strict=True):
        assert keep == (channel.kind != Kind.COUNT)
    none = plans(load(site(tmp_path, "[windows.percentiles]\nscalar = []\n")))["pm"].spec
    assert not any(none.keep)


def test_what_is_published_does_not_change_how_it_is_read(tmp_path: Path) -> None:
    one = plans(load(site(tmp_path)))["pm"]
    other = plans(load(site(tmp_path, sensor='percentiles = ["pm10"]')))["pm"]
    assert one.hash == other.hash
    assert load(site(tmp_path)).hash != load(site(tmp_path, sensor='percentiles = ["pm10"]')).hash


def test_a_channel_without_percentiles_is_refused(tmp_path: Path) -> None:
    (problem,) = errors(site(tmp_path, sensor='percentiles = ["pm2.5"]'))
    assert problem.key == "sensor[0].percentiles"
    assert "pm has no channel 'pm2.5'" in problem.what
    assert "pm2_5" in problem.hint
    radar = '[[sensor]]\nname = "r2"\ndriver = "ops243"\nport = "/dev/ttyUSB3"\npercentiles = ["detections"]\n'
    (problem,) = errors(site(tmp_path, radar))
    assert "'detections' has no percentiles" in problem.what
