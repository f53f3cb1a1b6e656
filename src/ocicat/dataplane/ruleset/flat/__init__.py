"""Long lists of rules as lookups: by the peer's address, then by protocol and port. Pure; what the parts promise, they say."""
