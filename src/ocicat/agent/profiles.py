"""The profiles that groups stand for, as Calico's Mesos plugin made them. Pure.

A task in group g has profile g. It is made once, when the first task asks for it, and is the operator's from then on: an existing
profile is never changed here. Members are recognised by a label that the profile gives them, so the rules need no list of them.

* group g: members may open connections to members; everything out is allowed.
* `public`: everyone may open connections to its members; everything out is allowed. Its profile comes first, as it always did.
* no group: the profile of the network, which works as a group that all such tasks of the network share; or none, which allows
  nothing.

Frameworks that cannot say groups, as Marathon since 1.5, say them in a label.
"""

from __future__ import annotations

import hashlib

from ocicat.model.names import dns_name, label_value
from ocicat.model.resources import EntityRule, Metadata, Profile, ProfileSpec, Rule

PUBLIC = "public"
MEMBER_PREFIX = "mesos-group/"  # label key of a member of group g: mesos-group/g
GROUPS_LABEL = "mesos-groups"  # of a NetworkInfo: "web,db"


def groups_in(label: str) -> tuple[str, ...]:
    """Those that the value of a `GROUPS_LABEL` names."""
    return tuple(group for each in label.split(",") if (group := each.strip()))


def names_for(groups: tuple[str, ...], default: str | None) -> tuple[str, ...]:
    """Profile names for a task: `public`, then in the order given, each once. `default` serves the task that names no group; None:
    it has none."""
    names = dict.fromkeys(profile_name(group) for group in groups or filter(None, (default,)))
    return tuple(sorted(names, key=lambda name: name != PUBLIC))


def profile_name(group: str) -> str:
    """The group's own name where a resource may have it; else the nearest one and a hash, so that no two groups share policy.

    Errors: UserError when no letter or digit is left of it.
    """
    name = dns_name(group)
    return name if name == group else f"{name[:240]}-{hashlib.sha256(group.encode()).hexdigest()[:8]}"


def group_profile(name: str) -> Profile:
    """What `name` stands for until an operator says otherwise."""
    label = MEMBER_PREFIX + label_value(name)
    allowed = EntityRule() if name == PUBLIC else EntityRule(selector=f"has({label})")
    return Profile(
        metadata=Metadata(name=name),
        spec=ProfileSpec(
            ingress=(Rule(action="Allow", source=allowed),),
            egress=(Rule(action="Allow"),),
            labels_to_apply={label: ""},
        ),
    )
