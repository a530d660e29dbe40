"""Time that is paced and time that jumps tell the same: within two readings, and the resolution of a channel."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from paced import HOUR_S, MINUTE_S, RATE, SCENE, Apart, Windows, compared, paced, resolutions, sensors, virtual

from bench import evidence

pytestmark = pytest.mark.system


def figures(apart: Sequence[Apart], control: Sequence[Apart], minutes: int) -> dict[str, Any]:
    """Write down how far the two were apart at most: readings, and shares of the resolution."""
    n: dict[str, float] = defaultdict(float)
    shares: dict[str, float] = defaultdict(float)
    for one in apart:
        name = ".".join(one.window[:2])
        if one.what in ("mean", "leq"):
            shares[name] = max(shares[name], round(one.by / one.most, 3))
        else:
            n[name] = max(n[name], one.by)
    return {
        "scenario": SCENE.name, "rate": RATE, "minutes": minutes, "windows": len({one.window for one in apart}),
        "beyond": [str(one) for one in apart if one.beyond], "readings_apart": n, "means_apart_in_resolutions": shares,
        "another_seed": {"compared": len(control), "beyond": sum(one.beyond for one in control)},
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_same_hour_paced_and_virtual(tmp_path: Path, paced_minutes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for_s, text = paced_minutes * MINUTE_S, sensors(tmp_path / "site")
    real = paced(tmp_path / "paced", for_s, text, monkeypatch)
    jumped, other = virtual(tmp_path / "virtual", for_s), virtual(tmp_path / "other", for_s, seed=22)
    apart = list(compared(real, jumped, resolutions(text)))
    control = list(compared(real, other, resolutions(text)))
    if for_s >= HOUR_S:
        evidence.write("paced", figures(apart, control, paced_minutes))
    assert len(apart) > 30 * paced_minutes
    assert {one.window[2] for one in apart} == {"60s", *(["3600s"] if for_s >= HOUR_S else [])}
    assert [str(one) for one in apart if one.beyond] == []
    strange = {".".join(one.window[:2]) for one in control if one.beyond}  # another street: it would be noticed
    assert {"noise.laeq", "air.pm2_5", "pm-north.pm2_5", "radar.speed"} <= strange


WINDOW = ("air", "pm2_5", "60s", 0)
SAME = {WINDOW: {"n": 60.0, "mean": 8.0}, ("radar", "vehicles", "60s", 0): {"n": 9.0, "sum": 9.0}}
# what the other says -> what is beyond
DIFFERENT: dict[str, tuple[Windows, list[str]]] = {
    "the same": (SAME, []),
    "two readings less": (SAME | {WINDOW: {"n": 58.0, "mean": 8.1}}, []),
    "three readings less": (SAME | {WINDOW: {"n": 57.0, "mean": 8.0}}, ["n"]),
    "another mean": (SAME | {WINDOW: {"n": 60.0, "mean": 8.11}}, ["mean"]),
    "no mean": (SAME | {WINDOW: {"n": 60.0}}, ["mean"]),
    "no window": ({WINDOW: SAME[WINDOW]}, ["there is only one"]),
    "three vehicles more": (SAME | {("radar", "vehicles", "60s", 0): {"n": 12.0, "sum": 12.0}}, ["n", "sum"]),
}


@pytest.mark.parametrize("case", DIFFERENT, ids=str)
def test_what_differs_is_noticed(case: str) -> None:
    other, beyond = DIFFERENT[case]
    assert [one.what for one in compared(SAME, other, {WINDOW[:2]: 0.1}) if one.beyond] == beyond


@pytest.mark.parametrize(
    ("period", "apart_db", "beyond"), [("60s", 0.05, []), ("60s", 0.2, ["leq"]), ("3600s", 0.05, ["leq"])]
)
def test_the_level_of_an_hour_is_held_to_its_resolution(period: str, apart_db: float, beyond: list[str]) -> None:
    window = ("noise", "laeq", period, 0)
    one, other = ({window: {"n": 60.0, "leq": leq}} for leq in (60.0, 60.0 + apart_db))
    assert [found.what for found in compared(one, other, {window[:2]: 0.01}) if found.beyond] == beyond
