"""Where each object lies in the datastore: the paths of Calico's etcdv3 layout, built and taken apart.

Source: projectcalico/calico, libcalico-go/lib/backend/model. What Calico has no word for lies under `/ocicat/v1/`. Pure.
"""

from __future__ import annotations

from ocicat.model.net import Cidr

ROOT = "/calico/"
RESOURCES = "/calico/resources/v3/projectcalico.org/"
IPAM = "/calico/ipam/v2/"
BLOCKS = IPAM + "assignment/"
AFFINITIES = IPAM + "host/"
HANDLES = IPAM + "handle/"
IPAM_CONFIG = IPAM + "config"

POOLS = RESOURCES + "ippools/"
RESERVATIONS = RESOURCES + "ipreservations/"
PROFILES = RESOURCES + "profiles/"
WORKLOADS = RESOURCES + "workloadendpoints/"
NODES = RESOURCES + "nodes/"
CLUSTER_INFORMATION = RESOURCES + "clusterinformations/default"


def pool(name: str) -> str:
    return POOLS + name


def profile(name: str) -> str:
    return PROFILES + name


def node(name: str) -> str:
    return NODES + name


def workload(namespace: str, name: str) -> str:
    """`name` is derived from the endpoint's fields: see `model.names`."""
    return f"{WORKLOADS}{namespace}/{name}"


def block(cidr: Cidr) -> str:
    return f"{BLOCKS}ipv{cidr.family}/block/{_path(cidr)}"


def affinity(host: str, cidr: Cidr) -> str:
    return f"{AFFINITIES}{host}/ipv{cidr.family}/block/{_path(cidr)}"


def affinities_of(host: str, family: int) -> str:
    """The prefix under which all affinities of a host for one family lie."""
    return f"{AFFINITIES}{host}/ipv{family}/block/"


def handle(handle_id: str) -> str:
    return HANDLES + handle_id


def block_cidr(key: str) -> Cidr | None:
    """The block that lies under `key`, if it is a block's key."""
    return _cidr(key.rpartition("/")[2]) if key.startswith(BLOCKS) and "/block/" in key else None


def affinity_parts(key: str) -> tuple[str, Cidr] | None:
    """(host, block) of an affinity's key."""
    if not key.startswith(AFFINITIES):
        return None
    parts = key.removeprefix(AFFINITIES).split("/")
    return (parts[0], _cidr(parts[3])) if len(parts) == 4 and parts[2] == "block" else None


def name_of(key: str) -> str:
    """The last part of a path: the object's own name."""
    return key.rpartition("/")[2]


def _path(cidr: Cidr) -> str:
    return str(cidr).replace("/", "-")


def _cidr(text: str) -> Cidr:
    return Cidr.parse(text.replace("-", "/"))
