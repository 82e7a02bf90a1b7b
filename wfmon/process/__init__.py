"""Turns counters into rates, drops and counts impossible values, and marks unchanged ones."""

from __future__ import annotations

from wfmon.process.processor import Processor

__all__ = ["Processor"]
