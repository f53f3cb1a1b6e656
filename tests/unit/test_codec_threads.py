"""Threads that read records of the same types for the first time at the same moment: each gets its record."""

import subprocess
import sys

import pytest

RACE = """
import sys, threading
from ocicat.model import codec
from ocicat.model.base import Struct

sys.setswitchinterval(1e-6)
KINDS, THREADS = 50, 4
FIELDS = "".join(f"    f{i}: dict[str, list[int]]\\n" for i in range(6))
CLASSES = "".join(
    f"class Inner{i}(Struct, frozen=True):\\n{FIELDS}"
    f"class Outer{i}(Struct, frozen=True):\\n    first: Inner{i}\\n    second: Inner{i}\\n"
    for i in range(KINDS)
)
names = {"Struct": Struct}
exec(CLASSES, names)
document = {half: {f"f{i}": {"a": [1]} for i in range(6)} for half in ("first", "second")}
data = codec.encode_json(document)
read = {"decode_json": lambda kind: codec.decode_json(kind, data), "convert": lambda kind: codec.convert(kind, document)}
together, right = threading.Barrier(THREADS), []

def race():
    for i in range(KINDS):
        together.wait()
        right.append(read[sys.argv[1]](names[f"Outer{i}"]).second.f5 == {"a": [1]})

threads = [threading.Thread(target=race) for _ in range(THREADS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert right == [True] * KINDS * THREADS
"""


@pytest.mark.parametrize("function", ["decode_json", "convert"])
def test_the_first_use_of_a_type_by_several_threads(function):
    """In a process of its own, for it would end the process."""
    command = [sys.executable, "-c", RACE, function]
    found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert (found.returncode, found.stderr) == (0, "")
