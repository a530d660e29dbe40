"""Every key of a TOML file is found on its line, whatever stands around it."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.toml_lines import Path, key_lines

SAMPLE = '''\
plain = 1                       # [not.a.header]
"quoted key".'another one' = 2
text = """
[inside]
key = "value" \\"\\"\\"
"""
raw = \'\'\'
[[inside]]
""" \'\'\'
list = [ # ] no end
  "]", \'[\',
  { inner = "}" },
]
inline = { a = 1, b = [1, 2], c = { d = "=" } }

[table]
a.b.c = true
[table."x.y"]
z = "a # b"
[[row]]
name = "first"
[row.more]
k = 1
[[row.deep]]
n = 1
[[row.deep]]
n = 2
[[row]]
name = "second"
  [[ row . deep ]]
  n = 3
'''
PLACES = {
    ("plain",): 1, ("quoted key",): 2, ("quoted key", "another one"): 2, ("text",): 3, ("raw",): 7, ("list",): 10,
    ("inline",): 14, ("table",): 16, ("table", "a"): 17, ("table", "a", "b"): 17, ("table", "a", "b", "c"): 17,
    ("table", "x.y"): 18, ("table", "x.y", "z"): 19, ("row",): 20, ("row", 0): 20, ("row", 0, "name"): 21,
    ("row", 0, "more"): 22, ("row", 0, "more", "k"): 23, ("row", 0, "deep"): 24, ("row", 0, "deep", 0): 24,
    ("row", 0, "deep", 0, "n"): 25, ("row", 0, "deep", 1): 26, ("row", 0, "deep", 1, "n"): 27, ("row", 1): 28,
    ("row", 1, "name"): 29, ("row", 1, "deep"): 30, ("row", 1, "deep", 0): 30, ("row", 1, "deep", 0, "n"): 31,
    (): 1,
}  # fmt: skip


def test_the_sample_key_by_key() -> None:
    assert tomllib.loads(SAMPLE)["text"] == '[inside]\nkey = "value" """\n'
    assert key_lines(SAMPLE) == PLACES


def test_other_line_breaks_are_no_line_breaks() -> None:
    text = "# one\x85still one\u2028and still\na = 1\nb = '\x1c'\nc = 3\n".replace("\x1c", "\u2029")
    assert tomllib.loads(text)["c"] == 3
    assert key_lines(text) == {(): 1, ("a",): 2, ("b",): 3, ("c",): 4}


def test_text_that_is_no_toml_does_no_harm() -> None:
    for text in ('a = "open', "]]]\nb = 1", '"""\nb = 1', "[open\nb = 1", "= 3", "a = ]\nb = 2"):
        assert key_lines(text)[()] == 1


# -- any document ------------------------------------------------------------------------------------------------

BARE = st.text("abcdefgh_-0123", min_size=1, max_size=4)
QUOTED = st.text("ab c.#[]={}'", min_size=1, max_size=5)
SCALARS = st.sampled_from(
    [
        "1", "-2.5e3", "true", "1979-05-27T07:32:00Z", '"a # b"', "'[x]'", '"\\"] = {"', '"\\\\"', "''", '""',
        "'\"\"\"'", "\"'''\"", '"""one"""', "'''[one]'''", '"""\n[a]\nb = 1\n"""', "'''\n\"\"\" # \n]\n'''",
        '""""x\n"""""', '"""\\"""\n\\\\"""', "[]", "[1, 2]", '["]", \'[\']', "[\n  1, # ]\n\n  2,\n]",
        '[\n["""\n]\n"""],\n[{ a = "}" }]\n]',
        "{}", '{ a = 1, "b c" = [1, 2] }', "{ a = [\n1\n] }", "[ # [\n]",
    ]
)  # fmt: skip
FILLER = st.sampled_from(["", "\n", "# [comment]\n", "  # a = 1\n", '# """\n', "# '\n\n"])


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[Path, int]]:
    """Draw a valid document, with the line of each table and key as it is written."""
    text, places, used = "", {}, set[Path]()

    def fresh(names: st.SearchStrategy[str]) -> str:
        name = draw(names.filter(lambda name: name not in used))
        used.add(name)
        return name

    def emit(line: str) -> int:
        nonlocal text
        text += draw(FILLER)
        number = text.count("\n") + 1
        text += line + "\n"
        return number

    def keys(table: Path) -> None:
        for i in range(draw(st.integers(0, 3))):
            value, indent, gap = (
                draw(SCALARS),
                draw(st.sampled_from(["", "  ", "\t"])),
                draw(st.sampled_from(["", " "])),
            )
            style = draw(st.sampled_from(["bare", "quoted", "dotted"]))
            name = f"{draw(BARE)}{i}"
            if style == "quoted":
                name = f"{draw(QUOTED)}{i}"
                places[*table, name] = emit(f'{indent}"{name}"{gap}={gap}{value}')
            elif style == "dotted":
                number = emit(f"{indent}{name}{gap}.{gap}'in {i}'{gap}={gap}{value}")
                places[*table, name] = places[*table, name, f"in {i}"] = number
            else:
                places[*table, name] = emit(f"{indent}{name}{gap}={gap}{value}")

    keys(())
    for t in range(draw(st.integers(0, 4))):
        name = f"{draw(BARE)}.{t}" if draw(st.booleans()) else f"{draw(BARE)}T{t}"
        written = f'"{name}"' if "." in name else name
        if draw(st.booleans()):
            places[name,] = emit(f"[{written}] # [x]")
            keys((name,))
            continue
        for i in range(draw(st.integers(1, 3))):
            places[name, i] = emit(f"[[{written}]]")
            places.setdefault((name,), places[name, i])
            keys((name, i))
            for j in range(draw(st.integers(0, 2))):
                places[name, i, "In", j] = emit(f"[[ {written} . In ]]")
                places.setdefault((name, i, "In"), places[name, i, "In", j])
                keys((name, i, "In", j))
            if draw(st.booleans()):
                places[name, i, "Sub"] = emit(f"[{written}.Sub]")
                keys((name, i, "Sub"))
    return text, places


def exists(document: Any, path: Path) -> bool:
    for part in path:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return False
    return True


@given(documents())
@settings(deadline=None)
def test_every_key_of_any_document_is_found_on_its_line(drawn: tuple[str, dict[Path, int]]) -> None:
    text, places = drawn
    parsed = tomllib.loads(text)
    found = key_lines(text)
    assert {path: found.get(path) for path in places} == places
    assert set(found) == {(), *places}
    assert all(exists(parsed, path) for path in found)


@given(st.text("ab[]{}=\"'#.\n\\ ", max_size=60))
@settings(deadline=None)
def test_any_text_can_be_looked_at(text: str) -> None:
    lines = key_lines(text)
    assert all(1 <= number <= text.count("\n") + 1 for number in lines.values())
