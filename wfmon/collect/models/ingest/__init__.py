"""Pushed events: the JSON lines that hooks and the proxy send, their validation, and the resulting values."""
