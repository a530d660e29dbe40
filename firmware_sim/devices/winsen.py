"""What Winsen's serial gas modules have in common: frames of nine bytes.

command  FF 01 cmd data[5] sum        reply  FF cmd data[6] sum        sum = -(byte 1 + .. + byte 7)
"""

from __future__ import annotations

from firmware_sim.checks import negated_sum

START, ADDRESS = 0xFF, 0x01
FRAME_BYTES = 9


def winsen_frame(body: bytes) -> bytes:
    """Put the start in front of seven bytes and the check sum behind them."""
    return bytes([START]) + body + bytes([negated_sum(body)])


def winsen_commands(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Cut whole commands with a good check sum (command and five bytes of data each) off what a host sent."""
    commands: list[bytes] = []
    while (start := buffer.find(bytes([START]))) >= 0:
        buffer = buffer[start:]
        if len(buffer) < FRAME_BYTES:
            return commands, buffer
        body = buffer[1:8]
        good = body[0] == ADDRESS and buffer[8] == negated_sum(body)
        if good:
            commands.append(body[1:])
        buffer = buffer[FRAME_BYTES if good else 1 :]
    return commands, b""
