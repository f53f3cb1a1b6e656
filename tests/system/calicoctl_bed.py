"""A real calicoctl and ours on one real etcd.

`python tests/system/calicoctl_bed.py` records anew what it stores: `tests/golden/calicoctl/stored.json`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS / "contract"), str(TESTS / "unit")]

from agent_bed import agent  # noqa: E402
from etcd_server import EtcdProcess, wait_until_up  # noqa: E402

from ocicat.model.v3.document import parse  # noqa: E402
from ocicat.resources.unsupported import refusals  # noqa: E402
from ocicat.store.base import Delete  # noqa: E402
from ocicat.store.open import open_store  # noqa: E402

__all__ = ["Bed", "Calicoctl", "Failed", "agent", "needed", "settled", "supported"]

GOLDEN = TESTS / "golden" / "calicoctl"
MANIFESTS = GOLDEN / "manifests.yaml"
RECORDED = "v3.28.5"
BOUND_S = 60.0


def supported(manifest: dict) -> dict:
    """Without what ocicat does not write."""
    found = json.loads(json.dumps(manifest))
    for one in list(refusals(parse(found).resource)):
        place = found
        *path, last = one.problem.field.replace("[", ".[").split(".")
        for part in path:
            place = place[int(part[1:-1])] if part.startswith("[") else place[part]
        del place[last]
    return found


def binary() -> str:
    """Where calicoctl is: what OCICAT_CALICOCTL names, or the first on PATH; "" if there is none."""
    named = os.environ.get("OCICAT_CALICOCTL", "")
    return shutil.which(named or "calicoctl") or ""


class Failed(Exception):
    """calicoctl said no: `str` is what it said."""


class Calicoctl:
    def __init__(self, path: str, endpoint: str):
        self.path = path
        self.url = f"etcd://{endpoint}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "DATASTORE_TYPE": "etcdv3",
            "ETCD_ENDPOINTS": f"http://{endpoint}",
        }

    def __call__(self, *arguments: str, stdin: object = None) -> str:
        """What it prints. `stdin`: text, or an object that is given to it as JSON."""
        done = self._run(*arguments, stdin=stdin)
        if done.returncode:
            raise Failed(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def version(self) -> str:
        """Empty if it was built without one. The command fails besides where no cluster has said its own."""
        return self._run("version").stdout.partition("Client Version:")[2].partition("\n")[0].strip()

    def _run(self, *arguments: str, stdin: object = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.path, "--allow-version-mismatch", *arguments],
            env=self.environment,
            input=stdin if isinstance(stdin, str) else json.dumps(stdin),
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )

    def get(self, kind: str, *names: str) -> list[dict]:
        """Objects as it shows them; all of the kind, in all namespaces, if none is named."""
        everywhere = [] if names or not self.namespaced(kind) else ["--all-namespaces"]
        shown = json.loads(self("get", kind, *names, *everywhere, "-o", "json"))
        return shown.get("items", [shown])

    @staticmethod
    def namespaced(kind: str) -> bool:
        return kind.lower() in ("networkpolicy", "networkset", "workloadendpoint")


class Bed:
    """One etcd, emptied for each test; calicoctl and our store on it."""

    def __init__(self, path: str):
        self.etcd = EtcdProcess()
        self.etcd.start()
        self.calicoctl = Calicoctl(path, self.etcd.endpoint)
        self.url = self.calicoctl.url
        wait_until_up(self.url, self.etcd)

    def play(self, scenario):
        """Runs a coroutine function on our store; its result."""

        async def bounded():
            async with asyncio.timeout(BOUND_S):
                store = await open_store(self.url)
                try:
                    return await scenario(store)
                finally:
                    await store.close()

        return asyncio.run(bounded())

    def ocicat(self, *arguments: str, stdin: str = "") -> str:
        """What our command line prints, run as people run it on this store."""
        done = subprocess.run(
            [sys.executable, "-m", "ocicat", *arguments, "--store", self.url],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=BOUND_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def empty(self) -> None:
        async def scenario(store):
            keys = [item.key for item in (await store.range("")).items]
            for start in range(0, len(keys), 100):
                await store.commit([], [Delete(key) for key in keys[start : start + 100]])

        self.play(scenario)

    def stored(self, prefix: str = "") -> dict[str, bytes]:
        async def scenario(store):
            return {item.key: item.value for item in (await store.range(prefix)).items}

        return self.play(scenario)

    def close(self) -> None:
        self.etcd.remove()


def needed() -> str:
    """The path of calicoctl, or the test is skipped."""
    if not binary():
        pytest.skip("calicoctl is not on PATH and OCICAT_CALICOCTL does not name it")
    if not shutil.which("etcd"):
        pytest.skip("etcd is not installed (Debian: etcd-server)")
    return binary()


def settled(value: dict) -> dict:
    """Without what is different each time: who gave which id, and when."""
    metadata = {name: one for name, one in value["metadata"].items() if name not in ("uid", "creationTimestamp")}
    spec = {name: one for name, one in value["spec"].items() if name != "clusterGUID"}
    return {**value, "metadata": metadata, "spec": spec}


def record() -> None:
    bed = Bed(needed())
    try:
        bed.calicoctl("create", "-f", str(MANIFESTS))
        lines = [f"  {json.dumps(key)}: {value.decode()}" for key, value in sorted(bed.stored().items())]
    finally:
        bed.close()
    (GOLDEN / "stored.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    record()
