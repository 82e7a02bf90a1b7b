"""Reported events: the lines of JSON that hooks and the proxy send, their checker, and the values they become."""
