"""The command executor of the lab: one task, one process group, on Mesos's v1 HTTP executor API.

It starts once per task, inside the task's container and as the task's user, so its start is part of "time from launch to running".
Therefore nothing here imports more than `json`, `socket` and `typing`; `dataclasses`, `subprocess`, `http.client` or msgspec would
each cost more than all of that. `messages` and `core` are PURE, `http` and `task` touch the world, `loop` joins them.
"""
