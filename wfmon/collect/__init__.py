"""The sources: one file and one thread per source; each ``collect`` returns a frame."""
