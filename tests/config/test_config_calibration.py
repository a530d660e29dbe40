"""Calibrations, maintenance and passages in a site file: what is refused and where, and what becomes of the rest."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from drivers import DRIVERS
from gateway.block import Block, Flag, Reason
from gateway.calibrations import Watch, standing, utc_ns
from gateway.config import Config, from_json, to_json
from gateway.config_errors import Problem
from gateway.config_file import examine, load
from gateway.config_sensors import CalibrationConfig, PassagesConfig
from gateway.pipeline.calibrate import Calibrate, Maintain
from gateway.pipeline.passages_lidar import LidarPassages
from gateway.pipeline.passages_radar import RadarPassages
from gateway.plans import plans
from gateway.stages import channels_of
from gateway.status import describe
from gateway.supervise import Alarms

HEAD = '[site]\nname = "post"\n[gateway]\nname = "lp-1"\n'
PART = '[[sensor]]\nname = "pm"\ndriver = "sen55"\nbus = "/dev/i2c-1"\naddress = 0x69\nserial = "C4A1"\n'
RADAR = '[[sensor]]\nname = "radar"\ndriver = "ops243"\nport = "/dev/ttyACM0"\n'
LIDAR = '[[sensor]]\nname = "lidar"\ndriver = "tfmini"\nport = "/dev/ttyUSB0"\n'
SLOW_LIDAR = '[[sensor]]\nname = "lidar"\ndriver = "lidar_lite"\nbus = "/dev/i2c-1"\n'
GOOD = {
    "channel": '"pm2_5"', "serial": '"C4A1"', "kind": '"linear"', "offset": "-0.8", "gain": "0.93",
    "valid_from": "2026-05-01T00:00:00Z", "origin": '"collocation with a reference, 14 days"',
}  # fmt: skip


def calibration(**other: str | None) -> str:
    keys = {name: value for name, value in (GOOD | other).items() if value is not None}
    return "[[sensor.calibration]]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())


def look(folder: Path, text: str) -> list[Problem]:
    path = folder / "site.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    found = examine(path)[1]
    lines = path.read_text(encoding="utf-8").splitlines()
    for one in found:
        line = lines[one.line - 1]
        assert line.startswith("[") or any(part in line for part in one.key.split(".")[-2:]), one
        assert one.hint
    return [one for one in found if "the bus" not in one.what]


def site(folder: Path, text: str) -> Config:
    path = folder / "site.toml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load(path)


TABLE = {"kind": '"table"', "offset": None, "gain": None, "x": "[0.0, 10.0]", "y": "[0.0, 9.0]"}
POLYNOMIAL = {"kind": '"polynomial"', "offset": None, "gain": None, "coefficients": "[0.0, 1.1, 0.01]"}
EMPTY = '""'

# what the sensor says; key, what, hint
REFUSED = {
    "a channel that it has not": (calibration(channel='"pm25"'), "channel", "no channel 'pm25'", "'pm2_5'"),
    "a count": (RADAR + calibration(channel='"detections"'), "channel", "counted, not measured", "take this"),
    "a kind that there is not": (calibration(kind='"cubic"'), "kind", "'cubic' is not known here", "'polynomial'"),
    "no origin": (calibration(origin=None), "origin", "this key is missing", "add it"),
    "an empty origin": (calibration(origin='" "'), "origin", "is empty", "who found it"),
    "no serial": (calibration(serial=EMPTY), "serial", "is empty", "serial number"),
    "no zone": (calibration(valid_from="2026-05-01T00:00:00"), "valid_from", "any time zone", "00:00:00Z"),
    "a day": (calibration(valid_from="2026-05-01"), "valid_from", "any time zone", "00:00:00Z"),
    "no time": (calibration(valid_from='"in May"'), "valid_from", "'in May' is no time", "without quotes"),
    "an end before the beginning": (
        calibration(valid_until="2026-05-01T02:59:59+03:00"), "valid_until", "is not after", "later"
    ),
    "a gain of nothing": (calibration(gain="0.0"), "gain", "makes every value the same", "gain = 1.0"),
    "a gain without an end": (calibration(gain="inf"), "gain", "no end", "finite"),
    "keys of another kind": (calibration(x="[1.0, 2.0]"), "x", "means nothing in a linear", "'table'"),
    "a polynomial of nothing": (
        calibration(**POLYNOMIAL | {"coefficients": "[3.0, 0.0]"}), "coefficients", "every value the same", "constant"
    ),
    "a table that does not rise": (calibration(**TABLE | {"x": "[0.0, 0.0]"}), "x", "does not rise", "two values"),
    "a table of one point": (calibration(**TABLE | {"x": "[0.0]", "y": "[1.0]"}), "x", "does not rise", "two values"),
    "a table with holes": (calibration(**TABLE | {"y": "[0.0]"}), "y", "2 values in x, 1 in y", "one y for each x"),
    "a span that runs backwards": (calibration(span="[9.0, 1.0]"), "span", "runs backwards", "[low, high]"),
    "a temperature that it has not": (
        calibration(temperature='{ reference = 20.0, channel = "t" }'), "temperature", "no channel 't'", "temperature"
    ),
    "a temperature that is none": (
        calibration(temperature='{ reference = 20.0, channel = "humidity" }'), "temperature", "is in %, not in Cel",
        "it has temperature in Cel",
    ),
    "itself": (
        calibration(channel='"temperature"', temperature="{ reference = 20.0 }"), "temperature", "by itself", "take"
    ),
    "no reference": (calibration(humidity="{ gain_per_pct = 0.1 }"), "reference", "missing", "add it"),
    "an unknown key": (calibration(gian="1.0"), "gian", "unknown key", "did you mean `gain`"),
    "an unknown key below": (
        calibration(temperature="{ reference = 20.0, ofset_per_K = 1.0 }"), "ofset_per_K", "unknown key", "offset_per_K"
    ),
    "two at one time": (
        calibration(valid_until="2026-06-01T00:00:00Z") + calibration(valid_from="2026-05-31T23:59:59Z"),
        "valid_from", "another calibration of 'pm2_5' of C4A1 is still valid then", "let the earlier one end",
    ),
    "two without an end, the later one first": (
        calibration(valid_from="2026-06-01T00:00:00Z") + calibration(), "valid_from", "site.toml:19)", "earlier one end"
    ),
    "maintenance that ends before it begins": (
        '[[sensor.maintenance]]\nbegin = 2026-05-01T10:00:00Z\nend = 2026-05-01T10:00:00Z\nreason = "inlet"\n',
        "end", "is not after", "later",
    ),
    "maintenance without a reason": (
        "[[sensor.maintenance]]\nbegin = 2026-05-01T10:00:00Z\nend = 2026-05-01T11:00:00Z\n", "reason", "missing", "add"
    ),
    "vehicles of a part that sees none": ("[sensor.passages]\n", "passages", "sen55 sees no vehicles", "take this"),
    "a key for a lidar": (RADAR + "[sensor.passages]\nopen_m = 9.0\n", "open_m", "which is a radar", "take this key"),
    "a key for a radar": (LIDAR + "[sensor.passages]\ngap_s = 0.7\n", "gap_s", "which is a lidar", "take this key"),
    "classes that fall": (
        RADAR + "[sensor.passages]\nclasses_km_h = [50, 30]\n", "classes_km_h", "[50, 30] does not rise", "lowest"
    ),
    "a gap that is no gap": (RADAR + "[sensor.passages]\ngap_s = 30.0\n", "gap_s", "not shorter than a", "second"),
    "samples that change nothing": (
        LIDAR + "[sensor.passages]\nmin_samples = 2\n", "min_samples", "below trigger_samples (3)", "use 3 or more"
    ),
    "a rest that is too long": (LIDAR + "[sensor.passages]\nrearm_s = 20.0\n", "rearm_s", "not shorter", "part of a"),
    "an unknown key of passages": (RADAR + "[sensor.passages]\ngap = 1.0\n", "gap", "unknown key", "gap_s"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused(case: str, tmp_path: Path) -> None:
    text, key, what, hint = REFUSED[case]
    errors = [one for one in look(tmp_path, PART + text) if not one.warning and "nobody can tell" not in one.what]
    (found,) = errors
    assert key in found.key
    assert what in f"{found.key} {found.what}"
    assert hint in found.hint


WARNED = {
    "another part is there": (PART.replace("C4A1", "C4A2") + calibration(), "goes out uncalibrated", "have this part"),
    "a steep angle": (RADAR + "[sensor.passages]\nazimuth_deg = 75\n", "75 degrees", "60 degrees at most"),
    "a slow lidar": (SLOW_LIDAR + "[sensor.passages]\n", "faster than 14 km/h", "poll faster"),
}


@pytest.mark.parametrize("case", WARNED, ids=str)
def test_warned(case: str, tmp_path: Path) -> None:
    text, what, hint = WARNED[case]
    (found,) = [one for one in look(tmp_path, text) if what in one.what]
    assert found.warning
    assert hint in found.hint


def test_a_place_with_calibrations_names_the_part_that_is_in_it(tmp_path: Path) -> None:
    text = PART.replace('serial = "C4A1"\n', "") + calibration()
    (found,) = [one for one in look(tmp_path, text) if "calibrated" in one.what]
    assert (found.key, found.warning) == ("sensor[0].serial", False)
    assert "nobody can tell which part was calibrated" in found.what


WARM = "{ reference = 20.0, gain_per_K = 0.01 }"
WHOLE = (
    PART
    + calibration(valid_until="2026-06-01T00:00:00+03:00", certificate='"RO-17"', calibrated_on="2026-04-28")
    + calibration(
        **TABLE, valid_from="2026-06-01T00:00:00+03:00", temperature="{ reference = 20.0, gain_per_K = 0.01 }"
    )
    + calibration(serial='"C4A2"', operator='"somebody"')
    + calibration(**POLYNOMIAL, channel='"humidity"', span="[10, 90]")
    + '[[sensor.maintenance]]\nbegin = 2026-07-01T08:00:00Z\nend = 2026-07-01T09:00:00Z\nreason = "inlet"\n'
    + '[[sensor.maintenance]]\nbegin = 2026-08-01T08:00:00Z\nend = 2026-08-01T09:00:00Z\nreason = "visit"\n'
    + 'flag = "suspect"\n'
    + RADAR
    + "[sensor.passages]\nclasses_km_h = [30, 50]\n"
    + LIDAR
    + "[sensor.passages]\nopen_m = 12.0\n"
)


def test_the_running_gateway_gets_what_was_written(tmp_path: Path) -> None:
    config = site(tmp_path, WHOLE)
    again = from_json(to_json(config))
    assert again == config
    assert again.hash == config.hash
    until = config.sensor[0].calibration[0].valid_until
    assert until == datetime(2026, 6, 1, tzinfo=timezone(timedelta(hours=3)))
    assert [type(step) for step in plans(again)["pm"].stages][:2] == [Calibrate, Maintain]
    assert type(plans(again)["radar"].stages[-1]) is RadarPassages
    assert type(plans(again)["lidar"].stages[-1]) is LidarPassages
    assert plans(again)["pm"].hash == plans(config)["pm"].hash


def test_what_was_measured_goes_out_behind_what_it_means(tmp_path: Path) -> None:
    config = site(tmp_path, WHOLE)
    names = [channel.name for channel in channels_of(config, config.sensor[0], DRIVERS["sen55"])]
    own = [channel.name for channel in DRIVERS["sen55"].channels]
    assert names[: len(own)] == own
    assert names[len(own) : len(own) + 2] == ["pm2_5_raw", "humidity_raw"]
    both = {channel.name: channel for channel in channels_of(config, config.sensor[0], DRIVERS["sen55"])}
    assert both["pm2_5_raw"].unit == both["pm2_5"].unit
    assert both["pm2_5_raw"].hi == both["pm2_5"].hi
    spec = plans(config)["radar"].spec
    assert spec.eventful == (True,) * len(spec.channels)
    lidar = plans(config)["lidar"].spec
    slow = [channel.name for channel, eventful in zip(lidar.channels, lidar.eventful, strict=True) if eventful]
    assert slow == ["headway"]


def test_each_version_holds_in_its_time_and_a_technician_is_seen(tmp_path: Path) -> None:
    config = site(tmp_path, WHOLE)
    names = [channel.name for channel in DRIVERS["sen55"].channels]
    c, t = names.index("pm2_5"), names.index("temperature")
    times = ("04-30T23:59:59", "05-01T00:00:00", "05-31T20:59:59", "05-31T21:00:00", "07-01T08:30:00", "08-01T08:30:00")
    at = np.array([utc_ns(datetime.fromisoformat(f"2026-{time}+00:00")) for time in times])
    n, width = len(at), len(names)
    v = np.full((n, width), 5.0)
    v[:, t] = 30.0
    one = Block(at, v, np.full((n, width), 2, np.uint8), np.zeros((n, width), np.uint16), np.ones(n), int(at[-1]))
    for stage in plans(config)["pm"].stages[:2]:
        _, one = stage.step(stage.initial(), one)
    table = 5.0 / 1.1 * 0.9
    assert one.v[:, c].tolist() == pytest.approx([5.0, 3.85, 3.85, table, table, table])
    assert one.v[:, width].tolist() == [5.0] * n
    assert one.flag[:, c].tolist() == [3, 2, 2, 2, Flag.FAIL, Flag.SUSPECT]
    assert one.reason[[0, 4, 5], c].tolist() == [Reason.UNCALIBRATED, Reason.MAINTENANCE, Reason.MAINTENANCE]


def test_it_is_known_which_calibration_is_in_force(tmp_path: Path) -> None:
    config = site(tmp_path, WHOLE)

    def at(month: int, day: int) -> list[tuple[str, str, str]]:
        now = standing(config, utc_ns(datetime(2026, month, day, tzinfo=UTC)))
        return [(one.channel, one.calibration.kind if one.calibration else "", one.why_not) for one in now]

    assert at(4, 1) == [("pm2_5", "", "no calibration is valid now"), ("humidity", "", "no calibration is valid now")]
    assert at(5, 2) == [("pm2_5", "linear", ""), ("humidity", "polynomial", "")]
    assert at(6, 2) == [("pm2_5", "table", ""), ("humidity", "polynomial", "")]
    other = site(tmp_path, WHOLE.replace('serial = "C4A1"\n[[', 'serial = "C4A9"\n[['))
    (one, _) = standing(other, utc_ns(datetime(2026, 5, 2, tzinfo=UTC)))
    assert one.calibration is None
    assert one.why_not == "it is made for C4A1, C4A2, and C4A9 is in the place"


def day(month: int, of_month: int) -> int:
    return utc_ns(datetime(2026, month, of_month, tzinfo=UTC))


def test_a_calibration_that_ends_or_begins_is_told_and_what_goes_out_without_one_is_an_alarm(tmp_path: Path) -> None:
    config, alarms, told = site(tmp_path, WHOLE), Alarms(), list[dict[str, Any]]()
    watch = Watch(alarms, told.append)

    def look(month: int, of_month: int, of: Config = config) -> list[tuple[str, str]]:
        told.clear()
        changed = watch.look(of, day(month, of_month))
        assert changed or not told
        return [(event["event"], event["channel"]) for one in told for event in one["events"]]

    assert look(4, 1) == [("uncalibrated", "pm2_5"), ("uncalibrated", "humidity")]
    assert alarms.now["calibration pm.pm2_5"] == "pm.pm2_5 goes out uncalibrated: no calibration is valid now"
    assert look(4, 2) == []
    assert look(5, 2) == [("calibrated", "pm2_5"), ("calibrated", "humidity")]
    assert alarms.now == {}
    assert look(6, 2) == [("calibrated", "pm2_5")]
    assert told[0]["events"][0]["origin"] == "collocation with a reference, 14 days"
    other = site(tmp_path, WHOLE.replace('serial = "C4A1"\n[[', 'serial = "C4A9"\n[['))
    assert look(6, 3, other) == [("uncalibrated", "pm2_5"), ("uncalibrated", "humidity")]
    assert msgspec.json.encode(told[0])
    assert look(6, 4, site(tmp_path, PART)) == []
    assert alarms.now == {}
    assert Watch(alarms, told.append).look(config, day(5, 2))
    assert told == []  # what is in force at the start did not happen then


def test_the_part_itself_is_believed_before_the_site(tmp_path: Path) -> None:
    config, alarms, told = site(tmp_path, WHOLE), Alarms(), list[dict[str, Any]]()
    watch = Watch(alarms, told.append)
    assert watch.look(config, day(5, 2))
    assert watch.look(config, day(5, 2), {"pm": "c4a1"})  # as the site says: nothing but `meta` changes
    assert told == []
    assert not watch.look(config, day(5, 2), {"pm": "c4a1"})
    assert watch.look(config, day(5, 2), {"pm": "f00"})
    assert [(one["event"], one["channel"]) for one in told[0]["events"]] == [
        ("uncalibrated", "pm2_5"), ("uncalibrated", "humidity")
    ]  # fmt: skip
    assert alarms.now["calibration pm.pm2_5"].endswith("it is made for C4A1, C4A2, and f00 is in the place")
    assert describe(config, plans(config), day(5, 2), {"pm": "f00"})["sensors"][0]["serial"] == "f00"


def test_meta_says_which_calibrations_there_are_and_which_count(tmp_path: Path) -> None:
    config = site(tmp_path, WHOLE)
    said = json.loads(msgspec.json.encode(describe(config, plans(config), day(5, 2))))
    pm, radar, lidar = said["sensors"]
    assert pm["serial"] == "C4A1"
    assert [(one["channel"], one["serial"], one["in_force"]) for one in pm["calibration"]] == [
        ("pm2_5", "C4A1", True), ("pm2_5", "C4A1", False), ("pm2_5", "C4A2", False), ("humidity", "C4A1", True),
    ]  # fmt: skip
    first = pm["calibration"][0]
    assert (first["valid_from"], first["certificate"], first["gain"]) == ("2026-05-01T00:00:00Z", "RO-17", 0.93)
    assert "uncalibrated" not in pm
    assert pm["channels"]["pm2_5_raw"] == "ug/m3"
    assert radar["channels"]["vehicles"] == "{vehicles}"
    assert (radar["passages"]["method"], radar["passages"]["gap_s"]) == ("radar", 0.5)
    assert (lidar["passages"]["method"], lidar["passages"]["open_m"]) == ("lidar", 12.0)
    assert "gap_s" not in lidar["passages"]
    early = describe(config, plans(config), day(4, 1))["sensors"][0]
    assert early["uncalibrated"]["pm2_5"] == "no calibration is valid now"


# -- the pages -----------------------------------------------------------------------------------------------------

PAGES = Path(__file__).parents[2] / "docs" / "reference"


@pytest.mark.parametrize("page", ["calibration.md", "passages.md"])
def test_the_examples_of_the_pages_can_be_loaded(page: str, tmp_path: Path) -> None:
    (first, *_) = re.findall(r"(?s)```toml\n(\[\[sensor\]\].*?)```", (PAGES / page).read_text(encoding="utf-8"))
    assert [one for one in look(tmp_path, first) if not one.warning] == []


def test_every_number_of_the_passages_is_on_their_page_with_its_default() -> None:
    rows = re.findall(
        r"(?m)^\| (`.+?`(?: `.+?`)*) \| (.+?) \| .+ \|$", (PAGES / "passages.md").read_text(encoding="utf-8")
    )
    told = {name: default.strip("`") for names, default in rows for name in re.findall(r"`(.+?)`", names)}
    for name, field in PassagesConfig.__dataclass_fields__.items():
        if name != "origin":
            default = field.default
            said = "none" if default in (None, ()) else default if isinstance(default, str) else f"{default:g}"
            assert told[name] == said, name


def test_every_key_of_a_calibration_is_on_its_page() -> None:
    text = (PAGES / "calibration.md").read_text(encoding="utf-8")
    assert [name for name in CalibrationConfig.__dataclass_fields__ if f"`{name}`" not in text] == []
