"""The measurements that vectors speak of: found beside the vectors, or as the copies in tests/data."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

DATA = Path(__file__).parents[1] / "data"
COPIES: Mapping[str, str] = MappingProxyType({"test_data_laeq1s.csv": "laeq_1s_montreal_2025-03-22.csv.gz"})


def found(inputs: Mapping[str, Any], vectors: Path) -> dict[str, Any]:
    """Return the inputs with the path of a file in place of its name, if there is one."""
    name = inputs.get("file")
    if not isinstance(name, str):
        return dict(inputs)
    base = Path(name).name
    for path in (DATA / COPIES.get(base, base), vectors.parent / name):
        if path.is_file():
            return {**inputs, "file": str(path)}
    raise FileNotFoundError(f"{name}: neither beside {vectors} nor in {DATA}")


def lines(path: str) -> list[str]:
    """Return the lines of a text file, packed or not."""
    raw = Path(path).read_bytes()
    return (gzip.decompress(raw) if path.endswith(".gz") else raw).decode("utf-8").splitlines()
