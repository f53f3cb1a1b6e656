"""A small resident framework that keeps long-running applications running on Mesos, as Marathon does.

What is wanted and what is launched lies in the store (`records`); `plan` and `health` decide, PURE; `resident` does. Whoever holds
the leader's key is the framework; when it dies, the next one takes over its id and its tasks.
"""
