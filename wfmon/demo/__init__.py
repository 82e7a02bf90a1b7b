"""The built-in language model: small, real, and plainly labelled. It runs in a child process."""
