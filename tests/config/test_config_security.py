"""What a site file may not hold: secrets, addresses with passwords, signs that nobody sees; and who may read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway import secrets
from gateway.__main__ import app
from gateway.config_errors import ConfigError, Problem
from gateway.config_file import examine, load

HEAD = '[site]\nname = "s"\n[gateway]\nname = "g"\ndata_dir = "data"\n'
MARK = "mark-4Kp7Zt"
WITH_SECRETS = [
    f'[mqtt]\npassword = "{MARK}"\n',
    f'[mqtt]\nPassword = "{MARK}"\n',
    f'[mqtt]\nmqtt_password = "{MARK}"\n',
    f'[mqtt]\nuser-password = "{MARK}"\n',
    f'[mqtt]\nkey = "{MARK}"\n',
    f'[bridge]\npassword = "{MARK}"\n',
    f'[store]\ntoken = "{MARK}"\n',
    f'[store]\napi_key = "{MARK}"\n',
    f'[store]\nsecret = ["{MARK}"]\n',
    f'[store]\npassword = {{ value = "{MARK}" }}\n',
    f'[store]\ntoken_file = "{MARK}"\n',
    f'[mqtt]\npassword_file = "{MARK}"\n',
    f'[store]\nkind = "influxdb"\nurl = "http://user:{MARK}@host:8086"\n',
    f'[store]\nkind = "influxdb"\nurl = "https://{MARK}@host/path"\n',
]


def site(folder: Path, text: str) -> Path:
    path = folder / "site.toml"
    path.write_text(HEAD + text)
    return path


def problems(folder: Path, text: str, *, warning: bool = False) -> list[Problem]:
    return [problem for problem in examine(site(folder, text))[1] if problem.warning == warning]


@pytest.mark.parametrize("text", WITH_SECRETS)
def test_a_secret_in_the_file_is_refused_with_its_place_and_never_repeated(tmp_path: Path, text: str) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.what == "a secret stands here, where everybody reads it"
    assert re.search(r'write (password|token|key)_file = "/path/of/it"', problem.hint)
    assert MARK in (tmp_path / "site.toml").read_text().splitlines()[problem.line - 1]
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "site.toml")
    for words in ([], ["--json"], ["--resolved"]):
        said = CliRunner().invoke(app, ["check", str(tmp_path / "site.toml"), *words])
        assert said.exit_code == 2
        assert MARK not in said.output + str(caught.value) + repr(caught.value.problems)


@pytest.mark.parametrize("value", ["12345678", '["mark-4Kp7Zt"]', '{ a = "mark-4Kp7Zt" }', "true"])
def test_a_wrong_type_in_the_place_of_a_file_is_not_repeated_either(tmp_path: Path, value: str) -> None:
    (problem,) = problems(tmp_path, f"[mqtt]\npassword_file = {value}\n")
    assert problem.what == "'***' is no file name"
    assert MARK not in str(problem)
    assert "12345678" not in str(problem)


@pytest.mark.parametrize(
    "text",
    [
        '[store]\nkind = "influxdb"\nurl = "http://host:8086/@path"\n',
        '[mqtt]\npassword_file = "secret.txt"\n',
        '[mqtt]\npassword_file = "plain"\n',
        '[mqtt]\nhost = "token"\n',
        '[store]\ndatabase = "password"\n',
    ],
)
def test_control_what_is_no_secret_passes(tmp_path: Path, text: str) -> None:
    for name in ("secret.txt", "plain"):
        (tmp_path / name).touch(0o600)
    assert problems(tmp_path, text) == []


def test_relative_to_the_site_and_readable_by_nobody_else(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("x")
    (tmp_path / "pass").chmod(0o640)
    (problem,) = problems(tmp_path, '[mqtt]\npassword_file = "pass"\n', warning=True)
    assert "can be read by others" in problem.what
    assert problem.hint == f"chmod 600 {tmp_path}/pass"
    (tmp_path / "pass").chmod(0o600)
    assert problems(tmp_path, '[mqtt]\npassword_file = "pass"\n', warning=True) == []


def test_a_data_directory_that_everybody_may_enter_is_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    data.chmod(0o755)
    (problem,) = problems(tmp_path, "", warning=True)
    assert (problem.key, problem.hint) == ("gateway.data_dir", f"chmod 750 {data}")
    data.chmod(0o750)
    assert problems(tmp_path, "", warning=True) == []


@pytest.mark.parametrize(
    ("text", "warning", "says"),
    [
        ('[store]\nkind = "influxdb"\nurl = "http://far.example"\n', True, "the line to far.example is not encrypted"),
        ('[store]\nkind = "influxdb"\nca_file = "ca"\n', False, "certificates are named but the url is http"),
        ('[store]\nkind = "influxdb"\nurl = "https://x"\ncert_file = "ca"\n', False, "a certificate needs its key"),
        ('[store]\nkind = "influxdb"\nurl = "ftp://x"\n', False, "'ftp://x' is no address"),
        ('[store]\nkind = "influxdb"\nurl = "http://[x"\n', False, "is no address"),
        ('[mqtt]\nhost = "far.example"\n', True, "the line to far.example is not encrypted"),
    ],
)  # fmt: skip
def test_lines_and_their_certificates(tmp_path: Path, text: str, warning: bool, says: str) -> None:
    (tmp_path / "ca").touch()
    assert [problem for problem in problems(tmp_path, text, warning=warning) if says in problem.what]


@pytest.mark.parametrize(
    "text",
    [
        'extends = "\\u0000"\n',
        'operator = "a\\u0000b"\n',
        '[[sensor]]\nname = "x"\ndriver = "bme280"\nbus = "\\u0000"\n',
    ],
)
def test_a_sign_that_nobody_sees_is_a_problem_and_no_crash(tmp_path: Path, text: str) -> None:
    path = tmp_path / "site.toml"
    path.write_text(text + HEAD if text.startswith("extends") else HEAD.replace("[gateway]", text + "[gateway]"))
    found = [problem for problem in examine(path)[1] if not problem.warning]
    assert found
    assert "\0" not in str(found)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff\xfe", b"x" * 5000, b"a\x00b", b"a\tb"])
def test_what_is_no_secret_is_refused_without_being_repeated(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "pass"
    path.write_bytes(content)
    with pytest.raises(OSError, match="this is no secret: it must be one line") as caught:
        secrets.read(path)
    assert str(caught.value) == f"{path}: this is no secret: it must be one line of text, not empty"


@pytest.mark.parametrize("content", ["pass", "pass\n", " pass \r\n"])
def test_a_secret_is_read_without_the_end_of_its_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "pass").write_text(content)
    assert secrets.read(tmp_path / "pass") == "pass"
    assert secrets.read(None) is None
