"""`gateway verify`: every key that history knows is in the store, or it is said which is not, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_books import HOUR, NS, T_NS, Post, delivered, post
from typer.testing import CliRunner, Result

from gateway import in_force, wire
from gateway.__main__ import app
from gateway.cli import verify as verb
from gateway.core import revised
from gateway.expected import Expected
from gateway.store.sqlite import SqliteStore
from gateway.verify import Place, verify

BEGIN = T_NS - 3 * HOUR  # 23:00 in Bucharest: every local period begins behind it


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    """A day and a third, all delivered: every sort of longer window is among them."""
    with delivered(tmp_path_factory.mktemp("whole"), BEGIN, 33) as one:
        yield one


@pytest.fixture
def two_hours(tmp_path: Path) -> Iterator[Post]:
    with delivered(tmp_path, T_NS, 2) as one:
        yield one


def said(site: Path, *words: object) -> Result:
    return CliRunner().invoke(app, ["verify", str(site), *map(str, words)])


def found(site: Path, *words: object, code: int) -> dict[str, Any]:
    result = said(site, *words, "--json")
    assert result.exit_code == code, result.output
    out: dict[str, Any] = msgspec.json.decode(result.stdout)
    return out


def test_all_is_there_whatever_the_period(whole: Post) -> None:
    out = found(whole.site, "--from", "7d", code=0)
    with whole.store() as store:
        points = list(store.read(0, 2**62))
    assert len(points) == whole.outbox.account()["keys"]
    assert out["points"] == out["equal"] == len(points)  # those too that begin before the first base window
    assert min(point.start_ns for point in points) < BEGIN
    assert {dict(point.tags)["period"] for point in points} == {
        "600s", "3600s", "8h", "day", "evening", "night", "local_day", "den",
    }  # fmt: skip
    assert out["uncompared_windows"] == 0
    assert found(whole.site, code=0)["uncompared_fields"] == 0  # of the last day the samples are still there
    assert any("l10" in point.fields for point in points)


def test_it_is_said_in_a_few_lines(whole: Post) -> None:
    result = said(whole.site, "--from", "2026-01-01T12:00", "--to", "2026-01-01T14:00")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:2] == ["post-7 (street) against sqlite", "2026-01-01 12:00:00 to 2026-01-01 14:00:00 UTC"]
    assert lines[-1] == "all there"
    assert "         0 missing" in lines
    assert max(map(len, lines)) < 100


def test_the_delivery_is_timed(two_hours: Post) -> None:
    from gateway.last_day import LastDay

    day = LastDay()
    day.delivered(T_NS + 2 * HOUR, two_hours.outbox.take_delivered_s())
    two_hours.outbox.note("last_day", day.save())
    two_hours.outbox.commit()
    assert found(two_hours.site, code=0)["delivery"] == pytest.approx(
        {"n": 16, "median_s": 2.0, "p95_s": 2.0, "longest_s": 2.0}, rel=0.05
    )
    assert "delivered after the end of a window, last day: half in 2.0 s" in said(two_hours.site).stdout


# -- negative controls: each sort of difference is seen, and only that ---------------------------------------------


def only(out: dict[str, Any], what: str, n: int) -> None:
    troubles = ("missing", "older", "newer", "different", "extra", "doubled", "on_the_way")
    assert {name: out[name] for name in troubles if out[name]} == {what: n}
    assert out["equal"] == out["points"] - (0 if what in ("extra", "doubled") else n)
    if what != "on_the_way":
        assert out["first"][0]["what"] == what


@pytest.mark.parametrize("period", ["600s", "3600s"])
def test_a_point_that_the_store_has_lost(two_hours: Post, period: str) -> None:
    gone = "DELETE FROM point WHERE start_ns = ? AND period = ? AND sensor = 'pm' AND measurement = 'air'"
    n = two_hours.edit_store(gone, T_NS + HOUR, period)
    assert n == 2
    only(found(two_hours.site, code=1), "missing", n)
    text = said(two_hours.site).stdout
    assert f"  missing air pm pm10 {period} 2026-01-01 01:00:00" in text
    assert f"gateway republish {two_hours.site}" in text


def test_one_bit_of_one_number(two_hours: Post) -> None:
    change = "UPDATE point SET fields = json_set(fields, '$.mean', json_extract(fields, '$.mean') * (1 + 1e-15))"
    n = two_hours.edit_store(f"{change} WHERE start_ns = ? AND channel = 'pm10' AND period = '600s'", T_NS)
    assert n == 1
    out = found(two_hours.site, code=1)
    only(out, "different", 1)
    assert out["first"][0]["detail"].startswith("mean ")
    assert " instead of " in out["first"][0]["detail"]


def test_a_field_that_is_gone_and_one_too_many(two_hours: Post) -> None:
    two_hours.edit_store("UPDATE point SET fields = json_remove(fields, '$.n') WHERE start_ns = ? AND rev = 0", T_NS)
    two_hours.edit_store("UPDATE point SET fields = json_set(fields, '$.old', 1) WHERE start_ns = ?", T_NS)
    out = found(two_hours.site, code=1)
    assert out["different"] > 10
    assert out["different"] + out["equal"] == out["points"]
    details = {one["detail"] for one in out["first"]}
    assert any("n nothing instead of" in detail for detail in details)
    assert all("old 1.0 instead of nothing" in detail for detail in details)


def test_a_window_that_nobody_made(two_hours: Post) -> None:
    tags = (("site", "street"), ("gateway", "post-7"), ("sensor", "pm"), ("channel", "pm10"), ("period", "600s"))
    with two_hours.store() as store:
        store.write([wire.Point("air", (*tags, ("unit", "ug/m3")), T_NS + 300 * NS, {"mean": 1.0})])
    only(found(two_hours.site, code=1), "extra", 1)


def test_windows_of_others_are_none_of_ours(two_hours: Post, tmp_path: Path) -> None:
    with post(tmp_path / "neighbour", gateway="post-8") as other, two_hours.store() as store:
        other.run(T_NS, 1)
        other.deliver(store)
    assert found(two_hours.site, code=0)["extra"] == 0


def test_what_waits_for_its_receipt_is_on_its_way(two_hours: Post) -> None:
    two_hours.run(T_NS + 2 * HOUR, 1)
    out = found(two_hours.site, code=0)
    only(out, "on_the_way", out["on_the_way"])
    assert out["queued_messages"] == 8
    assert said(two_hours.site).stdout.endswith("all there; the rest is on its way\n")
    two_hours.outbox.release(two_hours.outbox.queued, "dead")  # control: without a queue the same points are missing
    two_hours.outbox.commit()
    only(found(two_hours.site, code=1), "missing", out["on_the_way"])
    assert "8 messages are dead letters: on the bridge, gateway dead-letters list" in said(two_hours.site).stdout


def test_a_revision_that_did_not_arrive(two_hours: Post) -> None:
    at_ns = T_NS + 30 * 60 * NS
    two_hours.commit([two_hours.window(at_ns, seed=1)], T_NS + 2 * HOUR)
    out = found(two_hours.site, code=0)
    assert out["on_the_way"] > 0  # the window, and its hour
    two_hours.outbox.release(two_hours.outbox.queued, "receipted")
    two_hours.outbox.commit()
    only(found(two_hours.site, code=1), "older", out["on_the_way"])


def test_a_revision_that_arrived(two_hours: Post) -> None:
    two_hours.commit([two_hours.window(T_NS + 30 * 60 * NS, seed=1)], T_NS + 2 * HOUR)
    with two_hours.store() as store:
        assert two_hours.deliver(store) == 4  # the window, its hour, and two of eight hours that it is in
    out = found(two_hours.site, code=0)
    assert out["equal"] == out["points"]


def test_a_newer_revision_than_history_has(two_hours: Post) -> None:
    n = two_hours.edit_store("UPDATE point SET fields = json_set(fields, '$.rev', 3) WHERE start_ns = ?", T_NS)
    only(found(two_hours.site, code=1), "newer", n)


def test_a_window_that_history_cannot_read(two_hours: Post) -> None:
    two_hours.outbox.db.execute("UPDATE history SET block = x'00' WHERE start_ns = ?", (T_NS,))
    out = found(two_hours.site, code=1)
    assert (out["unreadable"], out["uncompared_windows"]) == (1, 4)  # it, its hour, and two of eight hours
    assert out["equal"] == out["points"] > 0
    assert not out["first"]


def test_a_point_that_a_store_gives_twice(two_hours: Post) -> None:
    class Twice(SqliteStore):
        def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[wire.Point]:
            for point in super().read(start_ns, end_ns, gateway):
                yield from [point, point] if point.start_ns == T_NS else [point]

    expected = Expected(two_hours.outbox.db, two_hours.config)
    store = Twice(two_hours.folder / "bridge" / "store.db")
    report = verify(expected, store, Place("street", "post-7"), T_NS, T_NS + HOUR, lambda _: None)
    assert report.counts["doubled"] == len(list(SqliteStore.read(store, T_NS, T_NS + 1)))
    assert report.equal == report.points
    store.close()


# -- while others work, and after they have changed -----------------------------------------------------------------


def test_a_delivery_in_the_middle_of_reading_is_no_difference(two_hours: Post) -> None:
    two_hours.run(T_NS + 2 * HOUR, 1)

    class Busy(SqliteStore):
        def read(self, start_ns: int, end_ns: int, gateway: str = "") -> Iterator[wire.Point]:
            yield from super().read(start_ns, end_ns, gateway)
            two_hours.deliver(self)

    expected = Expected(two_hours.outbox.db, two_hours.config)
    store = Busy(two_hours.folder / "bridge" / "store.db")
    report = verify(expected, store, Place("street", "post-7"), T_NS, T_NS + 3 * HOUR, lambda _: None)
    assert report.differences == 0
    assert report.equal == report.points
    store.close()


def test_windows_of_an_earlier_configuration_are_compared_as_far_as_history_can_tell(two_hours: Post) -> None:
    text = two_hours.site.read_text().replace("[windows]", "[windows]\nmin_capture = 0.01")
    two_hours.site.write_text(text.replace("scalar = [50]", "scalar = [50, 90]"))
    note = said(two_hours.site).stdout
    assert "NOTE this file is not what the gateway runs with" in note
    assert "all there" in note
    config = replace(two_hours.config, windows=replace(two_hours.config.windows, min_capture=0.01))
    in_force.note(two_hours.outbox, config, T_NS + HOUR)
    two_hours.outbox.commit()
    two_hours.site.write_text(two_hours.site.read_text().replace("scalar = [50, 90]", "scalar = [50]"))
    out = found(two_hours.site, "--from", "2026-01-01", "--to", "2026-01-01T01:00", code=0)
    assert out["uncompared_windows"] == 1  # the hour that was made before
    assert out["uncompared_fields"] > 0
    assert found(two_hours.site, "--from", "2026-01-01T01:00", code=1)["different"] > 0  # control: those must be equal


def test_percentiles_are_compared_while_the_samples_are_there(two_hours: Post) -> None:
    assert found(two_hours.site, code=0)["uncompared_fields"] == 0
    two_hours.outbox.db.execute("DELETE FROM detail WHERE start_ns < ?", (T_NS + HOUR,))
    out = found(two_hours.site, code=0)
    assert out["uncompared_fields"] > 0
    assert out["equal"] == out["points"]


def test_what_history_has_forgotten_is_said_and_not_compared(two_hours: Post) -> None:
    two_hours.outbox.db.execute("DELETE FROM history WHERE start_ns < ?", (T_NS + HOUR,))
    assert said(two_hours.site, "--from", "7d").exit_code == 1  # control: nothing of a young history is forgotten
    two_hours.site.write_text(two_hours.site.read_text().replace('"gateway"\n[w', '"gateway"\nhistory_days = 0.04\n[w'))
    result = said(two_hours.site, "--from", "7d")
    assert result.exit_code == 0
    assert "history reaches back to 2026-01-01 01:00:00 UTC" in result.stdout


def test_a_leftover_of_a_revision_is_no_difference(two_hours: Post) -> None:
    one = two_hours.window(T_NS + 30 * 60 * NS, seed=1)
    two_hours.commit([revised(one, 0)], T_NS + 2 * HOUR)
    two_hours.edit_store("UPDATE point SET fields = json_set(fields, '$.old', 1) WHERE start_ns = ?", one.start_ns)
    with two_hours.store() as store:
        two_hours.deliver(store)
    assert found(two_hours.site, code=0)["uncompared_fields"] > 0


# -- when it cannot be asked so -----------------------------------------------------------------------------------


def test_a_store_that_is_away(two_hours: Post, tmp_path: Path) -> None:
    bridge = tmp_path / "bridge.toml"
    text = '[site]\nname = "street"\n[gateway]\nname = "bridge"\n[store]\nkind = "influxdb"\napi = "v1"\n'
    bridge.write_text(text + 'url = "http://127.0.0.1:1"\n')
    result = said(two_hours.site, "--store", bridge)
    assert result.exit_code == 3
    assert result.stderr.startswith("the store cannot be read: 127.0.0.1:1: no answer")
    assert "    -> is it running?" in result.stderr


def test_no_store_file_is_made(tmp_path: Path) -> None:
    with post(tmp_path) as one:
        one.run(T_NS, 0.5)
        assert said(one.site).exit_code == 3
    assert not (tmp_path / "bridge").exists()


def test_a_gateway_without_a_past(tmp_path: Path) -> None:
    with post(tmp_path) as one:
        result = said(one.site)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == ["the gateway has no history yet", "    -> let it run for two minutes"]


def test_a_wrong_site_file_and_a_wrong_time(two_hours: Post, tmp_path: Path) -> None:
    assert said(tmp_path / "none.toml").exit_code == 2
    assert said(two_hours.site, "--from", "yesterday").exit_code == 2
    result = said(two_hours.site, "--from", "2026-01-02", "--to", "2026-01-01")
    assert result.exit_code == 2
    assert "before it begins" in result.stderr
    (tmp_path / "site.toml").write_text('[site]\nname = "x"\n[gateway]\nname = "x"\ndata_dir = "nowhere"\n')
    assert said(tmp_path / "site.toml").exit_code == 2


def test_progress_is_shown_for_long_spans_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(verb.typer, "echo", lambda text, **_: told.append(text))
    for terminal, hours in ((True, 5), (False, 50), (True, 50)):
        monkeypatch.setattr(verb.sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        verb._progress((T_NS, T_NS + hours * HOUR), quiet=False)(T_NS)
    assert len(told) == 1
    assert "2026-01-01 00:00:00" in told[0]
