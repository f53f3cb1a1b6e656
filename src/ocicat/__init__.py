"""ocicat: an IP address for every Apache Mesos task, with network policy around it."""

__version__ = "0.1.0"
