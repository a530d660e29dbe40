"""A simulator as a process, and readers of other people's drivers beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cases import Case

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
VENV = ROOT / ".venv" / "third-party"
PYTHON = VENV / "bin" / "python"
SCALED = Path(__file__).with_name("wrong_twin.py")
READINGS = 4
READER_S = 75.0
AT_ONCE = 5  # readers; most of their time they wait for their part


def scenario(cases: Sequence[Case]) -> str:
    """One street with a part, and a port or bus, for each case."""
    return "seed = 7\n\n" + "\n".join(case.table() for case in cases)


@contextmanager
def simulator(place: Path, cases: Sequence[Case], *, wrong: bool = False) -> Iterator[Path]:
    """Run it; yield the directory of its ports. With `wrong` the parts say something else than the truth file."""
    place.mkdir(parents=True, exist_ok=True)
    file = place / "scene.toml"
    file.write_text(scenario(cases), encoding="utf-8")
    program = [str(SCALED)] if wrong else ["-m", "firmware_sim"]
    env = {key: value for key, value in os.environ.items() if key != "GATEWAY_CLOCK"} | {"PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, *program, "run", str(file), "--dir", str(place)], stdout=subprocess.PIPE, text=True, env=env
    )
    try:
        assert child.stdout is not None
        while (line := child.stdout.readline()) != "ready\n":
            assert line, "the simulator ended before it was ready"
        yield place
    finally:
        child.terminate()
        child.communicate(timeout=15)


def read(case: Case, endpoint: str, count: int = READINGS) -> list[dict[str, float]]:
    """Let the driver of a case read so many measurements; what it complains of is in the message of the error."""
    command = [str(PYTHON), str(HERE / "readers.py"), case.reader, endpoint, str(count)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=READER_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise AssertionError(f"{case.package} read too little in {READER_S:g} s: {error.stdout!r}") from None
    assert done.returncode == 0, f"{case.package}: {done.stderr[-1500:]}"
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]  # some drivers print, too


def read_all(place: Path, cases: Sequence[Case]) -> dict[str, list[dict[str, float]] | AssertionError]:
    """Let all of them read, a few at a time."""

    def one(case: Case) -> list[dict[str, float]] | AssertionError:
        try:
            return read(case, str(place / case.port))
        except AssertionError as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip((case.reader for case in cases), pool.map(one, cases), strict=True))


def truth_of(place: Path, case: Case) -> list[Mapping[str, float | None]]:
    """What a part said, in order."""
    lines = (json.loads(line) for line in (place / "truth.jsonl").read_text(encoding="utf-8").splitlines())
    return [line["values"] for line in lines if line["name"] == case.part and "values" in line]


def versions() -> dict[str, str]:
    """Installed packages of that environment, by lower-case name."""
    script = "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    done = subprocess.run([str(PYTHON), "-c", script], capture_output=True, text=True, check=True)
    return {name.lower().replace("_", "-"): version for name, version in json.loads(done.stdout).items()}
