"""What is read out of what was measured."""
