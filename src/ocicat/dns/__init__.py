"""Names for tasks: a DNS server that answers from what the Mesos master tells, as Mesos-DNS names it.

What is asked and answered is PURE (`wire`, `names`, `zone`, `records`, `reach`, `answer`); `server` and `forward` are the sockets.
"""
