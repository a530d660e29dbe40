"""The science in vectors: the file in tests/data, and any other that is named with --vectors.

A vector names a function and its inputs, and what must come out, with its source. The modules `science_*.py` beside
this file say which of our functions that is: each has a table `FUNCTIONS` from the name to a callable that takes the
inputs. A name may be given as `topic/function` where two topics mean different things by it. `TURNS` names functions
whose answer is the same one turn later. `EXCEPTIONS` names vectors that are held to be wrong, and why; one that turns
out right must leave that table.
"""

from __future__ import annotations

import importlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from science_compare import difference
from science_files import found

HERE = Path(__file__).parent
OURS = HERE.parent / "data" / "science_vectors.json"
Function = Callable[[Mapping[str, Any]], Any]


class Known(NamedTuple):
    """A vector, and the file that it is from."""

    vector: Mapping[str, Any]
    file: Path


class Tables(NamedTuple):
    """What the modules here say."""

    functions: dict[str, Function]
    exceptions: dict[str, str]
    turns: dict[str, float]


def tables() -> Tables:
    """Put the tables of all modules together; a function is known to one of them only."""
    functions: dict[str, Function] = {}
    exceptions: dict[str, str] = {}
    turns: dict[str, float] = {}
    for path in sorted(HERE.glob("science_*.py")):
        module = importlib.import_module(path.stem)
        own = getattr(module, "FUNCTIONS", {})
        twice = functions.keys() & own.keys()
        assert not twice, f"{path.name}: {', '.join(sorted(twice))} is in another module too"
        functions |= own
        exceptions |= getattr(module, "EXCEPTIONS", {})
        turns |= getattr(module, "TURNS", {})
    return Tables(functions, exceptions, turns)


def vectors_of(file: Path) -> list[Known]:
    """Read the vectors of a file; what is no vector of a function (but of a part, say) is passed over."""
    return [Known(one, file) for one in json.loads(file.read_text(encoding="utf-8")) if "function" in one]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "known" in metafunc.fixturenames:
        all_of_them: dict[str, Known] = {}
        for one in (one for file in (OURS, *metafunc.config.getoption("--vectors")) for one in vectors_of(file)):
            name = f"{one.vector['id']}-{one.vector['function']}"
            while name in all_of_them and all_of_them[name].vector != one.vector:
                name += f"@{one.file.stem}"
            all_of_them.setdefault(name, one)
        metafunc.parametrize("known", all_of_them.values(), ids=all_of_them.keys())


def answer(vector: Mapping[str, Any], file: Path, functions: Mapping[str, Function]) -> Any:
    name = vector["function"]
    function = functions.get(f"{vector['topic']}/{name}") or functions.get(name)
    assert function is not None, f"no module here knows the function {name!r} of {vector['topic']}"
    return function(found(vector["inputs"], file))


def test_every_vector_gives_what_it_should(known: Known) -> None:
    functions, exceptions, turns = tables()
    vector, expected = known.vector, known.vector["expected"]
    said = answer(vector, known.file, functions)
    turn = turns.get(vector["function"])
    if turn is not None and isinstance(expected, int | float) and not math.isnan(said):
        said += turn * round((expected - said) / turn)
    wrong = difference(said, expected, vector.get("tolerance") or 0.0)
    if vector["id"] in exceptions:
        assert wrong is not None, f"{vector['id']} is right after all: take it out of EXCEPTIONS"
        pytest.skip(f"held to be wrong: {exceptions[vector['id']]}")
    assert wrong is None, f"{vector['function']}({json.dumps(vector['inputs'])[:300]}): {wrong}; {vector.get('note')}"


def test_the_file_is_worth_running() -> None:
    topics = Counter(str(one.vector["topic"]).partition(".")[0] for one in vectors_of(OURS))
    assert {"qc", "filter", "air", "noise", "traffic", "agg", "time", "format"} <= topics.keys()
    assert sum(topics.values()) > 200
    assert all(one.vector["source"] for one in vectors_of(OURS))


def test_a_wrong_answer_is_seen() -> None:
    known = next(one for one in vectors_of(OURS) if one.vector["function"] == "leq_energetic")
    arithmetic = {"leq_energetic": lambda inputs: sum(inputs["levels_db"]) / len(inputs["levels_db"])}
    assert difference(answer(known.vector, known.file, arithmetic), known.vector["expected"], 1e-6) is not None


def test_a_function_that_nobody_knows_is_a_failure_that_names_it() -> None:
    with pytest.raises(AssertionError, match="'levitate' of magic"):
        answer({"topic": "magic", "function": "levitate", "inputs": {}}, OURS, {})


@pytest.mark.parametrize(
    ("actual", "expected", "tolerance", "same"),
    [
        (1, 1, 0, True), (1.0, 1, 0, True), (2, 1, 0, False), (1 + 1e-9, 1, 0, False), (1.0 + 1e-15, 1.0, 0, True),
        (1.05, 1.0, 0.1, True), (1.2, 1.0, 0.1, False), (float("nan"), None, 0, True), (None, None, 0, True),
        (0.0, None, 0, False), (float("nan"), 0.0, 1, False), (None, 0, 9, False), (True, True, 0, True),
        (1, True, 0, False), (True, 1, 0, False), ("a", "a", 0, True), ("a", "b", 9, False), ([1, 2], [1, 2], 0, True),
        ((1, 2), [1, 2], 0, True), ([1], [1, 2], 0, False), ([1, 3], [1, 2], 0, False), ({"a": 1}, {"a": 1}, 0, True),
        ({1: 2}, {"1": 2}, 0, True), ({"a": 1, "b": 1}, {"a": 1}, 0, False), ({"a": [None]}, {"a": [None]}, 0, True),
        ([], {}, 0, False), ({"a": {"b": [1.0]}}, {"a": {"b": [1.5]}}, 0.4, False),
    ],
)  # fmt: skip
def test_what_counts_as_the_same(actual: Any, expected: Any, tolerance: float, *, same: bool) -> None:
    assert (difference(actual, expected, tolerance) is None) == same
