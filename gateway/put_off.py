"""Modules that others import and that nobody uses here: they are not loaded, so they take neither memory nor time."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _PutOff(ModuleType):
    """Stands for a module until something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def put_off(name: str) -> None:
    """Let a module of a package wait until somebody uses something of it; call it before anybody has imported it."""
    package, _, leaf = name.rpartition(".")
    if name not in sys.modules:
        sys.modules[name] = _PutOff(name)
        setattr(import_module(package), leaf, sys.modules[name])
