"""The wanted against the actual, kept as a difference, and the passes that take it into the kernel."""
