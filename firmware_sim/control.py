"""The control socket of a running simulation: one JSON object per line and request, one per reply.

    {"do": "set", "quantity": "temperature", "to": 31.5, "on": "weather", "for_s": 60}
    {"ok": true}   or   {"error": "what is wrong", "hint": "what to do"}

All verbs stand in docs/reference/simulator-control.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec

from firmware_sim.device import NEVER_S
from firmware_sim.fault_rules import objections
from firmware_sim.faults import BY_HAND, EVERYTHING, NACK, TIMES, UNPLUG, Fault, Target, Trouble, Witness
from firmware_sim.holds import KNOWN, QUANTITIES, WAYS, Hands, Hold, Holds
from firmware_sim.plug import BusPlug
from firmware_sim.ports import Port
from firmware_sim.snapshot import is_on, snapshot
from firmware_sim.street import Street
from firmware_sim.truth import Timeline

CONTROL = "control.sock"
WATCH_S = 0.5
FIRST_NUMBER = 1000  # of faults that no file has
Request = Mapping[str, Any]
Sufferer = tuple[Target, list[Trouble]]


class ControlError(Exception):
    """A request that cannot be met, with what to do instead."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


class Desk:
    """Takes requests and lays hands on the simulation; everything happens in its event loop."""

    def __init__(
        self,
        street: Street,
        sufferers: Sequence[Sufferer],
        hands: Hands,
        timeline: Timeline,
        seed: int,
        witness: Callable[[str, str], Witness],
    ) -> None:
        self.paused = False
        self._street, self._sufferers, self._hands, self._timeline = street, sufferers, hands, timeline
        self._seed, self._witness = seed, witness
        self._ports: Mapping[str, Port] = {}
        self._plugs: Mapping[str, BusPlug] = {}
        self._put_on: list[Trouble] = []
        self._start_s = timeline.now_s()
        self._next_number = FIRST_NUMBER
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._encode, self._decode = msgspec.json.Encoder().encode, msgspec.json.Decoder().decode

    @property
    def put_on(self) -> Sequence[Trouble]:
        """Return the faults that were put on by hand."""
        return self._put_on

    async def open(self, path: Path, ports: Mapping[str, Port], plugs: Mapping[str, BusPlug]) -> None:
        """Listen; raise OSError when the socket cannot be made there."""
        self._ports, self._plugs, self._path = ports, plugs, path
        path.unlink(missing_ok=True)  # noqa: ASYNC240 - of a run that was killed
        self._server = await asyncio.start_unix_server(self._serve, path)

    async def close(self) -> None:
        """Hang up on everybody, and take the socket away."""
        if self._server:
            self._server.close()
            self._path.unlink(missing_ok=True)
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    def pause(self, paused: bool) -> None:
        """Stop or resume what parts say by themselves."""
        self.paused = paused
        for port in self._ports.values():
            port.pause(paused)

    def do(self, request: Request) -> dict[str, Any]:
        """Carry out one request; raise ControlError when it cannot be met."""
        verbs = {
            "list": self._list, "set": self._set, "unset": self._unset, "fault": self._fault, "clear": self._clear,
            "unplug": self._unplug, "plug": self._plug, "pause": self._pause, "resume": self._resume,
        }  # fmt: skip
        verb = request.get("do")
        if verb not in verbs:
            raise ControlError(f"there is no {verb!r}", _meant(verb, (*verbs, "watch")))
        return {"ok": True, **verbs[verb](request)}

    # -- verbs -------------------------------------------------------------------------------------------------------

    def _list(self, _request: Request) -> dict[str, Any]:
        return snapshot(self._street, self._hands, self._sufferers, self._timeline.now_s()) | {"paused": self.paused}

    def _set(self, request: Request) -> dict[str, Any]:
        name, now_s = request.get("quantity"), self._timeline.now_s()
        if name not in KNOWN:
            raise ControlError(f"no part sees {name!r}", _meant(name, KNOWN))
        given = [way for way in WAYS if way in request]
        if len(given) != 1:
            raise ControlError("say what it shall be", f"one of {', '.join(WAYS)}, with a number")
        value, quantity = _number(request, given[0]), QUANTITIES[name]
        if given == ["to"] and not quantity.lo <= value <= quantity.hi:
            raise ControlError(
                f"{value:g} {quantity.unit} is out of range", f"use {quantity.lo:g} to {quantity.hi:g} {quantity.unit}"
            )
        for_s = _number(request, "for_s") if "for_s" in request else NEVER_S
        for holds in self._holds(request):
            holds.by_quantity[name] = Hold(name, given[0], value, now_s, now_s + for_s)
        return {}

    def _unset(self, request: Request) -> dict[str, Any]:
        name, let_go = request.get("quantity"), 0
        if name is not None and name not in KNOWN:
            raise ControlError(f"no part sees {name!r}", _meant(name, KNOWN))
        every = [self._hands.street, *self._hands.parts.values()]
        for holds in self._holds(request) if "on" in request else every:
            for held in [name] if name else list(holds.by_quantity):
                let_go += holds.by_quantity.pop(held, None) is not None
        return {"let_go": let_go}

    def _fault(self, request: Request) -> dict[str, Any]:
        on, kind = request.get("on"), request.get("kind")
        if kind not in BY_HAND:
            raise ControlError(f"unknown fault {kind!r}", _meant(kind, BY_HAND))
        targets = [target for target, _troubles in self._sufferers]
        if on != EVERYTHING and on not in (names := {target.name for target in targets}):
            raise ControlError(f"there is no {on!r} in this scenario", _meant(on, (*sorted(names), EVERYTHING)))
        times = {key: _number(request, key) for key in TIMES if key in request}
        since_s = self._timeline.now_s() - self._start_s
        times["from_s"] = since_s + times.get("from_s", 0.0)
        fault = Fault(str(on), kind, self._next_number, **times)  # type: ignore[arg-type]
        by_hand = kind == UNPLUG and not times.keys() & {"every_s", "mean_every_s"}  # until somebody plugs it in
        for key, what, hint in objections(fault):
            if not (by_hand and key == "for_s"):
                raise ControlError(f"{key}: {what}", hint)
        return self._put(fault)

    def _put(self, fault: Fault) -> dict[str, Any]:
        found = [one for one in self._sufferers if one[0].suffers(fault)]
        if not found:
            hint = 'put "silent" on a serial part' if fault.kind == NACK else "`list` shows what is there"
            raise ControlError(f"{fault.on} cannot have the fault {fault.kind}", hint)
        for target, troubles in found:
            witness = self._witness(target.name, target.device)
            trouble = Trouble(fault, self._seed, target.name, witness, self._start_s)
            troubles.append(trouble)
            self._put_on.append(trouble)
        self._next_number += 1
        self._poke()
        return {"id": fault.number, "on": [target.name for target, _troubles in found]}

    def _clear(self, request: Request) -> dict[str, Any]:
        """Lift faults of the file as well as those of the hand: by id, by name, or all."""
        number, on = request.get("id"), request.get("on")
        lifted = [
            trouble
            for target, trouble in self._on_now()
            if number in (None, trouble.fault.number) and on in (None, target.name, trouble.fault.on)
        ]
        return self._lift(lifted, "no such fault is on")

    def _unplug(self, request: Request) -> dict[str, Any]:
        return self._fault({**request, "kind": UNPLUG})

    def _plug(self, request: Request) -> dict[str, Any]:
        on = request.get("on")
        out = [
            trouble
            for target, trouble in self._on_now()
            if trouble.kind == UNPLUG and on in (target.name, trouble.fault.on)
        ]
        return self._lift(out, f"{on} is plugged in")

    def _pause(self, _request: Request) -> dict[str, Any]:
        self.pause(True)
        return {}

    def _resume(self, _request: Request) -> dict[str, Any]:
        self.pause(False)
        return {}

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _holds(self, request: Request) -> list[Holds]:
        on = request.get("on")
        if on is None:
            return [self._hands.street]
        if on not in self._hands.parts:
            raise ControlError(f"there is no part {on!r}", _meant(on, tuple(self._hands.parts)))
        return [self._hands.parts[on]]

    def _on_now(self) -> list[tuple[Target, Trouble]]:
        """List the faults that are in force, or still to come."""
        every = ((target, trouble) for target, troubles in self._sufferers for trouble in troubles)
        return [(target, trouble) for target, trouble in every if is_on(trouble)]

    def _lift(self, troubles: Sequence[Trouble], otherwise: str) -> dict[str, Any]:
        if not troubles:
            raise ControlError(otherwise, "`list` shows which faults are on")
        for trouble in troubles:
            trouble.lift(self._timeline.now_s())
        self._poke()
        return {"lifted": len(troubles)}

    def _poke(self) -> None:
        for port in self._ports.values():
            port.poke()
        for plug in self._plugs.values():
            plug.poke()

    # -- the socket --------------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            with suppress(ConnectionError, asyncio.CancelledError):
                while line := await reader.readline():
                    await self._answer(line, writer)
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = self._decode(line)
            if not isinstance(request, dict):
                raise ControlError("a request is an object", 'write {"do": "list"}')
            if request.get("do") == "watch":
                await self._watch(writer)
            reply = self.do(request)
        except msgspec.DecodeError as error:
            reply = {"error": f"not JSON: {error}", "hint": 'write {"do": "list"}'}
        except ControlError as error:
            reply = {"error": str(error), "hint": error.hint}
        writer.write(self._encode(reply) + b"\n")
        await writer.drain()

    async def _watch(self, writer: asyncio.StreamWriter) -> None:
        """Send what `list` says twice a second, until the other side hangs up."""
        while True:
            writer.write(self._encode(self.do({"do": "list"})) + b"\n")
            await writer.drain()
            await asyncio.sleep(WATCH_S)


def _number(request: Request, key: str) -> float:
    value = request[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ControlError(f"{key}: {value!r} is not a number", f'write "{key}": 1.5')
    return float(value)


def _meant(word: object, known: Iterable[str]) -> str:
    known = tuple(known)
    close = get_close_matches(str(word), known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(known)}"
