"""The datastore: one protocol, several back ends, and the syncer that turns it into a stream of updates."""
