"""The vocabulary every other package speaks: addresses, labels, resources, keys, and what the dataplane is asked for. Pure."""
