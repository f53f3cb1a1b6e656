"""`python -m ocicat.lab.mesos.agent`: a Mesos agent in the foreground, registered with a master elsewhere.

Promises: SIGTERM and SIGKILL leave its containers running, and the next start with the same directories takes them over;
SIGUSR1 shuts them down, unregisters and ends the process (both as the real agent does).

The library starts agents only beside a master in the same process. That master is told to accept authenticated agents only, so
it never registers ours; it is ended before the agent hears of the true one, because a master that loses its leadership ends the
whole process. With a ZooKeeper it never leads: it has a detector that tells it who does, as the agent has.
"""

from __future__ import annotations

from pathlib import Path

from ocicat.errors import Refused
from ocicat.lab.mesos import launcher, ready
from ocicat.lab.mesos.election import SESSION_S, follow
from ocicat.lab.mesos.masterinfo import encode_master_info
from ocicat.lab.mesos.options import AGENT_ACTOR, MASTER_ACTOR, AgentOptions, ensemble_of, parse
from ocicat.lab.mesos.process import announce_when, library_of, run, start


def main(arguments: list[str]) -> None:
    """Run an agent until it ends or a signal ends the process."""
    options = parse(AgentOptions, arguments)
    library = library_of(options)
    launcher.write(Path(options.launcher_dir), library)
    _make_directories(options)
    mesos = start(options, library, AGENT_ACTOR)
    by_zookeeper = options.master.startswith("zk://")
    if by_zookeeper:
        follow(mesos, ensemble_of("--master", options.master), SESSION_S)
    mesos.launch(options.work_dir, agents=1)
    address = f"{options.ip}:{options.port}"
    mesos.terminate(f"{MASTER_ACTOR}@{address}")
    if not by_zookeeper:
        master_ip, _, master_port = options.master.rpartition(":")
        mesos.appoint(encode_master_info(master_ip, int(master_port), MASTER_ACTOR))
    agent, masters = f"{AGENT_ACTOR}@{address}", (options.ask or options.master).split(",")
    announce_when(
        lambda: any(ready.agent_registered(master, agent) for master in masters),
        options,
        f"agent {address} at {options.master}",
    )
    mesos.wait(agent)


def _make_directories(options: AgentOptions) -> None:
    """The library puts its agent's runtime directory under the work directory, whatever the flag says: a link stands there."""
    link = Path(options.work_dir, "agents", "0", "run")
    try:
        for directory in (options.runtime_dir, options.cni_config_dir or options.work_dir, str(link.parent)):
            Path(directory).mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(Path(options.runtime_dir).absolute())
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}", hint="the agent needs directories it can write") from error
    missing = [entry for entry in options.cni_plugins_dir.split(":") if entry and not Path(entry).is_dir()]
    if missing:
        raise Refused(f"{missing[0]}: no such directory", hint="--cni-plugins-dir names directories with CNI plugins")


if __name__ == "__main__":
    run(main)
