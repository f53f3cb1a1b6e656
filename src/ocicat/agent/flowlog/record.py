"""The lines of a flow log, as the agent writes and `ocicat flows` reads them. Pure.

Names are those of Calico's flow logs (goldmane and whisker, `FlowLogJSONOutput` before them) where they mean the same; what counts
only the packets that policy saw has names of ours. docs/flows.md tells of each field.
"""

from __future__ import annotations

from datetime import UTC, datetime

from ocicat.model.base import Struct
from ocicat.model.codec import decode_json, encode_json

_LOST = b'{"type":"lost"'


class Hit(Struct, frozen=True):
    """A rule that matched, or the end of a list (`rule_index` -1). `kind` is the policy's, "Profile" or "EndOfTier"; `action` is
    "allow", "deny", "pass" or "log"; `policy_index` its place in the trace."""

    kind: str
    namespace: str
    name: str
    tier: str
    action: str
    policy_index: int
    rule_index: int


class Trace(Struct, frozen=True):
    """`enforced`: what decided. `pending`: what would, if the staged policies were in force."""

    enforced: tuple[Hit, ...]
    pending: tuple[Hit, ...]


class FlowRecord(Struct, frozen=True, kw_only=True, tag_field="type", tag="flow"):
    """What was alike in one interval. `action`: "allow", "deny", or "pass" where nothing decided. `reporter`: "src" told by egress
    policy, "dst" by ingress policy. `num_flows_started` connections with `packets` and `bytes` that policy was asked about."""

    start_time: str
    end_time: str
    host: str
    source_type: str
    source_namespace: str
    source_name: str
    source_labels: tuple[str, ...]
    source_ips: tuple[str, ...]
    dest_type: str
    dest_namespace: str
    dest_name: str
    dest_labels: tuple[str, ...]
    dest_ips: tuple[str, ...]
    dest_port: int
    proto: str
    action: str
    reporter: str
    policies: Trace
    num_flows_started: int
    packets: int
    bytes: int
    first_seen: str
    last_seen: str


class LostRecord(Struct, frozen=True, kw_only=True, tag_field="type", tag="lost"):
    """What no flow of the interval tells of. `unread`: copies of packets that came faster than they were read; `uncounted`: packets
    of flows beyond those that an interval has room for."""

    start_time: str
    end_time: str
    host: str
    unread: int = 0
    uncounted: int = 0


Record = FlowRecord | LostRecord


def line(record: Record) -> bytes:
    return encode_json(record) + b"\n"


def read(text: bytes) -> Record:
    """Of one line. UserError."""
    if text.startswith(_LOST):
        return decode_json(LostRecord, text, what="flow log")
    return decode_json(FlowRecord, text, what="flow log")


def timestamp(seconds: float) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
