"""Logging of the long-running verbs: to stderr, which the journal keeps."""

from __future__ import annotations

import logging
import os


def start(verbose: bool) -> None:
    """Log to stderr; under systemd without time stamps, because the journal has its own."""
    journal = "JOURNAL_STREAM" in os.environ
    form = "%(levelname)s %(name)s: %(message)s" if journal else "%(asctime)s %(levelname)s %(name)s: %(message)s"
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format=form)
    logging.getLogger("asyncio").setLevel(logging.WARNING)
    logging.getLogger("mqtt").setLevel(logging.ERROR)
