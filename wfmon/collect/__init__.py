"""The sources: one file a source, a thread each; what they give is a frame."""
