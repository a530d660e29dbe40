"""An hour of records, with SIGKILL between any two of them: the messages are the same, bit for bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from replay_site import kept_history, kept_messages

pytestmark = pytest.mark.timeout(300)
HERE = Path(__file__).parent
PLACES = 20


def run(folder: Path, minutes: int, kills: int, seed: int, forgets: str = "") -> str:
    arguments = [str(folder), str(minutes), str(kills), str(seed), *([forgets] if forgets else [])]
    made = subprocess.run(
        [sys.executable, str(HERE / "killed_hour.py"), *arguments], capture_output=True, text=True, check=False,
        timeout=280,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return made.stdout


def published(folder: Path, period_s: int = 0) -> list[bytes]:
    """Return every message but for its number, as bytes: floats are written so that they come back bit for bit."""
    messages = kept_messages(folder / "data")
    return [msgspec.json.encode(one) for one in messages if period_s in (0, one["period_s"])]


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("hour")
    return folder, run(folder, 60, PLACES, 7)


def test_an_hour_killed_at_twenty_places_says_the_same_bit_for_bit(hour: tuple[Path, str]) -> None:
    folder, said = hour
    records, deaths = (int(said.split()[i]) for i in (0, 2))
    assert records > 60_000
    assert deaths >= PLACES
    assert "whole True, ended True" in said
    whole, killed = published(folder / "whole"), published(folder / "killed")
    assert len(published(folder / "whole", 60)) == 60
    assert len(published(folder / "whole", 3600)) == 1
    assert killed == whole
    assert kept_history(folder / "killed" / "data") == kept_history(folder / "whole" / "data")  # with every sample


def test_the_hour_is_worth_comparing(hour: tuple[Path, str]) -> None:
    """Levels, speeds, ten readings a second, percentiles, and flags that depend on what came before."""
    (message,) = [one for one in kept_messages(hour[0] / "whole" / "data") if one["period_s"] == 3600]
    rows: dict[tuple[str, str], dict[str, Any]] = {
        key[1:3]: {name: column[i] for name, column in message["fields"].items()}
        for i, key in enumerate(message["series"])
    }
    quick, mic, radar, air = rows["quick", "laeq"], rows["noise", "laeq"], rows["radar", "speed"], rows["pm", "pm2_5"]
    assert (quick["n"], quick["expected"]) == (36_000, 36_000)
    for levels in (quick, mic):
        assert (
            levels["l1"] > levels["l5"] > levels["l10"] > levels["l50"] > levels["l90"] > levels["l95"] > levels["l99"]
        )
    assert radar["n"] > 100
    assert radar["min"] < radar["v85"] < radar["max"]
    assert air["p10"] < air["p50"] < air["p90"]
    assert 0 < rows["weather", "temperature"]["n_suspect"] < rows["weather", "temperature"]["n"]
    assert len(message["ledger"]["sensor"]) == 6
    assert min(message["ledger"]["missing"]) == 0


@pytest.mark.parametrize("forgets", ["stages", "samples", "bytes"])
def test_a_restart_that_forgets_is_seen(tmp_path: Path, forgets: str) -> None:
    """The controls: filter tails, open windows and partial frames all matter."""
    run(tmp_path, 3, 4, 3, forgets)
    assert published(tmp_path / "killed") != published(tmp_path / "whole")
