"""`gateway decode`: what a driver makes of bytes."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.fail import CONFIG_ERROR, fail


def decode(
    driver: Annotated[str, typer.Argument(help="The driver's name, for example sds011.")],
    frames: Annotated[list[str], typer.Argument(metavar="HEX...", help="Frames, or bytes of a stream, in hex.")],
    *,
    context: Annotated[str, typer.Option(help="Calibration or status bytes the frames need, in hex.")] = "",
    option: Annotated[list[str] | None, typer.Option(help="An option of the driver, as name=value.")] = None,
) -> None:
    """Decode bytes that a sensor sent: one JSON object per frame, with the verdict and the rows."""
    import msgspec

    from drivers import find
    from drivers.base import Fault, PieceKind, Stream

    try:
        found = find(driver)
    except KeyError as error:
        fail(str(error.args[0]), "`gateway drivers` lists them all", CONFIG_ERROR)
    options = {**found.defaults(), **_options(found.options, option or [])}
    context_bytes = _hex(context)
    pieces: list[tuple[bytes, Fault | None]] = []
    for text in frames:
        data = _hex(text)
        if isinstance(found.access, Stream):
            cut, rest = found.access.framer.split(data, final=True)
            verdicts = {PieceKind.FRAME: None, PieceKind.BAD_CHECK: Fault.CHECK, PieceKind.GARBAGE: Fault.NOT_DATA}
            pieces += [(piece.data, verdicts[piece.kind]) for piece in cut]
            pieces += [(rest, Fault.LENGTH)] if rest else []
        else:
            pieces.append((data, None))
    for data, verdict in pieces:
        row = (
            {"fault": verdict.name, "rows": [], "marks": []}
            if verdict
            else _decoded(found, data, context_bytes, options)
        )
        typer.echo(msgspec.json.encode(row | {"hex": data.hex()}).decode())


def _decoded(driver: Any, data: bytes, context: bytes, options: Any) -> dict[str, Any]:
    """Decode one frame into names, values and marks; a missing value is null."""
    import math

    from drivers.base import Fault, Mark

    decoded = driver.decode([data], context, options)
    names = [channel.name for channel in driver.channels]
    rows, marks = [], []
    for values, mark in zip(decoded.values.tolist(), decoded.mark.tolist(), strict=True):
        rows.append({name: value if math.isfinite(value) else None for name, value in zip(names, values, strict=True)})
        marks.append({name: Mark(m).name for name, m in zip(names, mark, strict=True) if m != Mark.OK})
    return {"fault": Fault(int(decoded.fault[0])).name, "rows": rows, "marks": marks}


def _hex(text: str) -> bytes:
    try:
        return bytes.fromhex(text.replace(":", "").removeprefix("0x"))
    except ValueError:
        fail(
            f"{text!r} is not hex",
            "write bytes as pairs of 0-9 and a-f, for example aac0d4043a0aa1601dab",
            CONFIG_ERROR,
        )


def _options(known: Any, words: list[str]) -> dict[str, Any]:
    from gateway.rules import bad_option

    by_name = {option.name: option for option in known}
    out: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if name not in by_name:
            fail(f"unknown option {name!r}", f"known: {', '.join(by_name) or 'none'}", CONFIG_ERROR)
        option = by_name[name]
        try:
            value: Any = text.lower() in ("1", "true", "yes") if option.type is bool else option.type(text)
        except ValueError:
            value = text
        if (bad := bad_option(option, value)) is not None:
            fail(f"{name}: {text!r} {bad}", option.help or "correct the value", CONFIG_ERROR)
        out[name] = value
    return out
