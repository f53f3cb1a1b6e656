"""Firewalls of others on a host: which are in force, what they would drop, and what lets the cluster's packets through them."""
