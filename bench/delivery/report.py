"""The table and the verdicts of a run."""

from __future__ import annotations

from typing import Any

ROWS = (
    ("made", "readings made"),
    ("unheard", "due while down"),
    ("lost", "lost"),
    ("untold", "gone, untold"),
    ("doubled", "doubled"),
    ("reordered", "reordered"),
    ("merged", "merged"),
    ("rss_peak_mb", "RSS peak, MB"),
    ("rss_median_mb", "RSS median, MB"),
    ("cpu_s_per_hour", "CPU, s/h"),
    ("mb_per_hour", "card, MB/h"),
    ("mb_per_day", "card, MB/day"),
)
HEADS = {
    "lamppost": "lamppost", "lamppost-no-raw": "no raw", "thingsboard-file": "TB file",
    "thingsboard-sqlite": "TB sql", "mosquitto-bridge": "mosq.", "bridge": "(bridge)",
}  # fmt: skip
MOST_RSS_MB = 55.0
MOST_MB_PER_DAY = {"lamppost": 150.0, "lamppost-no-raw": 90.0}
CPU_SHARE = 0.25


def table(systems: dict[str, Any]) -> str:
    """Lay the figures of all systems side by side, 65 columns wide at most."""
    names = [name for name in HEADS if name in systems]
    lines = [f"{'':16}" + "".join(f"{HEADS[name]:>9}" for name in names)]
    for key, label in ROWS:
        cells = (systems[name].get(key, "") for name in names)
        lines.append(f"{label:16}" + "".join(f"{cell:>9}" for cell in cells))
    lost = {name: systems[name].get("lost_in", {}) for name in names}
    lines += [
        f"{HEADS[name]} lost: " + ", ".join(f"{n} in {phase}" for phase, n in where.items())
        for name, where in lost.items()
        if where
    ]
    return "\n".join(lines)


def verdicts(systems: dict[str, Any]) -> dict[str, bool]:
    """Say which targets were met; those of peers that did not run are left out."""
    ours = {name: systems[name] for name in MOST_MB_PER_DAY if name in systems}
    boards = [systems[name] for name in systems if name.startswith("thingsboard")]
    out: dict[str, bool] = {}
    for name, one in ours.items():
        out[f"{name}: nothing lost"] = one["lost"] == 0
        out[f"{name}: RSS at most {MOST_RSS_MB:g} MB"] = one["rss_peak_mb"] <= MOST_RSS_MB
        out[f"{name}: at most {MOST_MB_PER_DAY[name]:g} MB/day"] = one["mb_per_day"] <= MOST_MB_PER_DAY[name]
        if boards:
            least = min(board["cpu_s_per_hour"] for board in boards)
            out[f"{name}: a quarter of ThingsBoard's CPU"] = one["cpu_s_per_hour"] <= CPU_SHARE * least
    return out
