"""The executors of the lab, on Mesos's v1 HTTP executor API: for commands, one task that is one process group; for task groups,
each task in a container of its own within the executor's.

One starts once per task or group, inside its container and as the task's user, so its start is part of "time from launch to
running". Therefore nothing here imports more than `json`, `socket` and `typing`; `dataclasses`, `subprocess`, `http.client` or
msgspec would each cost more than all of that. `messages`, `core` and `group` are PURE, `http` and `task` touch the world, `shell`
waits for it all, and `loop` and `group_loop` join one of the two with it.
"""
