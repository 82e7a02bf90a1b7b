"""Shared types and helpers. Every other package may import it; it imports none of them."""
