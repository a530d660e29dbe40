"""Broken site files as data: every error of a file at once, each with its line, and a next step."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from gateway.__main__ import app
from gateway.config_errors import ConfigError, Problem
from gateway.config_file import examine, load

FOLDER = Path(__file__).parent / "broken"
EXPECTED: dict[str, Any] = tomllib.loads((FOLDER / "expected.toml").read_text(encoding="utf-8"))


def errors_of(name: str) -> list[Problem]:
    return [problem for problem in examine(FOLDER / name)[1] if not problem.warning]


def place(name: str, error: dict[str, Any]) -> tuple[str, int, str]:
    return str(FOLDER / error.get("in", name)), error["line"], error["key"]


def test_every_broken_file_is_in_the_table() -> None:
    assert sorted(EXPECTED) == sorted(path.name for path in FOLDER.glob("*.toml") if path.name != "expected.toml")
    assert len(EXPECTED) >= 10


@pytest.mark.parametrize("name", EXPECTED)
def test_all_errors_are_found_at_once_and_each_in_its_place(name: str) -> None:
    found = sorted(errors_of(name))
    assert [(p.file, p.line, p.key) for p in found] == sorted(place(name, error) for error in EXPECTED[name]["errors"])
    for error in EXPECTED[name]["errors"]:
        same = [p for p in found if (p.file, p.line, p.key) == place(name, error)]
        assert any(error["what"] in p.what and error["hint"] in p.hint for p in same), (error, same)


@pytest.mark.parametrize("name", EXPECTED)
def test_the_line_named_is_the_line_of_the_key(name: str) -> None:
    for problem in errors_of(name):
        key = problem.key.rpartition(".")[2].partition("[")[0]
        text = Path(problem.file).read_text(encoding="utf-8").splitlines()[problem.line - 1]
        is_written = key in text
        assert is_written or problem.key == "syntax" or text.startswith("[") or problem.line == 1, (problem, text)


@pytest.mark.parametrize("name", EXPECTED)
def test_check_says_it_in_words_and_ends_with_2(name: str) -> None:
    result = CliRunner().invoke(app, ["check", str(FOLDER / name)])
    assert result.exit_code == 2
    for problem in errors_of(name):
        assert f"error   {problem.file}:{problem.line}: {problem.key}: {problem.what}\n" in result.output
        assert f"    -> {problem.hint}\n" in result.output
    assert f"{len(errors_of(name))} errors: correct them first" in result.output


@pytest.mark.parametrize("name", EXPECTED)
def test_check_says_it_in_json(name: str) -> None:
    result = CliRunner().invoke(app, ["check", "--json", str(FOLDER / name)])
    assert result.exit_code == 2
    said = msgspec.json.decode(result.stdout)
    assert said["ok"] is False
    assert [row for row in said["problems"] if not row["warning"]] == [p._asdict() for p in errors_of(name)]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_gateway_refuses_to_start(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(FOLDER / name)
    assert caught.value.problems == tuple(errors_of(name))
    assert str(caught.value).count("    -> ") == len(errors_of(name))


def test_hints_never_speak_of_the_program() -> None:
    """A technician reads them, not a programmer."""
    for name in EXPECTED:
        for problem in errors_of(name):
            words = f"{problem.what} {problem.hint}"
            foreign = ("input should", "pydantic", "instance", "dict", "tuple", "type str", "field required")
            assert not [word for word in foreign if word in words.lower()]


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    (absent,) = examine(tmp_path / "no.toml")[1]
    assert (absent.line, absent.what, absent.hint) == (1, "there is no such file", "check the name")
    (tmp_path / "latin.toml").write_bytes(b'[site]\nname = "Timi\xbaoara"\n')
    (unread,) = examine(tmp_path / "latin.toml")[1]
    assert "utf-8" in unread.what
    (tmp_path / "folder.toml").mkdir()
    (folder,) = examine(tmp_path / "folder.toml")[1]
    assert "directory" in folder.what.lower()
    assert CliRunner().invoke(app, ["check", str(tmp_path / "no.toml")]).exit_code == 2
