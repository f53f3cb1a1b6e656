"""What runs between two containers, in slots of a fraction of a second: `_traffic.c`, compiled here, and iperf3."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ocicat.errors import Unavailable

SENDER_PORT, IPERF_PORT = 5001, 5201
_PATIENCE_S = 30
_INSIDE = ("setpriv", "--pdeathsig", "KILL", "nsenter")  # it ends with us


@dataclass(frozen=True, slots=True)
class Pair:
    """Paths of two containers' namespaces, and the server's address."""

    client: str
    server: str
    address: str


@dataclass(frozen=True, slots=True)
class Slot:
    """`processor_us`: of the processor, for each time."""

    rate_per_s: float
    processor_us: float
    p50_us: float
    p99_us: float


def compiled(name: str) -> Path:
    """The program of that source beside this file, where `make clean` removes it."""
    source = Path(__file__).with_name(name)
    program = source.parents[1] / "build" / "bench" / source.stem.removeprefix("_")
    program.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-pthread", "-o", program, source], check=True)
    return program


@dataclass(frozen=True, slots=True)
class Sender:
    program: Path

    @classmethod
    def compiled(cls) -> Sender:
        return cls(compiled("_traffic.c"))

    def slot(self, what: Literal["connect", "request"], pair: Pair, ms: int) -> Slot:
        """Unavailable: they cannot talk."""
        command = [self.program, what, pair.client, pair.server, pair.address, str(SENDER_PORT), str(ms)]
        count, seconds, processor_s, p50, p99 = map(float, _output([*map(str, command)]).split())
        return Slot(count / seconds, processor_s / count * 1e6, p50, p99)


def throughput_gbit_s(pair: Pair, seconds: int) -> float:
    """One stream, cubic, both ends on one processor: on two of them it is sometimes twice as fast, and nobody knows when."""
    at = ["-p", str(IPERF_PORT)]
    server = [*_INSIDE, f"--net={pair.server}", "iperf3", "-s", "-1", "-A", "1", *at]
    client = [*_INSIDE, f"--net={pair.client}", "iperf3", "-J", "-C", "cubic", "-A", "1", "-t", str(seconds), *at]
    with subprocess.Popen([*server, "--forceflush"], stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        try:
            next(line for line in serving.stdout if "listening" in line)
            found = json.loads(_output([*client, "-c", pair.address]))
            serving.communicate(timeout=_PATIENCE_S)
        finally:
            serving.kill()
    return float(found["end"]["sum_received"]["bits_per_second"]) / 1e9


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE_S)
    if done.returncode != 0:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
