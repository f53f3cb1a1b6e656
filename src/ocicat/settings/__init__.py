"""Every setting of the agent and of the command line, defined once: what it is, where it may be said, who goes before whom."""
