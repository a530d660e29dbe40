"""`gateway dead-letters`: a letter is seen with its reason, tried again, or dropped."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from gateway import wire
from gateway.__main__ import app
from gateway.dead_letters import DeadLetter, DeadLetters
from gateway.store.sqlite import SqliteStore

T_NS = 1_767_225_600 * 10**9
TOPIC = "lamppost/1/post-7/windows"
GOOD = wire.pack(
    wire.WindowsMessage(
        1, "timisoara", "post-7", "e1", 5, 60, T_NS, [("air", "pm", "pm2_5", "ug/m3")], {"mean": [12.5], "n": [60.0]}
    )
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site.toml"
    site.write_text(f'[site]\nname = "timisoara"\n[gateway]\nname = "post-7"\n[bridge]\ndata_dir = "{tmp_path}/b"\n')
    return site


@pytest.fixture
def box(tmp_path: Path) -> DeadLetters:
    box = DeadLetters(tmp_path / "b" / "dead-letters")
    box.keep(DeadLetter(T_NS, TOPIC, "the store refuses it: field type conflict", GOOD))
    box.keep(DeadLetter(T_NS + 10**9, TOPIC, "neither JSON nor deflated JSON", b"\x00poison"))
    return box


def said(*words: object) -> Result:
    return CliRunner().invoke(app, ["dead-letters", *map(str, words)])


def left(box: DeadLetters) -> list[bytes]:
    return [letter.payload for _, letter in box.letters()]


def test_letters_are_listed_with_their_reasons(site: Path, box: DeadLetters) -> None:
    lines = said("list", site).stdout.splitlines()
    assert lines[0].endswith(f"-000000  2026-01-01T00:00:00Z  {TOPIC}")
    assert lines[1] == "    the store refuses it: field type conflict"
    assert lines[-1] == f"2 dead letters -> mend the cause, then: gateway dead-letters retry {site}"
    rows = msgspec.json.decode(said("list", site, "--json").stdout)
    assert [row["reason"] for row in rows] == [letter.reason for _, letter in box.letters()]


def test_nothing_is_made_where_there_are_none(site: Path, tmp_path: Path) -> None:
    assert said("list", site).stdout == "no dead letters\n"
    assert not (tmp_path / "b").exists()


def test_what_the_store_takes_now_is_stored_and_gone_and_the_rest_stays(
    site: Path, box: DeadLetters, tmp_path: Path
) -> None:
    result = said("retry", site)
    assert result.exit_code == 1
    assert result.stdout.startswith("1 stored, 1 refused again\n")
    assert "neither JSON nor deflated JSON" in result.stdout
    assert left(box) == [b"\x00poison"]
    with closing(SqliteStore(tmp_path / "b" / "store.db", read_only=True)) as store:
        (point,) = store.read(0, 2**62)
    assert (point.measurement, point.fields["mean"], point.start_ns) == ("air", 12.5, T_NS)


def test_only_what_is_named_is_dropped(site: Path, box: DeadLetters) -> None:
    first, second = (path.stem for path, _ in box.letters())
    assert said("drop", site).exit_code == 1, "all of them only when it is said"
    assert said("drop", site, "nonsense").exit_code == 1
    assert len(left(box)) == 2
    assert said("drop", site, second).stdout == "1 dropped\n"
    assert [path.stem for path, _ in box.letters()] == [first]
    assert msgspec.json.decode(said("drop", site, "--all", "--json").stdout) == {"dropped": [first]}
    assert left(box) == []


def test_a_store_that_is_away_costs_no_letter(site: Path, box: DeadLetters) -> None:
    with site.open("a") as file:
        file.write('[store]\nkind = "influxdb"\nurl = "http://127.0.0.1:1"\n')
    result = said("retry", site)
    assert result.exit_code == 1
    assert "-> start it, then try again" in result.stderr
    assert len(left(box)) == 2


def test_a_wrong_site_file_is_said(tmp_path: Path) -> None:
    assert said("list", tmp_path / "none.toml").exit_code == 2


def test_what_the_store_has_newer_is_not_written_and_its_letter_goes(
    site: Path, box: DeadLetters, tmp_path: Path
) -> None:
    newer = msgspec.structs.replace(wire.unpack_windows(GOOD), rev=2, fields={"mean": [13.0]})
    with closing(SqliteStore(tmp_path / "b" / "store.db")) as store:
        store.write(list(wire.points(newer)))
    result = said("retry", site, "--json")
    found = msgspec.json.decode(result.stdout)
    assert (len(found["stored"]), len(found["newer"]), len(found["refused"])) == (0, 1, 1)
    assert left(box) == [b"\x00poison"]
    assert said("retry", site).stdout.startswith("0 stored, 1 refused again\n")


def test_of_a_bundle_only_what_is_refused_again_stays(site: Path, tmp_path: Path) -> None:
    box = DeadLetters(tmp_path / "b" / "dead-letters")
    box.keep(DeadLetter(T_NS, TOPIC, "message 2 of 2: ...", wire.bundle([GOOD, b'{"v":1}'])))
    result = said("retry", site)
    assert result.exit_code == 1
    assert left(box) == [b'{"v":1}']
    with closing(SqliteStore(tmp_path / "b" / "store.db", read_only=True)) as store:
        assert len(list(store.read(0, 2**62))) == 1
    names = [path.stem for path, _ in box.letters()]
    assert said("retry", site).exit_code == 1
    assert [path.stem for path, _ in box.letters()] == names, "what is refused again keeps its name"
