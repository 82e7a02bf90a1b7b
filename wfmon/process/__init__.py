"""Counters become rates, what cannot be is dropped and counted, what did not change is marked as unchanged."""

from __future__ import annotations

from wfmon.process.processor import Processor

__all__ = ["Processor"]
