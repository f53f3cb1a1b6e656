"""What the policy model means: the exact verdict of one packet, and what decided it. Pure.

`resolve` reads the resources of a cluster once; `evaluate` answers for one packet, and changes nothing.
"""

from __future__ import annotations

from ocicat.model.packet import Packet
from ocicat.policy.cluster import Cluster, HostInterface
from ocicat.policy.evaluate import evaluate
from ocicat.policy.flow import Hop, Translation
from ocicat.policy.model import Problem, RuleId
from ocicat.policy.resolve import resolve
from ocicat.policy.verdict import Decision, Stage, Verdict

__all__ = [
    "Cluster",
    "Decision",
    "Hop",
    "HostInterface",
    "Packet",
    "Problem",
    "RuleId",
    "Stage",
    "Translation",
    "Verdict",
    "evaluate",
    "resolve",
]
