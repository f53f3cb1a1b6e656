"""The agent's part as DNS server of its host: what is served, to whom, and its thread."""
