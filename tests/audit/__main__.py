"""`python -m tests.audit`: what we install, looked at: known holes, hashes, what fits together, what is out of date.

Ends with 0 when everything could be looked at and nothing was found, with 1 when something was found, and with 3 when
nothing was found but the list of known holes could not be asked: that is no clean bill.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
PINNED = ("requirements.txt", "requirements-dev.txt", "requirements-build.txt")
AUDITOR = Path(sys.prefix) / "audit" / "bin" / "pip-audit"
CLEAN, FOUND, UNKNOWN = 0, 1, 3
LIMIT_S = 600.0


class Verdict(NamedTuple):
    """What one look gave: CLEAN, FOUND or UNKNOWN, and in words."""

    code: int
    says: str


def read_audit(said: str) -> Verdict:
    """Read the JSON of pip-audit; packages that it passed over were not looked at, whatever its exit code says."""
    try:
        packages: list[dict[str, Any]] = json.loads(said)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return Verdict(UNKNOWN, "pip-audit gave no answer: the list of known holes cannot be reached from here")
    holes = [f"{one['name']} {one['version']}: {hole['id']}" for one in packages for hole in one.get("vulns", ())]
    passed_over = [one["name"] for one in packages if "skip_reason" in one]
    if holes:
        return Verdict(FOUND, "known holes: " + "; ".join(holes))
    if passed_over or not packages:
        left = f"{len(passed_over)} of {len(packages)} packages"
        return Verdict(UNKNOWN, f"{left} were NOT looked at: the list of known holes does not answer for them here")
    return Verdict(CLEAN, f"no known holes in {len(packages)} packages")


def holes(name: str) -> Verdict:
    """Ask for known holes in what a file pins."""
    if not AUDITOR.exists():
        return Verdict(UNKNOWN, "pip-audit could not be installed: known holes were not asked for")
    return read_audit(_run(str(AUDITOR), "-r", name, "--no-deps", "--disable-pip", "--format", "json").stdout)


def hashes(name: str) -> Verdict:
    """Fetch every file that would be installed, and hold it against its hash."""
    words = ("install", "--dry-run", "--ignore-installed", "--no-deps", "--require-hashes", "--quiet", "-r", name)
    done = _run(sys.executable, "-m", "pip", *words)
    return Verdict(CLEAN, "every file has its hash") if not done.returncode else Verdict(FOUND, _last(done.stderr))


def together() -> Verdict:
    """Ask whether what is installed fits together."""
    done = _run(sys.executable, "-m", "pip", "check")
    return Verdict(FOUND if done.returncode else CLEAN, _last(done.stdout))


def outdated() -> Verdict:
    """List what has a newer version; that alone is no finding."""
    done = _run(sys.executable, "-m", "pip", "list", "--outdated", "--format", "json")
    try:
        rows = [f"{one['name']} {one['version']} -> {one['latest_version']}" for one in json.loads(done.stdout)]
    except (ValueError, KeyError):
        return Verdict(UNKNOWN, "the package index does not answer")
    return Verdict(CLEAN, "newer: " + ", ".join(rows) if rows else "all are the newest")


def main() -> int:
    """Look at everything, say it, and return the worst that there was; a finding is worse than not knowing."""
    looks = [("installed", together())]
    for name in PINNED:
        looks += [(f"{name}, hashes", hashes(name)), (f"{name}, known holes", holes(name))]
    looks.append(("versions", outdated()))
    word = {CLEAN: "ok     ", FOUND: "FOUND  ", UNKNOWN: "UNKNOWN"}
    for what, verdict in looks:
        print(f"{word[verdict.code]} {what}: {verdict.says}")
    return verdict_of([verdict.code for _, verdict in looks])


def verdict_of(codes: list[int]) -> int:
    """Return FOUND if anything was found, else UNKNOWN if anything is not known, else CLEAN."""
    return next((code for code in (FOUND, UNKNOWN) if code in codes), CLEAN)


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return lines[-1] if lines else "nothing was said"


if __name__ == "__main__":
    sys.exit(main())
