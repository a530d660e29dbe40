"""The data model as documented, against what the programs write: examples, names, and which field comes with what."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from drivers import DRIVERS
from drivers.base import Channel, Fault, Kind, Miss
from gateway import wire
from gateway.block import FLAGS, Block, Reason, Slots
from gateway.health import BOARD_DRIVER
from gateway.pipeline.fields import columns
from gateway.pipeline.windows import NS, SensorSpec, add, close
from gateway.store.influx import MEASUREMENTS
from gateway.store.lineprotocol import encode

TEXT = (Path(__file__).parents[2] / "docs" / "reference" / "data-model.md").read_text(encoding="utf-8")
MIN_CAPTURE = 0.75


def fence(kind: str) -> str:
    """Return the one example of a kind."""
    found = re.findall(rf"(?ms)^```{kind}\n(.*?)^```$", TEXT)
    assert len(found) == 1, f"{len(found)} examples of {kind}"
    return str(found[0])


def table(*header: str) -> list[list[str]]:
    """Return the cells of the table with this header; of two such tables, both."""
    rows, inside = [], False
    for line in TEXT.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if inside and cells and not set(line) <= {"|", "-"}:
            rows.append(cells)
        inside = cells[: len(header)] == list(header) or (inside and bool(cells))
    assert rows, f"no table {header}"
    return rows


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def window_fields() -> dict[str, set[str]]:
    """Return documented field -> the kinds of channels that have it."""
    kinds = {kind.value for kind in (Kind.SCALAR, Kind.LEVEL, Kind.COUNT, Kind.SPEED)}
    out = {}
    for cells in table("field", "unit", "kinds"):
        for name in names(cells[0]):
            out[name] = kinds if cells[2] == "all" else set(cells[2].split(", "))
    return out


def plain_fields() -> list[str]:
    """Return the fields of the tables without units: reasons, and those of the ledger."""
    return [name for cells in table("field", "meaning") for name in names(cells[0])]


LEDGER_FIELDS = {name for name in plain_fields() if not name.startswith("r_")}
SERIES_FIELDS = set(window_fields()) | {name for name in plain_fields() if name.startswith("r_")}


@pytest.fixture(scope="module")
def message() -> wire.WindowsMessage:
    return wire.unpack_windows(fence("json windows-message").encode())


def test_the_example_has_only_documented_names(message: wire.WindowsMessage) -> None:
    channels = {name: names(cells[1])[0] for cells in table("channel", "unit") for name in names(cells[0])}
    seen = list(wire.points(message))
    assert len(seen) == len(message.series) + len(message.ledger) > 0
    for point in seen:
        tags = dict(point.tags)
        if point.measurement == "ledger":
            assert set(point.fields) <= LEDGER_FIELDS
            assert "channel" not in tags
        else:
            assert set(point.fields) <= SERIES_FIELDS
            assert channels[tags["channel"]] == tags["unit"]


def test_the_lines_are_what_the_message_becomes(message: wire.WindowsMessage) -> None:
    assert fence("influx") == encode(list(wire.points(message))).decode()


def test_the_example_is_true_to_its_own_rules(message: wire.WindowsMessage) -> None:
    ledger = message.ledger
    for i in range(len(ledger)):
        assert ledger.expected[i] == ledger.valid[i] + ledger.rejected[i] + ledger.missing[i]
    for leq, energy in zip(message.fields["leq"], message.fields["energy"], strict=True):
        assert (leq is None) == (energy is None)
        if leq is not None and energy is not None:
            assert leq == pytest.approx(10 * math.log10(energy), abs=1e-3)
    assert message.start_ns % (message.period_s * NS) == 0
    assert len(wire.pack(message)) < wire.MAX_PAYLOAD


def test_the_receipt_is_one() -> None:
    receipt = wire.unpack_receipt(fence("json receipt").encode())
    assert receipt.stored
    assert receipt.dead


def test_tags_measurements_and_topics_are_those_of_the_programs() -> None:
    assert [names(cells[0])[0] for cells in table("tag", "meaning")] == list(wire.TAGS)
    ledger_tags = re.search(r"Tags: `([a-z ]+)`\. Fields:", TEXT)
    assert ledger_tags
    assert ledger_tags[1].split() == list(wire.LEDGER_TAGS)
    assert [names(cells[0])[0] for cells in table("measurement")] == list(MEASUREMENTS)
    assert {names(cells[0])[0] for cells in table("leaf")} == set(wire.LEAVES)
    assert f"Above {wire.DEFLATE_ABOVE:,} bytes" in TEXT


def test_every_key_of_a_message_is_documented() -> None:
    documented = {name for cells in table("key", "meaning") for name in names(cells[0])}
    assert set(wire.WindowsMessage.__struct_fields__) <= documented


def test_every_channel_of_every_driver_is_documented() -> None:
    documented = {
        (name, names(cells[1])[0], cells[2]) for cells in table("channel", "unit") for name in names(cells[0])
    }
    drivers = [*DRIVERS.values(), BOARD_DRIVER]
    declared = {(channel.name, channel.unit, channel.kind.value) for driver in drivers for channel in driver.channels}
    assert declared == documented


def test_reasons_verdicts_and_misses_are_those_of_the_programs() -> None:
    documented = set(plain_fields())
    assert {name for name in documented if name.startswith("r_")} == {f"r_{str(one.name).lower()}" for one in Reason}
    bad = [fault for fault in Fault if fault not in (Fault.OK, Fault.NOT_DATA)]
    assert {name for name in documented if name.startswith("rejected_")} == {
        f"rejected_{fault.name.lower()}" for fault in bad
    }
    assert {name for name in documented if name.startswith("missing_")} == {f"missing_{miss}" for miss in Miss}
    counts = {name for name in wire.Ledger.__struct_fields__ if name not in ("sensor", "rejected_by", "missing_by")}
    assert counts | {"rev"} == {name for name in LEDGER_FIELDS if "_" not in name}


def test_flags_are_those_of_the_programs() -> None:
    assert [int(cells[0]) for cells in table("value", "of a reading")] == [int(flag) for flag in FLAGS]


def fields_of(kind: Kind, values: Sequence[float], *, events: bool = False) -> dict[str, float]:
    """Close one minute of one channel as the gateway does; return its fields."""
    spec = SensorSpec("place", "air", (Channel("x", "{vehicles}" if kind is Kind.COUNT else "1", kind),), NS, events)
    n = len(values)
    t = np.arange(n, dtype=np.int64) * NS
    shape = (n, 1)
    v = np.array(values, np.float64).reshape(shape)
    block = Block(t, v, np.ones(shape, np.uint8), np.zeros(shape, np.uint16), np.ones(n), 60 * NS)
    slots = Slots(np.arange(60, dtype=np.int64) * NS, np.zeros(60, np.uint8))
    _, windows = close(spec, add(spec.initial(), block, slots, 0), 0, 60)
    row = {name: column[0] for name, column in columns(windows, MIN_CAPTURE).items()}
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize("kind", [Kind.SCALAR, Kind.LEVEL, Kind.COUNT, Kind.SPEED])
def test_each_kind_has_the_fields_that_are_documented_for_it(kind: Kind) -> None:
    documented = {name for name, kinds in window_fields().items() if kind.value in kinds} - {"rev"}
    assert set(fields_of(kind, [1.0, 2.0, 4.0])) == documented


def test_std_is_the_sample_standard_deviation() -> None:
    assert fields_of(Kind.SCALAR, [1.0, 2.0, 4.0])["std"] == pytest.approx(math.sqrt(7 / 3))
    assert "std" not in fields_of(Kind.SCALAR, [1.0])


def test_statistics_of_a_speed_are_of_its_magnitude() -> None:
    fields = fields_of(Kind.SPEED, [-3.0, 5.0])
    assert (fields["mean"], fields["min"], fields["max"]) == (4.0, 3.0, 5.0)


def test_an_empty_street_is_not_a_dead_radar() -> None:
    speed, count = (fields_of(kind, [], events=True) for kind in (Kind.SPEED, Kind.COUNT))
    assert (speed["n"], speed["flag"], speed["capture"]) == (0.0, 1.0, 1.0)
    assert not {"mean", "min", "max", "std"} & set(speed)
    assert (count["sum"], count["observed_s"], count["flag"]) == (0.0, 60.0, 1.0)


def test_the_recipes_use_documented_names() -> None:
    recipes = re.findall(r"(?ms)^```influxql\n(.*?)^```$", TEXT)
    assert len(recipes) >= 4
    known = SERIES_FIELDS | LEDGER_FIELDS | set(wire.TAGS) | set(MEASUREMENTS)
    for recipe in recipes:
        aliases = set(re.findall(r'AS "(\w+)"', recipe))
        assert set(re.findall(r'"(\w+)"', recipe)) - aliases <= known
        assert '"period" = \'' in recipe
        assert 'mean("leq")' not in recipe
