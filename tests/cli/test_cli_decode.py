"""`gateway decode`: golden bytes in, one JSON object per frame out; what cannot be read ends with 2 and a hint."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner, Result

import drivers
from drivers import DRIVERS
from drivers.base import Driver
from gateway.__main__ import app

CAPTURE = "aac00600060058d93dab"  # avaldebe/PyPMS, SDS01x.hexdump line 1
EXAMPLE = "aac0d4043a0aa1601dab"  # Laser Dust Sensor Control Protocol V1.3, example
SPOILT = "aac0d4043a0aa1601eab"
DATASHEET = ("655ac07eed008000", "706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c670170000")  # Bosch BMP280 3.12


def decode(*words: str) -> Result:
    return CliRunner().invoke(app, ["decode", *words])


def frames(*words: str) -> list[dict[str, Any]]:
    result = decode(*words)
    assert result.exit_code == 0, result.output
    return [msgspec.json.decode(line) for line in result.stdout.splitlines()]


def test_a_capture() -> None:
    assert frames("sds011", CAPTURE) == [
        {"fault": "OK", "rows": [{"pm2_5": 0.6, "pm10": 0.6}], "marks": [{}], "hex": CAPTURE}
    ]


def test_a_stream_with_garbage_comes_out_piece_by_piece() -> None:
    said = frames("sds011", "ad50105edd" + CAPTURE + "00" + SPOILT + EXAMPLE + "aac0d4")
    assert [(row["fault"], row["hex"]) for row in said] == [
        ("NOT_DATA", "ad50105edd"), ("OK", CAPTURE), ("NOT_DATA", "00"), ("CHECK", SPOILT), ("OK", EXAMPLE),
        ("NOT_DATA", "aac0d4"),
    ]  # fmt: skip
    assert [len(row["rows"]) for row in said] == [0, 1, 0, 0, 1, 0]


def test_two_frames_in_one_word_and_two_words_say_the_same() -> None:
    assert frames("sds011", CAPTURE + EXAMPLE) == frames("sds011", CAPTURE, EXAMPLE)


@pytest.mark.parametrize(
    "word", ["AA:C0:06:00:06:00:58:D9:3D:AB", "0xaac00600060058d93dab", "aac0 0600 0600 58d9 3dab"]
)
def test_hex_as_people_write_it(word: str) -> None:
    assert frames("sds011", word)[0]["rows"] == [{"pm2_5": 0.6, "pm10": 0.6}]


def test_a_part_that_needs_its_calibration() -> None:
    data, calibration = DATASHEET
    (row,) = frames("bme280", data, "--context", calibration)
    assert row["fault"] == "OK"
    assert row["rows"][0]["temperature"] == pytest.approx(25.08, abs=0.01)
    assert row["rows"][0]["pressure"] == pytest.approx(100_653.27, abs=0.05)
    assert row["rows"][0]["humidity"] is None
    assert row["marks"] == [{"humidity": "MISSING"}]
    assert frames("bme280", data)[0]["fault"] == "NOT_READY"


def test_options_are_read_by_their_type() -> None:
    line = b"-10.0\r\n".hex()
    assert frames("ops243", line)[0]["rows"][0]["speed"] == -10.0
    (row,) = frames("ops243", line, "--option", "unit=km/h")
    assert row["rows"][0]["speed"] == pytest.approx(-10 / 3.6)
    assert frames("bme280", DATASHEET[0], "--context", DATASHEET[1], "--option", "oversampling=16")[0]["fault"] == "OK"


def test_a_line_with_three_targets_has_three_rows() -> None:
    line = b'{"magnitude":[606.71, 352.58, 230.87], "speed":[-10.90, -12.26, -17.71]}\r\n'.hex()
    (row,) = frames("ops243", line)  # OmniPreSense AN-010, an array report
    assert [target["speed"] for target in row["rows"]] == [-10.9, -12.26, -17.71]


@pytest.mark.parametrize("model", ["SDS011", "Sds-011", "SDS021"])
def test_a_model_finds_its_driver(model: str) -> None:
    assert frames(model, CAPTURE) == frames("sds011", CAPTURE)


def golden() -> list[tuple[Driver, dict[str, Any]]]:
    found = []
    for driver in DRIVERS.values():
        folder = Path(drivers.__file__).parent / driver.domain / driver.folder
        said = tomllib.loads((folder / "vectors.toml").read_text(encoding="utf-8"))
        first = said.get("driver", next(one.name for one in DRIVERS.values() if one.folder == driver.folder))
        found += [
            (driver, one)
            for one in said["vector"]
            if one.get("driver", first) == driver.name and "command" not in one and "pieces" not in one
        ]
    return found


@pytest.mark.parametrize(
    ("driver", "vector"), golden(), ids=lambda part: part.name if isinstance(part, Driver) else part["id"]
)
def test_every_golden_frame_has_its_verdict(driver: Driver, vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"]) if "hex" in vector else vector["text"].encode()
    options = [word for name, value in vector.get("options", {}).items() for word in ("--option", f"{name}={value}")]
    said = frames(driver.name, data.hex(), "--context", vector.get("context", ""), *options)
    assert "".join(row["hex"] for row in said) == data.hex()
    wanted = vector.get("fault", "ok").upper()
    if wanted in ("LENGTH", "CHECK") and len(said) > 1:
        return  # in a stream the rest of it is garbage
    verdicts = {row["fault"] for row in said}
    assert wanted in verdicts or (wanted in ("LENGTH", "CHECK") and verdicts <= {"NOT_DATA", "CHECK"})
    if wanted == "OK":
        assert sum(len(row["rows"]) for row in said) == len(vector["rows"])


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        (["sds011", "xyz"], "'xyz' is not hex", "pairs of 0-9 and a-f"),
        (["sds011", "aac"], "'aac' is not hex", "pairs of 0-9 and a-f"),
        (["sds011", CAPTURE, "--context", "q"], "'q' is not hex", "pairs of 0-9 and a-f"),
        (["sds11", CAPTURE], "no driver 'sds11'", "gateway drivers"),
        (["zx81", CAPTURE], "no driver 'zx81'", "gateway drivers"),
        (["sds011", CAPTURE, "--option", "x=1"], "unknown option 'x'", "known: none"),
        (["bme280", "00", "--option", "oversampl=1"], "unknown option 'oversampl'", "known: oversampling"),
        (["bme280", "00", "--option", "oversampling=3"], "oversampling: '3' is not one of 1, 2, 4, 8, 16", "samples"),
        (["bme280", "00", "--option", "oversampling=two"], "oversampling: 'two' is no whole number", "samples"),
        (["bme280", "00", "--option", "oversampling"], "oversampling: '' is no whole number", "samples"),
        (["ops243", "00", "--option", "unit=kmh"], "unit: 'kmh' is not one of m/s, km/h", "unit that the radar"),
    ],
)
def test_what_cannot_be_done_ends_with_2_and_a_hint(words: list[str], what: str, hint: str) -> None:
    result = decode(*words)
    assert result.exit_code == 2
    assert result.stdout == ""
    first, second = result.stderr.splitlines()
    assert what in first
    assert second.startswith("    -> ")
    assert hint in second


def test_without_frames_it_says_how_to_use_it() -> None:
    result = decode("sds011")
    assert result.exit_code == 2
    assert "Usage: " in result.stderr
