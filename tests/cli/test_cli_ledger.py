"""`gateway ledger`: every slot and every message has a fate, and a sum that is open is said."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_books import BASE_S, HOUR, NS, T_NS, Post, post
from typer.testing import CliRunner, Result

from gateway import accounts
from gateway.__main__ import app


@pytest.fixture
def two_hours(tmp_path: Path) -> Iterator[Post]:
    with post(tmp_path) as one:
        one.run(T_NS, 2)
        yield one


def said(*words: object) -> Result:
    return CliRunner().invoke(app, ["ledger", *map(str, words)])


def found(*words: object, code: int = 0) -> dict[str, Any]:
    result = said(*words, "--json")
    assert result.exit_code == code, result.output
    out: dict[str, Any] = msgspec.json.decode(result.stdout)
    return out


def account(one: Post, **changes: int) -> None:
    """Change the account behind the back of the gateway."""
    rows = list(changes.items())
    one.outbox.db.executemany("INSERT OR REPLACE INTO account (name, n) VALUES (?, ?)", rows)


def test_slots_of_each_sensor_add_up_to_what_history_says(two_hours: Post) -> None:
    out = found(two_hours.site)
    windows = [two_hours.window(T_NS + i * BASE_S * NS) for i in range(12)]
    assert out["windows"] == 12
    for i, name in enumerate(windows[0].sensors):
        one = out["sensors"][name]
        assert [one["expected"], one["valid"], one["rejected"], one["missing"]] == sum(
            w.slots[i, :4] for w in windows
        ).tolist()
        assert one["expected"] == one["valid"] + one["rejected"] + one["missing"]
        assert sum(one["rejected_by"].values()) == one["rejected"]
        assert sum(one["missing_by"].values()) == one["missing"]
    assert out["sensors"]["pm"]["missing_by"].keys() == {"timeout", "silent"}
    assert out["closes"] is True


def test_a_span_and_a_sensor(two_hours: Post) -> None:
    hour = found(two_hours.site, "--from", "1h", "--sensor", "mic")
    assert (hour["from_ns"], hour["to_ns"]) == (T_NS + HOUR, T_NS + 2 * HOUR)
    assert hour["windows"] == 6
    assert hour["sensors"].keys() == {"mic"}
    assert hour["sensors"]["mic"]["expected"] == 3600
    result = said(two_hours.site, "--sensor", "nobody")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "there is nothing of 'nobody' in this span", "    -> there is board, mic, pm",
    ]  # fmt: skip


def test_readings_by_flag(two_hours: Post) -> None:
    flags = found(two_hours.site, "--flags")["sensors"]["pm"]["flags"]
    assert flags.keys() == {"pm2_5", "pm10"}
    assert sum(flags["pm10"].values()) == 12 * 60
    assert flags["pm10"]["suspect"] > 0
    assert "suspect" in said(two_hours.site, "--flags").stdout


def test_messages_by_their_fate(two_hours: Post) -> None:
    before = found(two_hours.site)["messages"]
    assert before == {"produced": 16, "receipted": 0, "queued": 16, "dropped": {}, "dead": 0, "replaced": 0}
    with two_hours.store() as store:
        assert two_hours.deliver(store, lambda seq: seq <= 9) == 9
    two_hours.outbox.release([10], "dead")
    two_hours.outbox.mark_sent(11)
    two_hours.outbox.commit()
    out = found(two_hours.site)
    assert out["messages"] == before | {"receipted": 9, "queued": 6, "dead": 1}
    assert out["queue"] | {"keys": 0} == {"messages": 6, "keys": 0, "unsent": 5, "oldest_ns": out["queue"]["oldest_ns"]}
    lines = said(two_hours.site).stdout.splitlines()
    assert "         9 receipted: the store has them" in lines
    assert "         6 queued, 5 of them not yet sent" in lines
    assert "         1 dead letters  -> on the bridge: gateway dead-letters list SITE" in lines
    assert lines[-1] == "all sums close"
    assert max(map(len, lines[1:])) < 90


def test_what_was_dropped_counts_by_its_reason(two_hours: Post) -> None:
    db = two_hours.outbox.db
    (keys,) = db.execute("SELECT sum(keys) FROM message WHERE seq IN (1, 2, 3)").fetchone()
    (first,) = db.execute("SELECT keys FROM message WHERE seq = 1").fetchone()
    db.execute("DELETE FROM message WHERE seq IN (1, 2, 3)")
    assert found(two_hours.site, code=1)["closes"] is False  # control: what vanishes without a reason is seen
    account(
        two_hours, dropped_age_messages=1, dropped_age_keys=first,
        dropped_full_messages=2, dropped_full_keys=keys - first,
    )  # fmt: skip
    assert found(two_hours.site)["messages"]["dropped"] == {"age": 1, "full": 2}
    assert "         3 dropped: 1 age, 2 full" in said(two_hours.site).stdout


@pytest.mark.parametrize("name", ["messages", "keys", "receipted_messages", "expected"])
def test_an_open_sum_is_said_with_what_to_do(two_hours: Post, name: str) -> None:
    (n,) = two_hours.outbox.db.execute("SELECT total(n) FROM account WHERE name = ?", (name,)).fetchone()
    account(two_hours, **{name: int(n) + 1})
    result = said(two_hours.site)
    assert result.exit_code == 1
    assert "DOES NOT CLOSE" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("    -> keep a copy of")
    assert found(two_hours.site, code=1)["troubles"]


def test_a_damaged_window_is_an_open_sum(two_hours: Post) -> None:
    two_hours.outbox.db.execute("UPDATE history SET block = x'00' WHERE start_ns = ?", (T_NS,))
    out = found(two_hours.site, code=1)
    assert (out["windows"], out["unreadable"]) == (12, 1)
    assert "1 windows of history cannot be read" in out["troubles"]


def test_a_pause_is_said(two_hours: Post) -> None:
    two_hours.run(T_NS + 3 * HOUR, 1)
    assert found(two_hours.site)["absent"] == 6
    assert "18 windows of 600 s; 6 are not there (the gateway was off)" in said(two_hours.site).stdout


def test_a_span_without_windows(two_hours: Post) -> None:
    result = said(two_hours.site, "--from", "2020-01-01", "--to", "2020-01-02")
    assert result.exit_code == 0
    assert "no windows in this span\n    -> history holds 2026-01-01 00:00:00 to 2026-01-01 02:00:00" in result.stdout


@pytest.mark.parametrize("inside", ["", "gateway"])
def test_a_folder_does_as_well_as_a_site_file(two_hours: Post, inside: str) -> None:
    assert found(two_hours.folder / inside)["windows"] == 12


def test_what_is_no_data_directory_is_said(tmp_path: Path) -> None:
    result = said(tmp_path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"there is no gateway.db in {tmp_path}")
    (tmp_path / "gateway.db").write_bytes(b"no database at all, but long enough to look like one" * 10)
    assert said(tmp_path).exit_code == 1
    assert said(tmp_path / "none.toml").exit_code == 2


def test_it_reads_while_the_gateway_writes_and_takes_one_moment(two_hours: Post) -> None:
    """A commit between two of its questions must not open a sum."""
    with accounts.opened(two_hours.folder / "gateway") as db:
        messages, points, queue = accounts.account(db)
        two_hours.run(T_NS + 2 * HOUR, 1)
        assert messages.closes
        assert points.closes
        again, _, _ = accounts.account(db)
    assert again.closes
    assert again.produced > messages.produced == queue.messages


def test_a_card_that_was_taken_out(two_hours: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed last stands in the log, and nothing can be written beside it: a copy is read."""
    (wal,) = (two_hours.folder / "gateway").glob("gateway.db-wal")
    assert wal.stat().st_size > 0
    connect = sqlite3.connect

    def on_a_card(target: str, **how: Any) -> sqlite3.Connection:
        if str(two_hours.folder) in target:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(target, **how)

    monkeypatch.setattr(sqlite3, "connect", on_a_card)
    with accounts.opened(two_hours.folder / "gateway") as db, closing(db):
        assert accounts.account(db)[0].produced == 16
