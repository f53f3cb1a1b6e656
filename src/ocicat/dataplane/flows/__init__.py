"""Established flows: which ones policy forbids since it changed, judged one by one, and ended."""
