"""Hosts made of network namespaces, with the real Mesos on them."""
