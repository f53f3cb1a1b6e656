"""The one process per host: it wires everything together."""
