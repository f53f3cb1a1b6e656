"""The file that makes a Mesos agent of version 0.24 to 0.28 load the network isolator module and run our plugin. Pure.

Source: mesosphere/net-modules, `calico/modules.json` and `network_isolator.cpp`.
"""

from __future__ import annotations

ISOLATOR = "com_mesosphere_mesos_NetworkIsolator"
HOOK = "com_mesosphere_mesos_NetworkHook"
LIBRARY = "/usr/lib64/mesos/libmesos_network_isolator.so"  # where its package puts it

Json = dict[str, object]


def modules(library: str, command: str) -> Json:
    """`command` must be one word: the module looks for a file of that name, blanks and all, and is silently idle without one."""
    parameters = [{"key": key, "value": command} for key in ("isolator_command", "ipam_command")]
    isolator: Json = {"name": ISOLATOR, "parameters": parameters}
    return {"libraries": [{"file": library, "modules": [isolator, {"name": HOOK}]}]}
