"""Processes that are kept running: known for certain, started again when they end, with or without a terminal to belong to."""
