"""Every verb says what it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.__main__ import app

PURPOSE = {
    "demo": "simulated sensors",
    "run": "Read the sensors of SITE",
    "bridge": "from the broker into the store",
    "check": "errors in SITE",
    "status": "what the gateway, or the bridge, last said of itself",
    "ledger": "Account for every slot of every sensor",
    "verify": "Compare the store with the gateway's history",
    "republish": "Send windows of a span to the store once more",
    "scan": "Find the sensors that are connected",
    "record": "Record what sensors say",
    "drivers": "sensors that can be connected",
    "decode": "bytes that a sensor sent",
}


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("verb", PURPOSE)
def test_the_help_of(verb: str) -> None:
    result = CliRunner().invoke(app, [verb, "--help"])
    assert result.exit_code == 0
    assert PURPOSE[verb] in words(result.stdout)
    assert result.stdout.startswith("Usage: ")


def test_the_help_lists_every_verb() -> None:
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    assert set(PURPOSE) == {command.callback.__name__ for command in app.registered_commands if command.callback}
    for verb in PURPOSE:
        assert f"\n  {verb} " in result.stdout


@pytest.mark.parametrize("verb", ["decode", "check", "run", "bridge"])
def test_a_verb_without_what_it_needs_ends_with_2(verb: str) -> None:
    result = CliRunner().invoke(app, [verb])
    assert result.exit_code == 2
    assert "Missing" in result.stderr


def test_an_unknown_verb_ends_with_2() -> None:
    assert CliRunner().invoke(app, ["dance"]).exit_code == 2


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys; sys.argv = ['gateway', 'drivers']; from gateway.__main__ import main; main()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()  # before it has said a word
    said = process.stderr.read()
    process.wait(30)
    process.stderr.close()
    assert b"Traceback" not in said
    assert b"Error" not in said


@pytest.mark.parametrize("verb", ["run", "bridge"])
def test_a_broken_site_is_refused_with_2(verb: str, tmp_path: Path) -> None:
    """As a process of its own: these verbs turn into the service."""
    site = tmp_path / "site.toml"
    site.write_text('[site]\nname = "post"\n[gateway]\nnam = "lp-1"\n', encoding="utf-8")
    command = [sys.executable, "-m", "gateway", verb, site]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert f"{site}:4: gateway.nam: unknown key\n    -> did you mean `name`?" in done.stderr
    assert "Traceback" not in done.stderr
