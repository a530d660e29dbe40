"""Gas indices at a site: which parts have them, what a site file may say, and a gateway that is switched off."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_pipeline_gas_index import walk

from drivers import DRIVERS
from drivers.checks import word
from gateway.block import Windows
from gateway.config import Config, from_json, to_json
from gateway.config_file import examine
from gateway.config_sensors import GasIndexConfig, GasTuning, SensorConfig
from gateway.config_site import GatewayConfig, SiteConfig
from gateway.core import Core
from gateway.pipeline.gas_index import NOX, VOC, GasIndex
from gateway.pipeline.windows import NS
from gateway.plans import plans
from gateway.record import ClockRecord, Context, Record, RecordKind, Tick, encode
from gateway.stages import channels_of

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "gas-index.md"
STAGE = GasIndex(((0, VOC), (1, NOX)), 1.0)


def configured(driver: str, **more: object) -> Config:
    sensor = SensorConfig("gas", driver, bus="/dev/i2c-1", **more)  # type: ignore[arg-type]
    return Config(SiteConfig("street"), GatewayConfig("lp-1"), sensor=(sensor,))


def names(config: Config) -> list[str]:
    (sensor,) = config.sensor
    return [channel.name for channel in channels_of(config, sensor, DRIVERS[sensor.driver])]


@pytest.mark.parametrize(
    ("driver", "more", "channels"),
    [
        ("sgp40", {}, "voc_raw voc_index"),
        ("sgp41", {}, "voc_raw nox_raw voc_index nox_index"),
        ("sgp41", {"every_s": 10.0}, "voc_raw nox_raw voc_index nox_index"),
        ("sgp41", {"every_s": 2.0}, "voc_raw nox_raw"),
        ("sgp41", {"gas_index": GasIndexConfig(enabled=False)}, "voc_raw nox_raw"),
        ("sen55", {}, "pm1_0 pm2_5 pm4_0 pm10 humidity temperature voc_index nox_index"),
    ],
)
def test_a_part_with_ticks_has_its_index_beside_them(driver: str, more: dict[str, object], channels: str) -> None:
    assert names(configured(driver, **more)) == channels.split()


def test_what_is_tuned_reaches_the_algorithm_and_the_name_of_the_plan() -> None:
    tuned = GasIndexConfig(forget_after_s=60.0, nox=GasTuning(index_offset=5.0, gating_max_duration_min=0.0))
    config = configured("sgp41", gas_index=tuned)
    assert from_json(to_json(config)) == config
    plan, plain = plans(config)["gas"], plans(configured("sgp41"))["gas"]
    assert plan.stages[-1] == GasIndex(
        ((0, VOC), (1, replace(NOX, index_offset=5.0, gating_max_duration_min=0.0))), 1.0, 60.0
    )
    assert plain.stages[-1] == STAGE
    assert plan.hash != plain.hash


def records(seconds: range) -> list[Record]:
    """What acquisition writes of an SGP41 that is read each second."""
    out = []
    for s, (voc, nox) in enumerate(zip(walk(seconds.stop, 30000, -1500), walk(seconds.stop, 16000, 2500), strict=True)):
        if s in seconds:
            out.append(Record(RecordKind.FRAME, s * NS + NS // 3, "gas", word(voc) + word(nox)))
            if s % 10 == 9:
                out.append(Record(RecordKind.TICK, (s + 1) * NS, "", encode(Tick((s + 1) * NS, ["gas"]))))
    return out


def test_a_gateway_that_is_switched_off_after_three_hours_has_learned_for_good() -> None:
    config = configured("sgp41")
    first, rest = records(range(3 * 3600)), records(range(3 * 3600 + 120, 4 * 3600))  # two minutes without power

    def core() -> Core:
        return Core({"c": plans(config)}, 60, 2.0)

    unbroken, before, after = core(), core(), core()
    start = [
        Record(RecordKind.CLOCK, 0, "", encode(ClockRecord("boot", 1_767_225_600 * NS, True, 0))),
        Record(RecordKind.CONTEXT, 1, "gas", encode(Context(True, b""))),
    ]
    for one in (unbroken, before):
        one.begin("c")
        one.feed([*start, *first])
    assert after.restore(before.save(), "c") == []
    wanted, closed = unbroken.feed(rest), after.feed(rest)
    assert [(w.moments.tobytes(), w.n_by_flag.tobytes()) for w in closed] == [
        (w.moments.tobytes(), w.n_by_flag.tobytes()) for w in wanted
    ]
    assert after.save() == unbroken.save()
    assert mean(closed[-1], "voc_index") > 1.0
    assert closed[-1].n_by_flag[[key[2] for key in closed[-1].series].index("voc_index")].tolist() == [60, 0, 0, 0, 0]


def mean(windows: Windows, channel: str) -> float:
    return float(windows.moments[[key[2] for key in windows.series].index(channel), 0])


HEAD = '[site]\nname = "street"\n[gateway]\nname = "lp-1"\n[[sensor]]\nname = "gas"\nbus = "/dev/i2c-1"\n'
# lines of the sensor -> key, what, hint
WRONG = {
    'driver = "sgp41"\nevery_s = 2': ("every_s", "knows no interval of 2 s", "use 1 or 10"),
    'driver = "sgp40"\n[sensor.gas_index.nox]\nindex_offset = 2': (
        "nox",
        "no channel 'nox_raw'",
        "take this table out",
    ),
    'driver = "bme280"\n[sensor.gas_index]\nenabled = false': (
        "gas_index",
        "gives no raw ticks",
        "take this table out",
    ),
    'driver = "sen55"\n[sensor.gas_index]\nenabled = true': ("gas_index", "gives no raw ticks", "take this table out"),
    'driver = "sgp41"\n[sensor.gas_index.nox]\nstd_initial = 60': ("std_initial", "means nothing", "take this key out"),
    'driver = "sgp41"\n[sensor.gas_index.voc]\ngain_factor = 0': ("gain_factor", "too small", "use 1 or more"),
    'driver = "sgp41"\n[sensor.gas_index.voc]\ngain_fact = 1': (
        "gain_fact",
        "unknown key",
        "did you mean `gain_factor`?",
    ),
    'driver = "sgp41"\n[sensor.gas_index]\nenable = 1': ("enable", "unknown key", "did you mean `enabled`?"),
}


@pytest.mark.parametrize("lines", WRONG)
def test_what_cannot_be_is_said_with_its_line(lines: str, tmp_path: Path) -> None:
    path, (key, what, hint) = tmp_path / "site.toml", WRONG[lines]
    path.write_text(HEAD + lines + "\n", encoding="utf-8")
    found = [one for one in examine(path)[1] if one.key.rpartition(".")[2] == key]
    assert len(found) == 1, found
    assert what in found[0].what
    assert hint in found[0].hint
    assert key in path.read_text(encoding="utf-8").splitlines()[found[0].line - 1]
    assert found[0].warning is (key == "std_initial")


@pytest.mark.parametrize("lines", ["every_s = 10", "every_s = 2\n[sensor.gas_index]\nenabled = false"])
def test_another_pace_without_the_index_is_no_mistake(lines: str, tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(f'{HEAD}driver = "sgp41"\n{lines}\n', encoding="utf-8")
    assert [one for one in examine(path)[1] if not one.warning] == []


def test_the_page_says_what_is_so(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(\w+)` \| ?(\w*) \| (\d+) \| (\S+) \|", text)
    documented = {name: (float(voc), float(nox) if nox != "-" else None) for name, _, voc, nox in rows}
    inert = ("learning_time_gain_hours", "std_initial")
    tunable = [name for name in GasTuning.__dataclass_fields__ if name != "origin"]
    assert documented == {
        name: (getattr(VOC, name), None if name in inert else getattr(NOX, name)) for name in tunable
    }  # fmt: skip
    (example,) = re.findall(r"(?ms)^```toml\n(.*?)^```$", text)
    path = tmp_path / "site.toml"
    path.write_text('[site]\nname = "street"\n[gateway]\nname = "lp-1"\n' + example, encoding="utf-8")
    assert [one for one in examine(path)[1] if not one.warning] == []
