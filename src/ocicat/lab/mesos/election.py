"""Masters that elect their leader in ZooKeeper, and agents that look for it there, with the library's own parts for both.

`launch` of the library gives a master a contender and a detector that know of no other master, and a replicated log of one
replica. Before it is called, the functions that make these are replaced here by ones that put ZooKeeper's there instead, made by
the library's own factories: those that `mesos-master --zk=zk://...` and `mesos-agent --master=zk://...` call.

Must not: be called before `Mesos.initialize` (the parts are actors of libprocess) or after `Mesos.launch`.

Invariants, beside those of `native`:
1. A contender and a detector of either kind begin with a virtual table and a pointer, which is all that ZooKeeper's have. They may
   be put over the standalone ones, which are as large at least (0x18 and 0x10 bytes in `launch`) and never destroyed.
2. A replaced function is one that only `launch` calls. x86-64, System V calling convention.
"""

from __future__ import annotations

import ctypes as c
import mmap
import os

from ocicat.errors import Bug, Refused
from ocicat.lab.mesos.native import Mesos, OptionString
from ocicat.mesos.masters import Ensemble

_S = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"  # std::string, mangled

# create(Option<string> zk, Option<string> module, Option<Duration> session) -> Try<MasterDetector*> and Try<MasterContender*>
_DETECTOR = f"_ZN5mesos6master8detector14MasterDetector6createERK6OptionI{_S}ESC_RKS3_I8DurationE"
_CONTENDER = f"_ZN5mesos6master9contender15MasterContender6createERK6OptionI{_S}ESC_RKS3_I8DurationE"
# Log(int quorum, string path, string servers, Duration session, string znode, Option<Authentication>, bool start, Option<string>)
_LOG = f"_ZN5mesos3log3LogC1EiRK{_S}S9_RK8DurationS9_RK6OptionIN9zookeeper14AuthenticationEEbRKSD_IS7_E"
# What `launch` calls: StandaloneMasterDetector(), its appoint(Option<MasterInfo>), and
# Log(int quorum, string path, set<UPID> replicas, bool start, Option<string> prefix)
_STANDALONE_DETECTOR = "_ZN5mesos6master8detector24StandaloneMasterDetectorC1Ev"
_STANDALONE_APPOINT = "_ZN5mesos6master8detector24StandaloneMasterDetector7appointERK6OptionINS_10MasterInfoEE"
_STANDALONE_LOG = f"_ZN5mesos3log3LogC1EiRK{_S}RKSt3setIN7process4UPIDESt4lessISC_ESaISC_EEbRK6OptionIS7_E"

SESSION_S = 4.0  # of ZooKeeper: for so long a master that was killed, or that ZooKeeper was cut off from, leads on

_CONTENDER_AT = (
    0x4CEC1B0  # static StandaloneMasterContender* mesos::internal::local::contender, made before the detector
)
_OBJECT_BYTES = 16
_RETURN = b"\xc3"
_JUMP = b"\x49\xbb%b\x41\xff\xe3"  # movabs $address, %r11; jmp *%r11
_NANOSECONDS = 1_000_000_000


class _OptionDuration(c.Structure):
    """Option<Duration>."""

    _fields_ = (("state", c.c_int), ("nanoseconds", c.c_int64))


def follow(mesos: Mesos, ensemble: Ensemble, session_s: float) -> None:
    """Whoever is launched now registers with the master that leads there. Refused when Mesos cannot use that ZooKeeper."""
    _replace_detector(mesos, _made(mesos, _DETECTOR, ensemble, session_s), 0)


def elect(mesos: Mesos, ensemble: Ensemble, session_s: float, quorum: int) -> None:
    """The master that is launched now stands for election there, its registry in a log that `quorum` replicas agree on."""
    detector = _made(mesos, _DETECTOR, ensemble, session_s)
    _replace_detector(mesos, detector, _made(mesos, _CONTENDER, ensemble, session_s))
    _replace_log(mesos, ensemble, session_s, quorum)


def _made(mesos: Mesos, create: str, ensemble: Ensemble, session_s: float) -> int:
    """The object that a factory of the library makes."""
    outcome = mesos.buffer(4096)
    session = _OptionDuration(0, round(session_s * _NANOSECONDS))
    mesos.call(create, outcome, c.byref(mesos.some(str(ensemble))), c.byref(OptionString(state=1)), c.byref(session))
    if c.c_int.from_buffer(outcome).value != 0:
        raise Refused(f"{ensemble}: Mesos does not take that for a ZooKeeper")
    return c.c_void_p.from_buffer(outcome, 8).value or 0


def _replace_detector(mesos: Mesos, detector: int, contender: int) -> None:
    """`contender` 0: the one that `launch` makes stays."""

    def make(this: int) -> None:
        c.memmove(this, detector, _OBJECT_BYTES)
        if contender:
            c.memmove(mesos.pointer_at(_CONTENDER_AT), contender, _OBJECT_BYTES)

    replacement = c.CFUNCTYPE(None, c.c_void_p)(make)
    mesos.keep(replacement)
    _jump(mesos, _STANDALONE_DETECTOR, c.cast(replacement, c.c_void_p).value)
    _overwrite(mesos, _STANDALONE_APPOINT, _RETURN)  # `launch` would appoint its own master


def _replace_log(mesos: Mesos, ensemble: Ensemble, session_s: float, quorum: int) -> None:
    nobody = OptionString(state=1)  # as good as an Option of any other kind that holds nothing
    servers, znode = (mesos.string(text) for text in (_servers(ensemble), f"{ensemble.path}/log_replicas"))
    session = c.c_int64(round(session_s * _NANOSECONDS))

    def make(this: int, _quorum: int, path: int, _replicas: int, start: bool, prefix: int) -> None:
        ours = (c.byref(servers), c.byref(session), c.byref(znode), c.byref(nobody))
        mesos.call(
            _LOG, c.c_void_p(this), c.c_int(quorum), c.c_void_p(path), *ours, c.c_bool(start), c.c_void_p(prefix)
        )

    kind = c.CFUNCTYPE(None, c.c_void_p, c.c_int, c.c_void_p, c.c_void_p, c.c_bool, c.c_void_p)
    replacement = kind(make)
    mesos.keep(replacement)
    _jump(mesos, _STANDALONE_LOG, c.cast(replacement, c.c_void_p).value)


def _jump(mesos: Mesos, name: str, to: int | None) -> None:
    """Every call of that function goes to another address from now on."""
    if not to:
        raise Bug(f"there is nothing to put in the place of {name}")
    _overwrite(mesos, name, _JUMP % to.to_bytes(8, "little"))


def _overwrite(mesos: Mesos, name: str, code: bytes) -> None:
    """The beginning of a function of the library, in this process's memory only."""
    address = mesos.address_of(name)
    page = address & -mmap.PAGESIZE
    size = c.c_size_t(address + len(code) - page)
    allowed = c.c_int(mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    libc = c.CDLL(None, use_errno=True)
    if libc.mprotect(c.c_void_p(page), size, allowed) != 0:
        raise Refused(f"the code of {name} cannot be changed: {os.strerror(c.get_errno())}")
    c.memmove(address, code, len(code))


def _servers(ensemble: Ensemble) -> str:
    return ",".join(map(str, ensemble.servers))
