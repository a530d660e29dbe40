from __future__ import annotations

import pytest
from still_air import StillAir, ask
from still_street import Heard

from firmware_sim.checks import with_crcs
from firmware_sim.device import Nack
from firmware_sim.devices.sen6x import Sen6x, Sen63c, Sen65, Sen66, Sen68
from firmware_sim.street import Counts, Particles

START, STOP, READY, NUMBERS = "0021", "0104", "0202", "0316"
YES, NO = with_crcs(b"\0\1").hex(), "000081"
READ = {Sen66: ("0300", 27), Sen63c: ("0471", 21), Sen65: ("0446", 24), Sen68: ("0467", 27)}
KINDS = pytest.mark.parametrize("kind", list(READ), ids=lambda kind: kind.NAME)


@pytest.fixture
def still() -> StillAir:
    air = StillAir()
    air.pm, air.humidity, air.air_degc = Particles(3.1, 5.2, 6.0, 6.4), 47.11, 21.605
    return air


def started(kind: type[Sen6x], still: StillAir, heard: Heard, at_s: float = 0.0) -> Sen6x:
    twin = kind(still, heard)
    twin.write(bytes.fromhex(START), at_s)
    return twin


def values(twin: Sen6x, t_s: float) -> str:
    command, n = READ[type(twin)]
    return ask(twin, command, n, t_s, 0.02)


# words as sensirion-i2c-sen63c, -sen65 and -sen68 1.1.0 and sensirion-i2c-sen66 1.3.1 lay them out
@pytest.mark.parametrize(
    ("kind", "degc", "reply"),
    [
        (Sen63c, -2.3, "001fec003480003c390040bc12671afe34f5028f0c"),
        (Sen65, 21.605, "001fec003480003c390040bc12671a10e11f03e8d4000a5a"),
        (Sen68, 21.605, "001fec003480003c390040bc12671a10e11f03e8d4000a5a00bbd4"),
    ],
)
def test_sample_is_the_published_one(still: StillAir, heard: Heard, kind: type[Sen6x], degc: float, reply: str) -> None:
    still.air_degc, still.co2 = degc, 655.0
    assert values(started(kind, still, heard), 100.5) == reply
    common = {"pm1_0": 3.1, "pm2_5": 5.2, "pm4_0": 6.0, "pm10": 6.4, "humidity": 47.11, "temperature": degc}
    gas = {"voc_index": 100.0, "nox_index": 1.0}
    own = {"SEN63C": {"co2": 655.0}, "SEN65": gas, "SEN68": gas | {"hcho": 18.7}}[kind.NAME]
    assert heard.values == [common | own]


def test_sample_of_a_sen66(still: StillAir, heard: Heard) -> None:
    still.pm, still.humidity, still.air_degc, still.voc = Particles(5.5, 7.8, 9.2, 10.1), 50.23, 23.05, 112.0
    still.co2 = 812.0
    sample = "0037d3004ea3005c820065cf139fd51202540460b9000a5a032c57"
    assert values(started(Sen66, still, heard), 60.5) == sample
    assert heard.values[0]["co2"] == 812.0


@KINDS
def test_everything_is_unknown_before_the_first_sample(still: StillAir, heard: Heard, kind: type[Sen6x]) -> None:
    twin = started(kind, still, heard)
    assert ask(twin, READY, 3, 0.1, 0.02) == NO
    unknown = {"H": "ffffac", "h": "7fff8f"}
    assert values(twin, 0.2) == "".join(unknown[field.code] for field in kind.FIELDS)
    assert set(heard.values[0].values()) == {None}


@pytest.mark.parametrize(
    ("kind", "channel", "until_s"),
    [(Sen66, "nox_index", 10), (Sen66, "co2", 5), (Sen63c, "co2", 24), (Sen68, "hcho", 60)],
)
def test_some_values_come_later(still: StillAir, heard: Heard, kind: type[Sen6x], channel: str, until_s: int) -> None:
    twin = started(kind, still, heard)
    values(twin, until_s + 0.5)
    values(twin, until_s + 1.5)
    assert heard.values[0][channel] is None
    assert heard.values[1][channel] is not None


def test_reading_clears_the_flag_and_repeats_without_a_new_sample(still: StillAir, heard: Heard) -> None:
    twin = started(Sen66, still, heard)
    assert ask(twin, READY, 3, 1.1, 0.02) == YES
    first = values(twin, 1.2)
    assert ask(twin, READY, 3, 1.3, 0.02) == NO
    still.pm = Particles(50.0, 60.0, 70.0, 80.0)
    assert values(twin, 2.1) != first


def test_numbers_belong_to_the_values_that_were_read_before(still: StillAir, heard: Heard) -> None:
    still.counts = Counts(40.0, 12.0, 1.2, 0.4, 0.1, 0.05, 0.0)
    twin = started(Sen66, still, heard)
    numbers = with_crcs(b"".join(round(10 * n).to_bytes(2, "big") for n in (28.0, 38.8, 39.6, 39.9, 40.0))).hex()
    values(twin, 1.98)
    assert ask(twin, NUMBERS, 15, 2.01, 0.02) == numbers
    assert "n0_5" not in heard.values[0], "nobody had asked for them"
    values(twin, 2.99)
    ask(twin, NUMBERS, 15, 3.02, 0.02)
    assert ask(twin, READY, 3, 3.05, 0.02) == YES, "the third sample was not read yet"
    told = heard.values[1]
    assert [told[name] for name in ("n0_5", "n1_0", "n2_5", "n4_0", "n10")] == [28.0, 38.8, 39.6, 39.9, 40.0]
    assert len(heard.values) == 2


def test_raw_words(still: StillAir, heard: Heard) -> None:
    twin = started(Sen66, still, heard)
    raw = with_crcs(
        (4711).to_bytes(2, "big") + (4321).to_bytes(2, "big") + (30123).to_bytes(2, "big") + (15987).to_bytes(2, "big")
    )
    assert ask(twin, "0405", 15, 10.5, 0.02) == raw.hex() + with_crcs((500).to_bytes(2, "big")).hex()
    values(twin, 10.6)
    assert (heard.values[0]["voc_raw"], heard.values[0]["nox_raw"]) == (30123.0, 15987.0)


@KINDS
def test_a_host_that_comes_back_must_stop_it_first(still: StillAir, heard: Heard, kind: type[Sen6x]) -> None:
    twin = started(kind, still, heard)
    for refused in (START, "d304", "5607"):
        with pytest.raises(Nack):
            twin.write(bytes.fromhex(refused), 60.0)
    twin.write(bytes.fromhex(STOP), 61.0)
    with pytest.raises(Nack):
        twin.write(b"", 62.39)
    for refused in (STOP, READY, READ[kind][0], NUMBERS):
        with pytest.raises(Nack):
            twin.write(bytes.fromhex(refused), 63.0)
    twin.write(bytes.fromhex(START), 64.0)
    assert ask(twin, READY, 3, 65.1, 0.02) == YES


def test_conditioning_that_is_cut_short_is_an_error_until_it_is_cleared(still: StillAir, heard: Heard) -> None:
    twin = started(Sen63c, still, heard)
    twin.write(bytes.fromhex(STOP), 5.0)
    twin.write(bytes.fromhex(START), 10.0)
    error = with_crcs((1 << 12).to_bytes(4, "big")).hex()
    assert ask(twin, "d206", 6, 11.0, 0.02) == error
    values(twin, 60.0)
    assert heard.values[0]["co2"] is None
    assert ask(twin, "d210", 6, 61.0, 0.02) == error
    assert ask(twin, "d206", 6, 62.0, 0.02) == with_crcs(bytes(4)).hex()


def test_fan_cleaning_is_for_idle_times_and_takes_10_s(still: StillAir, heard: Heard) -> None:
    twin = Sen66(still, heard)
    twin.write(bytes.fromhex("5607"), 0.0)
    with pytest.raises(Nack):
        twin.write(bytes.fromhex(START), 9.9)
    twin.write(bytes.fromhex(START), 10.1)


@KINDS
def test_identity(still: StillAir, heard: Heard, kind: type[Sen6x]) -> None:
    twin = kind(still, heard)
    assert ask(twin, "d014", 48, 0.0, 0.02) == with_crcs(kind.NAME.encode().ljust(32, b"\0")).hex()
    assert ask(twin, "d033", 48, 1.0, 0.02) == with_crcs(b"5A4D881D480ACDC3".ljust(32, b"\0")).hex()
    assert ask(twin, "d100", 3, 2.0, 0.02) == with_crcs(b"\4\0").hex()
    with pytest.raises(ValueError, match="31"):
        kind(still, heard, serial=32 * "x")


def test_settings_are_kept_until_reset_and_only_where_there_is_the_sensor(still: StillAir, heard: Heard) -> None:
    twin = Sen66(still, heard)
    state = with_crcs(bytes.fromhex("0102030405060708"))
    twin.write(bytes.fromhex("6181") + state, 0.0)
    assert ask(twin, "6181", 12, 1.0, 0.02) == state.hex()
    twin.write(bytes.fromhex("6720") + with_crcs((990).to_bytes(2, "big")), 2.0)
    assert ask(twin, "6720", 3, 3.0, 0.02) == with_crcs((990).to_bytes(2, "big")).hex()
    twin.write(bytes.fromhex("60b2") + with_crcs(bytes(8)), 4.0)
    assert ask(twin, "6707" + with_crcs((420).to_bytes(2, "big")).hex(), 3, 5.0, 0.5) == with_crcs(b"\x80\0").hex()
    twin.write(bytes.fromhex("d304"), 6.0)
    with pytest.raises(Nack):
        twin.write(b"", 7.19)
    assert ask(twin, "6181", 12, 7.3, 0.02) == with_crcs(bytes(8)).hex()
    for kind, missing in ((Sen65, "6720"), (Sen63c, "6181"), (Sen68, "6736")):
        with pytest.raises(Nack):
            kind(still, heard).write(bytes.fromhex(missing), 0.0)


@pytest.mark.parametrize("bad", ["00", "beef", "0037", "6181000000", "60b2", "0021000081"])
def test_what_makes_no_sense_is_not_acknowledged(still: StillAir, heard: Heard, bad: str) -> None:
    with pytest.raises(Nack):
        Sen66(still, heard).write(bytes.fromhex(bad), 0.0)


def test_playback(still: StillAir, heard: Heard) -> None:
    words = "001fec003480003c390040bc12671a10e11f03e8d4000a5a"
    twin = Sen65(still, heard, frames=[words])
    twin.write(bytes.fromhex(START), 0.0)
    assert values(twin, 1.5) == words
    assert heard.values == [{}]
    with pytest.raises(ValueError, match="21"):
        Sen63c(still, heard, frames=[words])
