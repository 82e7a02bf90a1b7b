"""Cleaning of untrusted names."""

from __future__ import annotations

NAME_CHARS = 64


def clean(name: str) -> str:
    """Return an untrusted name fit for display: unprintable characters replaced, at most 64 characters."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:NAME_CHARS])
