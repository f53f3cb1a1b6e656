"""Who may write in ZooKeeper: everybody reads, and only the user of Mesos makes and changes nodes.

The client of Mesos knows one kind of proof, user and password (scheme `digest`); this is what it is asked for.
"""

from __future__ import annotations

from contextlib import suppress

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoAuthError, NodeExistsError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import ACL, make_acl, make_digest_acl

from ocicat.errors import Refused, Unavailable
from ocicat.services.pki.authority import AUTHORITY, CERTIFICATE, KEY
from ocicat.services.spec import Service
from ocicat.services.zookeeper_config import MESOS, USER

_ROOT = "/"
_TIMEOUT_S = 15.0


def secure(service: Service, password: str) -> bool:
    """The root and `MESOS` are closed to others. False: they were. Refused: they are, to another password."""
    wanted = [make_digest_acl(USER, password, all=True), make_acl("world", "anyone", read=True)]
    client = _client(service, password)
    try:
        client.start(timeout=_TIMEOUT_S)
        return _secured(client, wanted)
    except NoAuthError as error:
        raise Refused(
            f"ZooKeeper is closed to the password in {service.password_file(USER)}",
            hint="copy the file from a host where it is the right one",
        ) from error
    except (KazooException, KazooTimeoutError) as error:
        raise Unavailable(f"ZooKeeper {service.endpoint(service.member)}: {error or type(error).__name__}") from error
    finally:
        client.stop()
        client.close()


def _secured(client: KazooClient, wanted: list[ACL]) -> bool:
    with suppress(NodeExistsError):
        client.create(MESOS, b"", acl=wanted)
    changed = False
    for path in (MESOS, _ROOT):
        found, _ = client.get_acls(path)
        if set(found) != set(wanted):
            client.set_acls(path, wanted)
            changed = True
    return changed


def _client(service: Service, password: str) -> KazooClient:
    tls = {
        "use_ssl": True,
        "ca": service.tls_file(AUTHORITY),
        "certfile": service.tls_file(CERTIFICATE),
        "keyfile": service.tls_file(KEY),
    }
    return KazooClient(
        hosts=service.endpoint(service.member),
        timeout=_TIMEOUT_S,
        auth_data=[("digest", f"{USER}:{password}")],
        **(tls if service.secure_only else {}),
    )
