"""Say what another site file would make of the readings that a gateway has: flags and reasons, before and after.

    python docs/examples/what_would_change.py site.toml candidate.toml /var/lib/lamppost

It only reads, also while the gateway runs. The raw log in the data directory has what the sensors said, so both files
see the same street. One line for each channel that comes out differently: readings by flag, and reasons.
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from gateway.block import FLAGS, REASONS
from gateway.config_file import load
from gateway.core import Core
from gateway.plans import plans
from gateway.rawlog import read

Channel = tuple[str, str]


def judged(site: Path, data_dir: Path) -> dict[Channel, Counter[str]]:
    """Run a raw log through the stages of a site file; count the readings of each channel by flag and by reason."""
    config = load(site)
    core = Core({config.hash: plans(config)}, config.windows.base_s, config.gateway.lateness_s)
    core.begin(config.hash)
    out: dict[Channel, Counter[str]] = {}
    for _, records in read(data_dir):
        for windows in core.feed(records):
            for i, (_, sensor, channel, _) in enumerate(windows.series):
                counts = out.setdefault((sensor, channel), Counter())
                flags = zip(FLAGS, windows.n_by_flag[i].tolist(), strict=True)
                reasons = zip(REASONS, windows.reasons[i].tolist(), strict=True)
                counts.update({flag.name.lower(): n for flag, n in flags if n})
                counts.update({f"r_{str(reason.name).lower()}": n for reason, n in reasons if n})
    return out


def main(site: str, candidate: str, data_dir: str) -> None:
    """Print what differs."""
    before, after = judged(Path(site), Path(data_dir)), judged(Path(candidate), Path(data_dir))
    for sensor, channel in sorted(before.keys() | after.keys()):
        was, is_now = before.get((sensor, channel), Counter()), after.get((sensor, channel), Counter())
        names = [name for name in sorted(was | is_now) if was[name] != is_now[name]]
        changes = (f"{name} {was[name]} -> {is_now[name]}" for name in names)
        if text := ", ".join(changes):
            print(f"{sensor}.{channel}: {text}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
