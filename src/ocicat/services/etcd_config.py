"""etcd's configuration file, and the address by which `ocicat` reaches the cluster. Pure.

Source: etcd's configuration options (docs, v3.4 and v3.5); a file with them makes etcd read no option and no environment.
"""

from __future__ import annotations

import json
from ipaddress import ip_address

from ocicat.services.pki.authority import AUTHORITY, CERTIFICATE, KEY
from ocicat.services.spec import CLIENT_PORTS, CONFIGURATION, PEER_PORTS, Member, Service

PATH = f"{CONFIGURATION}/etcd.yml"
QUOTA_BYTES = 2 << 30
ROOT, USER = "root", "ocicat"
"""The users: who may do everything, and whom agents are."""

PREFIX = "/"
"""What `USER` reads and writes begins so: keys of Calico, keys of ours."""

_CLIENTS, (_PEERS,) = CLIENT_PORTS["etcd"], PEER_PORTS["etcd"]
_KEPT_REVISIONS = "10000"  # as the embedded store does
_TOKEN = "ocicat-etcd"  # keeps members of another cluster out


def text(service: Service) -> str:
    """The file, in YAML."""
    me, scheme = service.member, _scheme(service)
    settings: dict[str, str | int | bool] = {
        "name": me.name,
        "data-dir": service.data,
        "listen-client-urls": f"{scheme}://{_listen(me)}:{_CLIENTS}",
        "advertise-client-urls": f"{scheme}://{me.host}:{_CLIENTS}",
        "listen-peer-urls": f"{scheme}://{_listen(me)}:{_PEERS}",
        "initial-advertise-peer-urls": f"{scheme}://{me.host}:{_PEERS}",
        "initial-cluster": initial_cluster(service),
        "initial-cluster-state": "new",
        "initial-cluster-token": _TOKEN,
        "strict-reconfig-check": True,
        "quota-backend-bytes": QUOTA_BYTES,
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": _KEPT_REVISIONS,
        "enable-grpc-gateway": True,  # `health`, `backup` and `upgrade` ask by it; a file that does not say so has none
        "logger": "zap",
        "log-level": "warn",
    }
    lines = [f"{name}: {json.dumps(value)}" for name, value in settings.items()]
    lines += [*_security("client", service), *_security("peer", service)] if service.tls else []
    return "\n".join([f"# Written by `ocicat services up etcd`, for the member {me.name}.", *lines, ""])


def initial_cluster(service: Service) -> str:
    return ",".join(f"{one.name}={peer_url(service, one)}" for one in service.members)


def peer_url(service: Service, member: Member) -> str:
    return f"{_scheme(service)}://{member.host}:{_PEERS}"


def store_url(service: Service) -> str:
    """For the option --store, with a client's certificate and password where those lie on this host."""
    endpoints = ",".join(service.endpoint(one) for one in service.members)
    files = {"ca": AUTHORITY, "cert": CERTIFICATE, "key": KEY} if service.tls else {}
    query = [f"{name}={service.given(file)}" for name, file in files.items()]
    query += [f"user={USER}", f"password-file={service.password_file(USER)}"] if service.auth else []
    return f"etcd://{endpoints}" + (f"?{'&'.join(query)}" if query else "")


def _scheme(service: Service) -> str:
    return "https" if service.tls else "http"


def _listen(member: Member) -> str:
    """etcd listens on addresses only; a name may have several."""
    try:
        ip_address(member.address)
    except ValueError:
        return "0.0.0.0"
    return member.host


def _security(whom: str, service: Service) -> list[str]:
    """Both sides show a certificate of our authority."""
    settings = {
        "cert-file": service.tls_file(CERTIFICATE),
        "key-file": service.tls_file(KEY),
        "trusted-ca-file": service.tls_file(AUTHORITY),
        "client-cert-auth": True,
    }
    return [f"{whom}-transport-security:", *(f"  {name}: {json.dumps(value)}" for name, value in settings.items())]
