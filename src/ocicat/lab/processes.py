"""Which processes a lab runs, in the order of their start, and with which options.

Promises: everything a process is told comes from the lab's settings; nothing is looked up. PURE.

Each host's ocicat agent comes before its Mesos agent, so that it is stopped after it: a container that ends at the last moment
still finds somebody to give its address back to.
"""

from __future__ import annotations

from ocicat.lab import zookeeper
from ocicat.lab.mesos.options import AgentOptions, MasterOptions
from ocicat.lab.spec import AGENT_PORT, MASTER_PORT, Host, LabSpec
from ocicat.supervise.interpreter import module_line
from ocicat.supervise.keeper import ProcessSpec

_PATH = "/mesos"  # in ZooKeeper
# An agent looks for its master again when it was not asked for five times this long: 75 s with Mesos's own 15 s.
_PINGS = {"agent_ping_timeout": "2secs"}


def enter(namespace: str) -> tuple[str, ...]:
    """What to put before a command line to run it in that network namespace (and in no other of another kind)."""
    # `ip netns exec` would also mount another /sys, which hides the cgroups that Mesos needs.
    return ("nsenter", f"--net=/run/netns/{namespace}", "--")


def processes(spec: LabSpec, library: str) -> tuple[ProcessSpec, ...]:
    """All of them but the supervisor. `library` is the path of the Mesos library."""
    listed = [_zookeeper(spec, number, host) for number, host in enumerate(spec.zookeeper_hosts, start=1)]
    listed += [_master(spec, host, library) for host in spec.master_hosts]
    for host in spec.nodes:
        listed += [_agent(spec, host), _mesos_agent(spec, host, library)]
    return tuple(listed)


def master_address(spec: LabSpec) -> str:
    """What agents and frameworks are told: the master's address, or the ZooKeeper that knows it."""
    if not spec.zookeeper_hosts:
        return f"{spec.master.ip}:{MASTER_PORT}"
    return f"zk://{','.join(f'{host.ip}:{zookeeper.PORT}' for host in spec.zookeeper_hosts)}{_PATH}"


def _zookeeper(spec: LabSpec, number: int, host: Host) -> ProcessSpec:
    ready = f"{host.directory}/zookeeper.ready"
    line = module_line("ocicat.lab.zookeeper", f"{host.zookeeper_dir}/{zookeeper.CONFIGURATION}", ready)
    return _process(spec, f"zk{number}", host, line, ready)


def _master(spec: LabSpec, host: Host, library: str) -> ProcessSpec:
    options = MasterOptions(
        ip=host.ip,
        port=MASTER_PORT,
        work_dir=host.mesos_dir,
        cluster=spec.name,
        zk=master_address(spec) if spec.zookeeper_hosts else "",
        quorum=spec.masters // 2 + 1,
        library=library,
        ready_file=f"{host.directory}/mesos.ready",
        flags={**_PINGS, **spec.master_flags},
    )
    return _process(spec, host.name, host, options.argv(), options.ready_file)


def _agent(spec: LabSpec, host: Host) -> ProcessSpec:
    line = module_line("ocicat", "agent", "--host", host.name, "--address", host.address)
    line += ["--address6", host.address6] if host.address6 else []
    line += ["--store", spec.store, "--socket", host.socket, "--agent-port", str(AGENT_PORT)]
    line += ["--flow-log", f"{host.directory}/flows.log"]
    line += ["--dns", host.ip, "--mesos-master", master_address(spec), *spec.dns] if spec.dns is not None else []
    return _process(spec, f"agent-{host.name}", host, line, host.socket)


def _mesos_agent(spec: LabSpec, host: Host, library: str) -> ProcessSpec:
    options = AgentOptions(
        ip=host.ip,
        port=AGENT_PORT,
        hostname=host.name,
        master=master_address(spec),
        ask=",".join(f"{master.ip}:{MASTER_PORT}" for master in spec.master_hosts) if spec.zookeeper_hosts else "",
        work_dir=host.work_dir,
        runtime_dir=host.runtime_dir,
        launcher_dir=f"{host.mesos_dir}/libexec",
        cgroups_root=host.namespace,
        cni_plugins_dir=host.plugin_dir,
        cni_config_dir=host.cni_config_dir,
        library=library,
        ready_file=f"{host.directory}/mesos.ready",
        flags=spec.agent_flags,
    )
    return _process(spec, f"mesos-{host.name}", host, options.argv(), options.ready_file)


def _process(spec: LabSpec, name: str, host: Host, line: list[str], ready: str) -> ProcessSpec:
    return ProcessSpec(name, host.name, (*enter(host.namespace), *line), str(spec.log(name)), ready)
