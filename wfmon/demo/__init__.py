"""The built-in language model: small, real, and labelled as built-in. It runs in a child process."""
