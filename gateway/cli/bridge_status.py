"""How a bridge is, in lines for a phone: from its status file."""

from __future__ import annotations

from typing import Any

from gateway.cli.span import length


def bridge_lines(now: dict[str, Any], age_s: float, *, alive: bool) -> list[str]:
    """Say how a bridge is: broker, store, spool, and what it has done since its start."""
    counts: dict[str, int] = now.get("counts", {})
    word = "running" if alive else "NOT RUNNING: systemctl start gateway-bridge"
    lines = [f"bridge: {word}", f"said {age_s:.0f} s ago"]
    for subject, trouble in now.get("alarms", {}).items():
        lines.append(f"ALARM {subject}: {trouble}")
    lines.append(f"broker: {'connected' if now.get('connected') else 'NOT connected'}")
    away_s = now.get("store_away_s", 0.0)
    lines.append(f"store: {now.get('store', '?')}, {f'AWAY for {length(away_s + age_s)}' if away_s else 'well'}")
    if waiting := now.get("spool_messages"):
        limit = now["spool_limit_bytes"] / 1e6
        size = f"{now['spool_bytes'] / 1e6:.1f} of {limit:g} MB" if limit else f"{now['spool_bytes'] / 1e6:.1f} MB"
        lines.append(f"spool: {waiting} messages, {size},")
        lines.append(f"      the oldest for {length(now['spool_oldest_s'] + age_s)}")
    if torn := counts.get("spool_torn_bytes"):
        lines.append(f"      {torn} bytes of it were damaged: they come again")
    lines.append(f"stored: {counts.get('messages', 0)} messages since its start")
    if dead := counts.get("dead_letters"):
        lines.append(f"DEAD  {dead} messages -> gateway dead-letters list SITE")
    if unkept := counts.get("letters_unkept"):
        lines.append(f"DEAD  {unkept} could not even be kept -> look at its disk")
    return lines
