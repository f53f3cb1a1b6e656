"""What each member of a cluster says of itself. All are asked at once: those of the address, and those that etcd knows besides.

1. One that does not answer is told with the reason, and keeps nobody waiting longer than two calls may take.
2. A member is known by the endpoint at which it was asked; its name is etcd's, where etcd gave it one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grpc.aio import AioRpcError

from ocicat.store.base import MemberStatus
from ocicat.store.etcd import failures
from ocicat.store.etcd.client import Client, Member
from ocicat.store.etcd.wire import MEMBER_LIST, MEMBER_LIST_REQUEST, STATUS, STATUS_REQUEST, ListedMember, StatusReply

_Answer = tuple[StatusReply | str, float]  # what it says, or why it says nothing; milliseconds


async def ask_members(client: Client) -> tuple[MemberStatus, ...]:
    """In the order of their endpoints. Raises Unavailable, Refused when the cluster does not tell who belongs to it."""
    listed = await client.call(MEMBER_LIST, MEMBER_LIST_REQUEST, repeatable=True)
    given = await _ask_all(client, client.endpoints)
    heard = {answer.member for answer, _ in given.values() if isinstance(answer, StatusReply)}
    others = [one for one in listed if one.id not in heard and not given.keys() & set(one.endpoints)]
    further = await _ask_all(client, [one.endpoints[0] for one in others if one.endpoints])
    found = [_told(endpoint, answer, ms, listed) for endpoint, (answer, ms) in {**given, **further}.items()]
    new = [MemberStatus(f"{one.id:x}", problem="has not started yet") for one in others if not one.endpoints]
    return tuple(sorted([*found, *new], key=lambda one: one.endpoint))


async def _ask_all(client: Client, endpoints: Sequence[str]) -> dict[str, _Answer]:
    answers = await asyncio.gather(*(_ask(client, endpoint) for endpoint in endpoints))
    return dict(zip(endpoints, answers, strict=True))


async def _ask(client: Client, endpoint: str) -> _Answer:
    clock = asyncio.get_running_loop().time
    async with client.visit(endpoint) as member:
        try:
            if not member.is_connected:
                await _status(client, member)
            asked = clock()
            return await _status(client, member), (clock() - asked) * 1000
        except AioRpcError as error:
            return failures.reason(error), 0.0


async def _status(client: Client, member: Member) -> StatusReply:
    """Not as other calls: a member without a leader would refuse those."""
    return await member.call(STATUS, STATUS_REQUEST, client.timeout_s, client.login())


def _told(endpoint: str, answer: StatusReply | str, latency_ms: float, listed: Sequence[ListedMember]) -> MemberStatus:
    if isinstance(answer, str):
        name = next((one.name for one in listed if endpoint in one.endpoints), "")
        return MemberStatus(endpoint, name, problem=answer)
    return MemberStatus(
        endpoint=endpoint,
        name=next((one.name for one in listed if one.id == answer.member), ""),
        version=answer.version,
        is_leader=answer.leader == answer.member,
        latency_ms=latency_ms,
        size_bytes=answer.size_bytes,
        problem=_problem(answer),
    )


def _problem(answer: StatusReply) -> str:
    if not answer.leader:
        return "has no leader"
    return "; ".join((*answer.errors, *(["is a learner: it has no vote yet"] if answer.is_learner else [])))
