"""Frames out: what changed, to everyone who watches, each at its own pace."""
