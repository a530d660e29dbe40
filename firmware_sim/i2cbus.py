"""An I2C bus behind a Unix stream socket; the protocol stands in docs/reference/i2c-socket.md."""

from __future__ import annotations

import asyncio
import errno
import struct
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from firmware_sim.device import I2cDevice, Nack
from firmware_sim.truth import Timeline

COUNT, MESSAGE, RESULT = struct.Struct("<H"), struct.Struct("<HHH"), struct.Struct("<i")
FLAG_READ = 1
GENERAL_CALL = 0x00
MAX_MESSAGES, MAX_BYTES, MAX_ADDRESS = 42, 8192, 0x7F  # as Linux i2c-dev has them


class Message(NamedTuple):
    """One message of a transfer: `data` is empty for a read, `length` is that of `data` for a write."""

    address: int
    is_read: bool
    length: int
    data: bytes


class I2cBus:
    """Serves any number of clients; the loop carries out one whole transfer at a time, as a bus does."""

    def __init__(self, parts: Mapping[int, I2cDevice], path: Path, timeline: Timeline) -> None:
        self._parts, self._path, self._timeline = parts, path, timeline
        self._clients: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None
        self._held = asyncio.Lock()

    async def start(self) -> None:
        """Listen; raise OSError when the socket cannot be made there."""
        if self._path.exists() and not self._path.is_socket():
            raise FileExistsError(f"{self._path} is in the way: it is not a socket")
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def close(self) -> None:
        """Hang up on every client and take the socket away; it may be started again."""
        if self._server:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)
            for writer in self._clients.values():
                writer.close()
            await asyncio.gather(*self._clients, return_exceptions=True)

    def transfer(self, messages: list[Message]) -> bytes:
        """Carry out one transfer; return the result code and the bytes that were read."""
        now_s, read = self._timeline.now_s(), b""
        for message in messages:
            try:
                read += self._carry_out(message, now_s)
            except Nack:
                return RESULT.pack(-errno.ENXIO)
        return RESULT.pack(0) + read

    def _carry_out(self, message: Message, t_s: float) -> bytes:
        part = self._parts.get(message.address)
        if message.address == GENERAL_CALL and not message.is_read and message.data:
            self._call_all(message.data, t_s)
        elif part is None:
            raise Nack("no such address")
        elif message.is_read:
            return part.read(message.length, t_s)
        else:
            part.write(message.data, t_s)
        return b""

    def _call_all(self, data: bytes, t_s: float) -> None:
        """Say something to every part that heeds the general call; nobody may be one of them."""
        heard = False
        for part in self._parts.values():
            heed = getattr(part, "general_call", None)
            with suppress(Nack):
                if heed is not None:
                    heed(data, t_s)
                    heard = True
        if not heard:
            raise Nack("nobody heeds a general call")

    def stretch_s(self, messages: list[Message]) -> float:
        """Return for how long the parts of a transfer held the clock, once."""
        takes = (getattr(self._parts.get(a), "take_stretch_s", None) for a in {m.address for m in messages})
        return float(sum(take() for take in takes if take is not None))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients[task] = writer
        try:
            with suppress(ConnectionError):
                if self._server:  # it may have been unplugged while somebody came in
                    await self._converse(reader, writer)
        finally:
            del self._clients[task]
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                messages = await _read_request(reader)
            except (ValueError, asyncio.IncompleteReadError):
                writer.write(RESULT.pack(-errno.EINVAL))
                await writer.drain()
                return
            if messages is None:
                return
            async with self._held:  # a held clock holds the bus for everybody
                reply = self.transfer(messages)
                stretch_s = self.stretch_s(messages)
                if stretch_s:
                    await asyncio.sleep(self._timeline.clock.real_s(stretch_s))
            writer.write(reply)
            await writer.drain()


async def _read_request(reader: asyncio.StreamReader) -> list[Message] | None:
    """Read one request; None at the end of the stream, ValueError or IncompleteReadError when it is malformed."""
    first = await reader.read(1)
    if not first:
        return None
    (count,) = COUNT.unpack(first + await reader.readexactly(1))
    if not 0 < count <= MAX_MESSAGES:
        raise ValueError("number of messages")
    messages = []
    for _ in range(count):
        address, flags, length = MESSAGE.unpack(await reader.readexactly(MESSAGE.size))
        if address > MAX_ADDRESS or flags not in (0, FLAG_READ) or length > MAX_BYTES:
            raise ValueError("address, flags or length")
        is_read = flags == FLAG_READ
        data = b"" if is_read else await reader.readexactly(length)
        messages.append(Message(address, is_read, length, data))
    return messages
