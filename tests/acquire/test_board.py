"""What parts are told of what others measured: the latest good value, cut to what they take, or their default."""

from __future__ import annotations

import threading
from itertools import pairwise

from virtual_bus import Part, part_driver, rig

from drivers.base import Command, Input, Inputs, Options
from gateway.acquire import NS
from gateway.board import CLAMPED, NOT_NAMED, NOT_YET, TOO_OLD, NoticeBoard, Posted, Source, Told

HUMIDITY = Input("humidity", "%", 50.0, 0.0, 100.0, max_age_s=60.0)
TEMPERATURE = Input("temperature", "Cel", 25.0, -45.0, 130.0)
WEATHER = Source.of("weather-1.humidity")
SOURCES = {"humidity": WEATHER}


def said(inputs: Inputs, options: Options) -> bytes:
    """Say a compensated measurement: the humidity is in it."""
    return b"\x26" + bytes([round(inputs.get("humidity", HUMIDITY.default))])


def test_a_source_is_written_sensor_dot_channel() -> None:
    assert Source("weather-1", "humidity") == WEATHER
    assert str(WEATHER) == "weather-1.humidity"


def test_nobody_measures_it_so_the_default_is_told_and_that_is_seen() -> None:
    board = NoticeBoard()
    assert board.ask("gas", (HUMIDITY, TEMPERATURE), {}, 5 * NS) == {"humidity": 50.0, "temperature": 25.0}
    assert board.told("gas") == {"humidity": Told(50.0, NOT_NAMED), "temperature": Told(25.0, NOT_NAMED)}
    assert board.told("other") == {}


def test_what_was_measured_is_told_until_it_is_too_old() -> None:
    board = NoticeBoard()
    assert board.ask("gas", (HUMIDITY,), SOURCES, 0) == {"humidity": 50.0}
    assert board.told("gas")["humidity"] == Told(50.0, NOT_YET, defaults=1)
    board.post({WEATHER: Posted(81.5, 100 * NS)})
    assert board.ask("gas", (HUMIDITY,), SOURCES, 160 * NS) == {"humidity": 81.5}
    assert board.told("gas")["humidity"] == Told(81.5, "", defaults=1)
    assert board.ask("gas", (HUMIDITY,), SOURCES, 160 * NS + 1) == {"humidity": 50.0}
    assert board.told("gas")["humidity"] == Told(50.0, TOO_OLD, defaults=2)
    board.post({Source("other", "humidity"): Posted(1.0, 200 * NS)})  # of the old one nothing is forgotten
    board.post({WEATHER: Posted(60.0, 200 * NS)})
    assert board.ask("gas", (HUMIDITY,), SOURCES, 201 * NS) == {"humidity": 60.0}


def test_a_part_is_told_no_more_than_it_takes() -> None:
    board = NoticeBoard()
    for measured, told in ((104.0, 100.0), (-3.0, 0.0)):
        board.post({WEATHER: Posted(measured, 0)})
        assert board.ask("gas", (HUMIDITY,), SOURCES, NS) == {"humidity": told}
        assert board.told("gas")["humidity"] == Told(told, CLAMPED)


def test_a_script_says_what_holds_at_its_begin() -> None:
    board = NoticeBoard()
    driver = part_driver(script=(Command("measure", said, rx=3, wait_s=0.03),), inputs=(HUMIDITY,))
    it = rig({"gas": (Part(), driver)}, inputs=lambda now_ns: board.ask("gas", (HUMIDITY,), SOURCES, now_ns))
    for second, humidity in ((10, 70.0), (20, 80.0)):
        at = it.clock.now_ns + second * NS
        it.parts["gas"].exchange = _posting(it.parts["gas"], board, at, humidity)  # type: ignore[method-assign]
    it.run(120)
    told = [tx[1] for _, tx in it.parts["gas"].said if tx]
    changes = [told[0]] + [b for a, b in pairwise(told) if a != b]
    assert changes == [50, 70, 80, 50]  # the default, two values, and the default when nothing new came for a minute


def _posting(part: Part, board: NoticeBoard, at_ns: int, value: float) -> object:
    """Put a value on the board when time has come."""
    plain, done = part.exchange, []

    def exchange(tx: bytes, rx: int, clock: object) -> object:
        if not done and clock.now_ns >= at_ns:  # type: ignore[attr-defined]
            done.append(True)
            board.post({WEATHER: Posted(value, clock.now_ns)})  # type: ignore[attr-defined]
        return plain(tx, rx, clock)  # type: ignore[arg-type]

    return exchange


def test_a_script_falls_back_by_itself_where_nothing_is_told() -> None:
    done = rig({"gas": (Part(), part_driver(script=(Command("measure", said, rx=3),)))}).run(5)
    assert {tx for _, tx in done.parts["gas"].said} == {b"\x26\x32"}


def test_many_may_ask_while_one_posts() -> None:
    board, stop, torn = NoticeBoard(), threading.Event(), []
    pair = (Source("w", "a"), Source("w", "b"))
    both = (Input("a", "1", -1.0), Input("b", "1", -1.0))

    def listen(name: str) -> None:
        while not stop.is_set():
            told = board.ask(name, both, {"a": pair[0], "b": pair[1]}, 0)
            if told["a"] != told["b"]:  # posted together
                torn.append(told)

    threads = [threading.Thread(target=listen, args=(f"part-{i}",)) for i in range(3)]
    for thread in threads:
        thread.start()
    for i in range(5000):
        board.post({pair[0]: Posted(float(i), 0), pair[1]: Posted(float(i), 0)})
        board.told("part-1")
    stop.set()
    for thread in threads:
        thread.join()
    assert torn == []
