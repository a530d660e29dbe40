"""The hunt itself: it finds what was planted, says how to see it again, and hunts at every driver."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from drivers import DRIVERS
from drivers.base import Decoded
from tests.fuzz import hunt, sums
from tests.fuzz.__main__ import main
from tests.fuzz.hunt import Target, run
from tests.fuzz.mutate import LONGEST, Mutator
from tests.fuzz.targets import every
from tests.fuzz.targets_drivers import decoder

SEED = b"\xaa\xc0\x01\x02\x03\x04\x05\x06\x16\xab"


def planted(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Fail at one frame in some hundred: of ten bytes, the third of which is 0x00."""
    for data in inputs:
        if len(data) == 10 and data[2] == 0:
            raise IndexError("planted")
    return Counter(ok=len(inputs))


def test_a_planted_crash_is_found_and_narrowed_to_its_input() -> None:
    _, (finding,) = run([Target("planted", planted, (SEED,), batch=100)], 20_000, 1)
    assert len(finding.inputs) == 1
    assert finding.inputs[0][2] == 0
    assert "IndexError: planted" in finding.error
    assert f"--target planted --choice {finding.choice} --hex {finding.inputs[0].hex()}" in str(finding)


def test_control_without_the_crash_nothing_is_found() -> None:
    tallies, findings = run([Target("well", lambda inputs, rng: Counter(ok=len(inputs)), (SEED,))], 5000, 1)
    assert findings == []
    assert tallies["well"].outcomes == {"ok": 5000}


def test_what_only_a_batch_shows_is_kept_as_a_batch() -> None:
    def crowded(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
        assert len(inputs) < 4, "only together"
        return Counter()

    _, (finding,) = run([Target("crowd", crowded, (SEED,), batch=64)], 64, 1)
    assert 4 <= len(finding.inputs) < 8


def test_a_probe_that_does_not_end_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
        while True:
            pass

    monkeypatch.setattr(hunt, "HANGS_S", 0.05)
    _, (finding,) = run([Target("endless", endless, (SEED,), batch=1)], 1, 1)
    assert "no end after" in finding.error


def test_a_warning_is_a_finding() -> None:
    def warns(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
        import numpy as np

        np.array([1.0]) / np.array([0.0])
        return Counter()

    _, (finding,) = run([Target("warns", warns, (SEED,))], 1, 1)
    assert "RuntimeWarning" in finding.error


@pytest.mark.parametrize("wrong", ["infinite", "unmarked", "verdict", "other alone"])
def test_a_decoder_that_breaks_a_promise_is_found(wrong: str) -> None:
    real = DRIVERS["sds011"]

    def decode(frames: Sequence[bytes], context: bytes, options: object) -> Decoded:
        good = real.decode(frames, context, {})
        values, fault = good.values.copy(), good.fault.copy()
        if len(values):
            values[0, 0] = {"infinite": float("inf"), "unmarked": float("nan")}.get(wrong, values[0, 0])
        if wrong == "verdict":
            fault[fault == 2] = 99
        if wrong == "other alone" and len(frames) == 1:
            fault[:] = 3
            return replace(good, values=values[:0], mark=good.mark[:0], frame=good.frame[:0], fault=fault)
        return replace(good, values=values, fault=fault)

    driver = replace(real, decode=decode)
    frame = bytes.fromhex("aac0d4043a0aa1601dab")
    with pytest.raises(AssertionError):
        decoder(driver, [b""], [{}], [frame, frame[:5], frame], Random(1))
    decoder(real, [b""], [{}], [frame, frame[:5], frame], Random(1))


def test_the_same_seed_makes_the_same_inputs() -> None:
    def made(seed: int) -> list[bytes]:
        mutator, rng = Mutator((SEED, b"12.5\r\n"), (b"word",)), Random(seed)
        return [mutator.one(rng) for _ in range(500)]

    assert made(1) == made(1)
    assert made(1) != made(2)
    assert len(set(made(1))) > 300
    assert max(map(len, made(3))) <= LONGEST


def test_every_driver_every_framer_and_every_reader_is_hunted() -> None:
    names = {target.name for target in every()}
    assert {f"decode:{name}" for name in DRIVERS} <= names
    assert {f"talk:{name}" for name in DRIVERS} <= names
    assert {"wire:windows", "wire:receipt", "wire:topic", "rawlog:records", "rawlog:log", "config"} <= names
    assert len([name for name in names if name.startswith("frame:")]) >= 10
    assert all(target.seeds for target in every())


def test_sums_are_found_and_put_right() -> None:
    frames = [bytes((170, i, i * 7 % 256, 9)) + bytes(((170 + i + i * 7 % 256 + 9) & 255,)) for i in range(4)]
    found = sums.find(frames)
    assert found is not None
    assert found[0] == "sum of [0:-1]"
    assert found[1](b"\xaa\x01\x02\x03\x00") == b"\xaa\x01\x02\x03\xb0"
    assert sums.find([Random(i).randbytes(9) for i in range(4)]) is None


def test_half_of_the_inputs_pass_their_first_check_where_a_sum_is_known() -> None:
    target = next(target for target in every() if target.name == "decode:pms5003")
    tallies, findings = run([target], 4096, 1)
    assert findings == []
    outcomes = tallies[target.name].outcomes
    assert outcomes["ok"] > 200
    without, _ = run([replace(target, mend=None)], 4096, 1)
    assert outcomes["ok"] > 3 * without[target.name].outcomes["ok"]


def test_a_bounded_hunt_finds_nothing_and_leaves_its_account(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    account = tmp_path / "fuzz.json"
    assert main(["--inputs", "30000", "--seed", "3", "--json", str(account)]) == 0
    assert "0 findings" in capsys.readouterr().out
    said = json.loads(account.read_text())
    assert said["findings"] == []
    assert said["inputs"] >= 29_000
    assert all(told["inputs"] for told in said["targets"].values())


def test_a_target_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "nothing"]) == 2
    assert "decode:sds011" in capsys.readouterr().out


def test_an_input_can_be_looked_at_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--target", "decode:sds011", "--hex", "aac0d4043a0aa1601dab", "''"]) == 0
    assert "ok" in capsys.readouterr().out
