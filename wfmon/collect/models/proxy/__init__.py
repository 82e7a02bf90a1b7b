"""The streaming pass-through: every client of a model server is seen with no code. A process of its own."""
