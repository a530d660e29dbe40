"""Windows asked for once more: in pieces, over restarts, with the keys and values of the first time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree

import msgspec
import pytest
from window_samples import closed_sums

sys.path.append(str(Path(__file__).parents[1] / "cli"))
from gateway_books import BASE_S, HOUR, NS, T_NS, Post, post

from gateway import republish, wire
from gateway.caps import Caps
from gateway.commit import Committer
from gateway.held import AGAIN
from gateway.republish import Republish, ask
from gateway.store.base import Key
from gateway.terms import terms


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day and more of ten-minute windows, with longer ones of all sorts; all delivered."""
    folder = tmp_path_factory.mktemp("delivered")
    with post(folder) as one:
        one.run(T_NS, 26)
        with one.store() as store:
            one.deliver(store)
    return folder


@pytest.fixture
def day(delivered: Path, tmp_path: Path) -> Iterator[Post]:
    """A copy of that day, for a test of its own."""
    copytree(delivered, tmp_path, dirs_exist_ok=True)
    with post(tmp_path) as one:
        yield one


def work(one: Post) -> Republish:
    folder = one.config.gateway.data_dir
    return Republish(folder, one.outbox, Committer(one.outbox, terms(one.config)), one.core, BASE_S)


def stored(one: Post) -> dict[Key, dict[str, float]]:
    with one.store() as store:
        return {point[:3]: point.fields for point in store.read(0, 2**62)}


def waiting(one: Post) -> list[wire.WindowsMessage]:
    rows = one.outbox.db.execute("SELECT payload FROM message ORDER BY seq").fetchall()
    return [wire.unpack_windows(payload) for (payload,) in rows]


def test_an_emptied_store_is_filled_again_with_the_same_values(day: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(republish, "AT_ONCE", 20)
    before, produced = stored(day), day.outbox.account()
    first_seq = day.outbox.next_seq
    day.edit_store("DELETE FROM point")
    path = ask(day.config.gateway.data_dir, T_NS - 48 * HOUR, T_NS + 30 * HOUR)
    doing, steps, n = work(day), 0, 0
    while path.exists():
        n += doing.step()
        steps += 1
        assert steps < 20
        with day.store() as store:
            day.deliver(store)
    assert steps == 8  # 156 windows, 20 at a time
    after = stored(day)
    assert min(key[2] for key in before) < T_NS  # windows in which the gateway began are among them
    assert after == before
    account = day.outbox.account()
    assert account["republished_messages"] == n == account["messages"] - produced["messages"]
    assert account["republished_keys"] == account["keys"] - produced["keys"]
    assert day.outbox.next_seq == first_seq + n
    assert day.outbox.n_of(AGAIN) == 0
    closed_sums(day.outbox)


def test_a_restart_goes_on_where_it_was(day: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(republish, "AT_ONCE", 20)
    path = ask(day.config.gateway.data_dir, T_NS, T_NS + 30 * HOUR)
    while path.exists():
        work(day).step()  # each time as after a restart
    bases = [one.start_ns for one in waiting(day) if one.period_s == BASE_S]
    assert bases == [T_NS + i * BASE_S * NS for i in range(26 * 6)]


def test_longer_windows_are_sent_and_none_twice(day: Post) -> None:
    work(day).put(T_NS, T_NS + 9 * HOUR)
    found = waiting(day)
    assert len({(one.period_s, one.period, one.start_ns) for one in found}) == len(found)
    hours = [one for one in found if one.period_s == 3600]
    assert len(hours) in (9, 10)
    assert {one.period for one in found} >= {"", "8h"}
    n = len(found)
    assert work(day).put(T_NS, T_NS + 9 * HOUR)[1] == 0  # what waits is not put in again
    assert len(waiting(day)) == n


def test_a_newer_revision_that_waits_is_not_overtaken(day: Post) -> None:
    day.commit([day.window(T_NS, seed=1)], T_NS + 26 * HOUR)
    waits = {(one.period_s, one.start_ns, one.rev) for one in waiting(day)}
    assert (BASE_S, T_NS, 1) in waits
    work(day).put(T_NS, T_NS + HOUR)
    again = [one for one in waiting(day) if one.period_s == BASE_S and one.start_ns == T_NS]
    assert [one.rev for one in again] == [1]


def test_it_waits_while_enough_waits_or_the_outbox_is_half_full(day: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ask(day.config.gateway.data_dir, T_NS, T_NS + 30 * HOUR)
    monkeypatch.setattr(republish, "AT_ONCE", 10)
    monkeypatch.setattr(republish, "MOST_QUEUED", 15)
    doing = work(day)
    assert doing.step() > 0
    while doing.step():
        pass
    assert 15 <= day.outbox.n_of(AGAIN) < 40
    assert path.exists()
    with day.store() as store:
        day.deliver(store)
    day.outbox.caps = Caps(max_records=2)
    day.outbox.tell({"v": 1}, T_NS)
    day.outbox.commit()
    assert doing.step() == 0
    day.outbox.caps = Caps()  # control
    assert doing.step() > 0


def test_a_request_that_cannot_be_read_is_set_aside(day: Post) -> None:
    folder = day.config.gateway.data_dir / "republish"
    folder.mkdir()
    (folder / "1.json").write_text("{")
    assert work(day).step() == 0
    assert [path.name for path in folder.iterdir()] == ["1.bad"]
    assert work(day).step() == 0


def test_a_request_says_what_it_asks_for(tmp_path: Path) -> None:
    path = ask(tmp_path, 5, 7)
    assert msgspec.json.decode(path.read_bytes()) == {"from_ns": 5, "to_ns": 7, "v": 1}
    assert [one.name for one in path.parent.iterdir()] == ["5-7.json"]


def test_revisions_are_those_of_history(day: Post) -> None:
    day.commit([day.window(T_NS + HOUR, seed=1)], T_NS + 26 * HOUR)
    with day.store() as store:
        day.deliver(store)
    work(day).put(T_NS, T_NS + 2 * HOUR)
    revs = {one.start_ns: one.rev for one in waiting(day) if one.period_s == BASE_S}
    assert revs[T_NS + HOUR] == 1
    assert revs[T_NS] == 0
