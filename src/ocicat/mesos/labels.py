"""The keys of the labels by which an endpoint tells what of Mesos lives in its container. PURE."""

from __future__ import annotations

PREFIX = "mesos/"
FRAMEWORK, ROLE, EXECUTOR, TASK = (f"{PREFIX}{each}" for each in ("framework", "role", "executor", "task"))
