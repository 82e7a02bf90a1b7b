"""The leaf that every other part imports, and that imports nothing of ours."""
