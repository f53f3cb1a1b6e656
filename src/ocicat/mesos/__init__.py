"""Talking to Apache Mesos: its HTTP APIs and its plugin protocols."""
