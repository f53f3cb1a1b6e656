"""From what calc wants to what the ledger wants: one manager for each kind of object."""
