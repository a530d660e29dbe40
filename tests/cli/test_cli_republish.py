"""`gateway republish`: done at once where nobody has the database, asked of the gateway that has it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from gateway_books import BASE_S, HOUR, NS, T_NS, Post, delivered, post
from typer.testing import CliRunner, Result

from gateway.__main__ import app
from gateway.outbox import Outbox

DAY = ("--from", "2026-01-01", "--to", "2026-01-02")


@pytest.fixture
def four_hours(tmp_path: Path) -> Iterator[Post]:
    with delivered(tmp_path, T_NS, 4) as one:
        yield one


@pytest.fixture
def off(four_hours: Post) -> Post:
    """The gateway is not running."""
    four_hours.outbox.close()
    return four_hours


def said(site: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["republish", str(site), *words])


def found(site: Path, *words: str) -> dict[str, Any]:
    result = said(site, *words, "--json")
    assert result.exit_code == 0, result.output
    out: dict[str, Any] = msgspec.json.decode(result.stdout)
    return out


def requests(one: Post) -> list[str]:
    return [path.name for path in (one.config.gateway.data_dir / "republish").glob("*")]


def test_without_a_gateway_it_is_queued_at_once(off: Post) -> None:
    out = found(off.site, *DAY)
    assert out["how"] == "queued"
    assert out["base_windows"] == 24
    assert out["messages"] >= 28
    assert (out["from_ns"], out["to_ns"]) == (T_NS, T_NS + 4 * HOUR)
    assert not requests(off)
    with closing(Outbox(off.config.gateway.data_dir / "gateway.db")) as outbox:
        assert len(outbox.queued) == out["messages"]
        assert outbox.account()["republished_messages"] == out["messages"]
    ledger = CliRunner().invoke(app, ["ledger", str(off.site)])
    assert ledger.exit_code == 0
    assert f"among them {out['messages']} sent once more, as asked" in ledger.stdout


def test_a_gateway_that_has_the_database_is_asked(four_hours: Post) -> None:
    out = found(four_hours.site, "--from", "2026-01-01T01:00", "--to", "2026-01-01T02:00")
    assert (out["how"], out["messages"], out["base_windows"]) == ("asked", 0, 6)
    assert requests(four_hours) == [f"{T_NS + HOUR}-{T_NS + 2 * HOUR}.json"]
    assert not four_hours.outbox.queued


def test_nobody_can_open_it_meanwhile(off: Post) -> None:
    path = off.config.gateway.data_dir / "gateway.db"
    with (
        closing(Outbox(path, alone=True)),
        closing(sqlite3.connect(path, timeout=0.1)) as other,
        pytest.raises(sqlite3.OperationalError, match="locked"),
    ):
        other.execute("SELECT count(*) FROM message").fetchone()
    with closing(Outbox(path)) as outbox:  # control: afterwards it is as before
        assert not outbox.queued


def test_a_dry_run_does_nothing(off: Post) -> None:
    assert found(off.site, *DAY, "--dry-run")["how"] == "dry-run"
    assert not requests(off)
    with closing(Outbox(off.config.gateway.data_dir / "gateway.db")) as outbox:
        assert not outbox.queued
    assert "nothing is done" in said(off.site, *DAY, "--dry-run").stdout


def test_what_it_says_fits_a_phone(off: Post) -> None:
    lines = said(off.site, *DAY).stdout.splitlines()
    assert lines[0] == "2026-01-01 00:00:00 to 2026-01-01 04:00:00 UTC"
    assert max(map(len, lines)) <= 60
    assert "start the gateway" in lines[-1]


def test_what_cannot_be_done_is_said(off: Post, tmp_path: Path) -> None:
    result = said(off.site, "--from", "2027-01-01", "--to", "2027-01-02")
    assert result.exit_code == 2
    assert "history holds nothing of this span" in result.output
    assert "2026-01-01 00:00:00 to 2026-01-01 04:00:00" in result.output
    with post(tmp_path / "new") as fresh:
        result = said(fresh.site, *DAY)
    assert result.exit_code == 2
    assert "no history yet" in result.output
    off.site.write_text(off.site.read_text().replace("long_s = [3600]", "long_s = [7200]"))
    result = said(off.site, *DAY)
    assert result.exit_code == 1
    assert "not what the gateway last ran with" in result.output


def test_verify_says_how_to_ask_for_what_is_missing(four_hours: Post) -> None:
    at_ns = T_NS + HOUR + 2 * BASE_S * NS
    gone = four_hours.edit_store("DELETE FROM point WHERE start_ns = ?", at_ns)
    assert gone
    result = CliRunner().invoke(app, ["verify", str(four_hours.site)])
    assert result.exit_code == 1
    hint = f"gateway republish {four_hours.site} --from 2026-01-01T01:20:00 --to 2026-01-01T01:20:01"
    assert hint in result.stdout
    words = hint.split()[3:]
    assert found(four_hours.site, *words)["base_windows"] == 1
