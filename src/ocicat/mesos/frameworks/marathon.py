"""Marathon's application definitions, of all its ages: 0.14's `ipAddress`, 1.5's `networks`, groups of applications. PURE.

Sources: Marathon's own documentation of its REST API (types app, appContainer, network, healthCheck, group), ip-per-task.md and
networking.md; `docs/applications.md` lists every field and what becomes of it.
"""

from __future__ import annotations

from ocicat.mesos.frameworks.application import Application, Backoff, Upgrade, absolute, task_name
from ocicat.mesos.frameworks.fields import Fields, Notes
from ocicat.mesos.frameworks.marathon_checks import read_checks, read_readiness
from ocicat.mesos.frameworks.marathon_networks import read_networking
from ocicat.mesos.placing import HOSTNAME, constraint_problem
from ocicat.mesos.types import Constraint, Fetch, TaskSpec, problem_of
from ocicat.model.base import replace

REFUSED = {
    "gpus": "there are no words for GPUs here",
    "residency": "there are no persistent volumes here",
    "secrets": "there is no store of secrets here",
    "storeUrls": "there is no artifact store here; `fetch` takes URIs",
}
REPORTED = (
    "deployments",
    "lastTaskFailure",
    "readinessCheckResults",
    "taskStats",
    "tasks",
    "tasksHealthy",
    "tasksRunning",
    "tasksStaged",
    "tasksUnhealthy",
    "version",
    "versionInfo",
)


def is_group(raw: dict[str, object]) -> bool:
    return "apps" in raw or "groups" in raw


def read_any(raw: dict[str, object], source: str, default_network: str) -> tuple[list[Application], list[str]]:
    """The applications that are defined, and what is to be remarked. UserError: all that is wrong with the first bad one."""
    if is_group(raw):
        remarks: list[str] = []
        return list(_group(raw, "/", source, default_network, (), remarks)), remarks
    return _app(raw, "/", source, default_network, ())


def _app(
    raw: object, base: str, source: str, default_network: str, dependencies: tuple[str, ...]
) -> tuple[list[Application], list[str]]:
    notes = Notes(source)
    fields = Fields(raw, notes)
    app = read(fields, base, default_network, dependencies)
    notes.what = f"{source}: {app.id}" if app.id else source
    notes.check()
    return [app], notes.told()


def _group(
    raw: object, base: str, source: str, default_network: str, inherited: tuple[str, ...], remarks: list[str]
) -> list[Application]:
    notes = Notes(source)
    fields = Fields(raw, notes)
    own_id = _id(fields, base) if "id" in fields else base
    notes.what = f"{source}: group {own_id}"
    dependencies = (*inherited, *_dependencies(fields, base))
    apps, groups = fields.items("apps"), fields.items("groups")
    fields.refused({"pods": "only applications run here; `ocicat translate pod` shows what Marathon sends for one"})
    fields.without_effect(
        {"version": "it is what Marathon reports", "enforceRole": "there are no roles of groups here"}
    )
    fields.done()
    notes.check()
    remarks += notes.told()
    found: list[Application] = []
    for one in apps:
        read_apps, said = _app(one, own_id, source, default_network, dependencies)
        found += read_apps
        remarks += said
    for one in groups:
        found += _group(one, own_id, source, default_network, dependencies, remarks)
    return found


def read(
    fields: Fields,
    base: str,
    default_network: str,
    dependencies: tuple[str, ...] = (),
    *,
    needs_names: bool = True,
) -> Application:
    """One application; complaints go to the notes. `needs_names`: a network without a name is one of them."""
    app_id = _id(fields, base)
    networking = read_networking(fields, app_id, default_network)
    checks, own_check = read_checks(fields, networking)
    labels = fields.pairs("labels")
    spec = TaskSpec(
        name=task_name(app_id) if app_id else "",
        command=_command(fields),
        cpus=fields.number("cpus", 1.0, least=0.01),
        mem_mb=fields.number("mem", 128.0),
        disk_mb=fields.number("disk", 0.0),
        user=fields.text("user"),
        labels=labels,
        environment=fields.pairs("env"),
        network=networking.networks[0] if networking.networks else None,
        further_networks=networking.networks[1:],
        host_ports=networking.host_ports,
        discovery=networking.discovery,
        health_check=own_check,
        kill_grace_s=fields.number("taskKillGracePeriodSeconds", 0.0)
        if "taskKillGracePeriodSeconds" in fields
        else None,
        fetch=_fetch(fields),
        image=networking.image,
        constraints=_constraints(fields),
        kin=app_id,
    )
    application = Application(
        id=app_id,
        spec=spec,
        instances=fields.whole("instances", 1),
        checks=(*checks, *read_readiness(fields, networking)),
        upgrade=_upgrade(fields),
        backoff=_backoff(fields),
        oldest_first=_oldest_first(fields),
        inactive_after_s=_inactive_after(fields),
        dependencies=(*dependencies, *_dependencies(fields, base)),
    )
    _leftovers(fields)
    if app_id and not fields.notes.problems and (problem := problem_of(spec if needs_names else _named(spec))):
        fields.wrong("", problem)
    return application


def _named(spec: TaskSpec) -> TaskSpec:
    """As if its network had a name: before Mesos 1.0 none has."""
    return replace(spec, network=replace(spec.network, name="-")) if spec.network else spec


def _id(fields: Fields, base: str) -> str:
    text = fields.text("id")
    found = absolute(text, base)
    if not text:
        fields.wrong("id", "is missing")
    elif not found:
        fields.wrong("id", f"{text!r}: lower-case letters, digits, dots and dashes, in parts separated by slashes")
    return found


def _command(fields: Fields) -> str | tuple[str, ...]:
    command, arguments = fields.text("cmd"), fields.texts("args")
    if command and arguments:
        fields.wrong("args", "stands beside cmd: one of them is enough")
    return command or arguments


def _dependencies(fields: Fields, base: str) -> tuple[str, ...]:
    texts = fields.texts("dependencies")
    for text in texts:
        if not absolute(text, base):
            fields.wrong("dependencies", f"{text!r} is no id")
    return tuple(filter(None, (absolute(text, base) for text in texts)))


def _constraints(fields: Fields) -> tuple[Constraint, ...]:
    """Each is a list of two or three words, or (in pods) an object."""
    found = []
    for index, item in enumerate(fields.items("constraints")):
        words = item if isinstance(item, list) else []
        if not 2 <= len(words) <= 3 or not all(isinstance(word, str | int) for word in words):
            fields.wrong(f"constraints[{index}]", 'must be like ["hostname", "UNIQUE"] or ["rack", "LIKE", "a.*"]')
            continue
        name, operator, *rest = map(str, words)
        name = HOSTNAME if name == "@hostname" else name
        constraint = Constraint(name, operator.upper(), rest[0] if rest else "")
        if name in ("@region", "@zone"):
            fields.wrong(f"constraints[{index}]", f"{name} is not supported: there are no fault domains here")
        elif problem := constraint_problem(constraint):
            fields.wrong(f"constraints[{index}]", problem)
        found.append(constraint)
    return tuple(found)


def _fetch(fields: Fields) -> tuple[Fetch, ...]:
    found = [Fetch(uri) for uri in fields.texts("uris")]
    for item in fields.each("fetch"):
        uri = item.text("uri")
        if not uri:
            item.wrong("uri", "is missing")
        executable, cache = item.flag("executable"), item.flag("cache")
        found.append(Fetch(uri, executable, item.flag("extract", default=True), cache, item.text("destPath")))
        item.done()
    return tuple(found)


def _upgrade(fields: Fields) -> Upgrade:
    inner = fields.inner("upgradeStrategy")
    if inner is None:
        return Upgrade()
    healthy = inner.number("minimumHealthCapacity", 1.0, most=1.0)
    over = inner.number("maximumOverCapacity", 1.0, most=1.0)
    inner.done()
    return Upgrade(healthy, over)


def _backoff(fields: Fields) -> Backoff:
    first, factor = fields.number("backoffSeconds", 1.0), fields.number("backoffFactor", 1.15, least=1.0)
    return Backoff(first, factor, fields.number("maxLaunchDelaySeconds", 300.0))


def _oldest_first(fields: Fields) -> bool:
    words = ("YOUNGEST_FIRST", "OLDEST_FIRST", "YoungestFirst", "OldestFirst")
    return fields.text("killSelection", "YOUNGEST_FIRST", choices=words).startswith(("OLDEST", "Oldest"))


def _inactive_after(fields: Fields) -> float | None:
    if fields.is_text("unreachableStrategy"):
        return None if fields.text("unreachableStrategy", choices=("disabled",)) else 0.0
    inner = fields.inner("unreachableStrategy")
    if inner is None:
        return 0.0
    inactive = inner.number("inactiveAfterSeconds", 0.0)
    gone = "an instance that comes back after it was replaced is ended"
    inner.without_effect({"expungeAfterSeconds": gone, "unreachableInactiveAfterSeconds": gone})
    inner.done()
    return inactive


def _leftovers(fields: Fields) -> None:
    fields.refused(REFUSED)
    executor = fields.text("executor")
    if executor not in ("", "//cmd"):
        fields.wrong("executor", f"{executor!r} is not supported: only Mesos's own command executor runs here")
    roles = fields.texts("acceptedResourceRoles")
    if roles and "*" not in roles:
        fields.wrong("acceptedResourceRoles", 'only unreserved resources are used here: it must be absent or hold "*"')
    fields.without_effect(dict.fromkeys(REPORTED, "it is what Marathon reports"))
    fields.done()
