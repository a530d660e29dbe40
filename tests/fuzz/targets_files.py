"""What reads files of others: site files, as people write them, and certificates, as servers show them."""

from __future__ import annotations

import re
import shutil
import tempfile
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random

from gateway import config_file
from gateway.certificates import troubles, validity
from gateway.config_errors import Problem
from tests.fuzz.certificates import CERTIFICATE
from tests.fuzz.hunt import Target

ROOT = Path(__file__).parents[2]
MEMORY = Path("/dev/shm")
WORDS = (
    b"[", b"]", b"[[", b"]]", b"=", b'"', b"'", b"\n", b"# ", b"{", b"}", b",", b".", b"true", b"nan", b"-inf",
    b'extends = "base.toml"\n', b"[sensor]\n", b"[[sensor]]\n", b"[mqtt]\n", b"[quality.air.pm2_5]\n", b"2026-01-01",
    b"0x", b"\\u0000", b"\xef\xbb\xbf", b"\x00", b"[[derived]]\n", b"[sensor.options]\n", b"[store]\n", b"=\n", b"1_0",
)  # fmt: skip
ODD_VALUES = (
    "0", "-1", "1e308", "inf", "nan", '""', '"x"', '"../../etc/passwd"', "true", "[]", "[[]]", "{}", "2026-01-01",
    "2026-01-01T00:00:00Z", "9223372036854775808", '"\\u0000"', '"a b"', "[1, 'a']", "0.1", "07:00:00", "'''x'''",
)  # fmt: skip
LINE = re.compile(r"(?m)^(\s*[\w.\"-]+\s*=\s*)([^#\n]*)")


def targets() -> Iterator[Target]:
    """Site files and certificates."""
    yield Target("certificate", certificate, (CERTIFICATE, CERTIFICATE[:200]), 60.0, 512)
    texts = _site_files()
    seeds = tuple(text.encode() for text in texts)
    yield Target("config", config, seeds, 10.0, 16, WORDS, _edited(texts))


def _site_files() -> list[str]:
    """The shipped sites, the samples of the drivers under one site, and the broken files of the tests."""
    sites = [path.read_text() for path in sorted((ROOT / "configs").glob("*.toml"))]
    head = '[site]\nname = "street"\n[gateway]\nname = "post-7"\n'
    samples = [head + path.read_text() for path in sorted((ROOT / "drivers").rglob("sample.toml"))]
    broken = [path.read_text() for path in sorted((ROOT / "tests" / "config" / "broken").glob("[0-9]*.toml"))]
    return [*sites, *samples, *broken]


def _edited(texts: Sequence[str]) -> Callable[[Random], bytes]:
    """Make site files that are TOML, mostly: with odd values, with lines lost, doubled and moved."""

    def make(rng: Random) -> bytes:
        text = rng.choice(texts)
        for _ in range(rng.choice((1, 1, 2, 5))):
            lines = text.splitlines(keepends=True) or ["\n"]
            at = rng.randrange(len(lines))
            match rng.randrange(5):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, rng.choice(lines))
                case 2:
                    lines.insert(at, rng.choice(rng.choice(texts).splitlines(keepends=True) or ["\n"]))
                case _:
                    lines[at] = LINE.sub(lambda found: found[1] + rng.choice(ODD_VALUES), lines[at])
            text = "".join(lines)
        return text.encode("utf-8", "surrogateescape")

    return make


def certificate(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any bytes: a ValueError, or two times; and whoever only wants to be warned is never upset."""
    seen: Counter[str] = Counter()
    for der in inputs:
        troubles({}, {"server": der}, rng.randrange(2**62), 30.0)
        try:
            found = validity(der)
        except ValueError:
            seen["refused"] += 1
            continue
        assert all(isinstance(at, int) for at in found), "a time that is none"
        seen["read"] += 1
    return seen


def config(inputs: Sequence[bytes], rng: Random) -> Counter[str]:
    """Any file: a configuration, or problems that each name a line of the file and the next step."""
    reader, config_file._adapter = config_file._adapter, cache(config_file._adapter)  # a fifth of a second each time
    seen: Counter[str] = Counter()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=MEMORY if MEMORY.is_dir() else None))
    try:
        shutil.copy(ROOT / "configs" / "base.toml", folder)
        path = folder / "site.toml"
        for data in inputs:
            path.write_bytes(data)
            made, problems = config_file.examine(path)
            errors = [problem for problem in problems if not problem.warning]
            assert made is not None or errors, "nothing is made, and nothing is said"
            for problem in problems:
                _helps(problem, folder)
            seen["good" if made is not None and not errors else "refused" if _is_toml(data) else "no TOML"] += 1
    finally:
        shutil.rmtree(folder)
        config_file._adapter = reader
    return seen


def _helps(problem: Problem, folder: Path) -> None:
    assert problem.what, "says nothing"
    assert problem.hint, f"no next step: {problem}"
    if Path(problem.file).is_file():
        lines = Path(problem.file).read_bytes().count(b"\n") + 1
        assert 1 <= problem.line <= lines, f"line {problem.line} of {lines}: {problem}"


def _is_toml(data: bytes) -> bool:
    try:
        tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return False
    return True
