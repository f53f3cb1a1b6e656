"""libmesos 1.11.0 through ctypes: start a master or an agent in this process, run a subcommand of the containerizer.

Promises: refuses every file but the one library whose addresses are written down here (compared by size and build id).
Must not: be imported together with a second copy of libprocess; import anything but the standard library and `ocicat.errors`
(the containerizer starts once per container, and every import counts).

Invariants:
1. Memory that C++ keeps a pointer to is kept alive as long as the library object (`_kept`). C++ never frees memory of ours:
   strings are passed by const reference, or live in objects whose destructors are never run.
2. What the ABI is relied on for (Itanium C++ ABI, libstdc++'s new std::string, GCC 5 on x86-64):
     std::string     {char* data; size_t size; char local[16]}
     Option<T>       {int state (0 some, 1 none); T value at 8}
     Try<Warnings>   {Option<vector> at 0; Option<Error> at 32}, Error is a std::string
     Duration        {int64 nanoseconds}
   Objects of unknown size (UPID, Future, Flags) get a generous zeroed buffer.
3. The offsets that no symbol names are the constants below and in `election`; `_DETECTOR` is the only address inside the image.
"""

from __future__ import annotations

import ctypes as c
import os

from ocicat.errors import Bug, Refused, UserError

SIZE_BYTES = 122_540_776
BUILD_ID = bytes.fromhex("c70adfb7e15fd4f444f03fb2be7dbcf2ead8b0b0")
_BUILD_ID_AT = 0x210  # in the file: the note's 16 byte header starts at 0x200

_S = "NSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEE"  # std::string, mangled

# process::initialize(Option<string> delegate, Option<string> readwriteRealm, Option<string> readonlyRealm) -> bool
_INITIALIZE = "_ZN7process10initializeERK6OptionINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEES9_S9_"
_UPID = f"_ZN7process4UPIDC1ERK{_S}"  # process::UPID::UPID(string)
_TERMINATE = "_ZN7process9terminateERKNS_4UPIDEb"  # process::terminate(UPID, bool inject)
_WAIT = "_ZN7process4waitERKNS_4UPIDERK8Duration"  # process::wait(UPID, Duration) -> bool
_LOCAL_FLAGS = "_ZN5mesos8internal5local5FlagsC1Ev"  # mesos::internal::local::Flags::Flags()
# mesos::internal::local::launch(Flags, Allocator*) -> PID<Master>
_LAUNCH = "_ZN5mesos8internal5local6launchERKNS1_5FlagsEPNS_9allocator9AllocatorE"
# StandaloneMasterDetector::appoint(Option<MasterInfo>)
_APPOINT = "_ZN5mesos6master8detector24StandaloneMasterDetector7appointERK6OptionINS_10MasterInfoEE"
_MASTER_INFO = "_ZN5mesos10MasterInfoC1Ev"  # mesos::MasterInfo::MasterInfo()
# google::protobuf::MessageLite::ParseFromArray(const void*, int) -> bool
_PARSE = "_ZN6google8protobuf11MessageLite14ParseFromArrayEPKvi"
_FLAGS_BASE = "_ZN5flags9FlagsBaseC1Ev"  # flags::FlagsBase::FlagsBase()
# flags::FlagsBase::load(Option<string> prefix, int argc, const char* const* argv, bool unknowns, bool duplicates) -> Try<Warnings>
_LOAD = "_ZN5flags9FlagsBase4loadERK6OptionINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEEiPKPKcbb"

_LAUNCH_AT = 0x2437D30  # address of _LAUNCH in the image: gives the load address
_OPTION_VALUE = 8
_DETECTOR = 0x4CEC1B8  # static StandaloneMasterDetector* mesos::internal::local::detector

# mesos::internal::local::Flags
_FLAGS_WORK_DIR = 8  # std::string
_FLAGS_NUM_SLAVES = 40  # int

# class Subcommand {vptr; std::string name; FlagsBase none}, then the derived class's own Flags
_SUBCOMMAND_NAME = 0x08
_SUBCOMMAND_BASE_FLAGS = 0x28
_SUBCOMMAND_FLAGS = 0xE0
_VTABLE_HEADER = 16  # offset-to-top and type info stand before the first function

SUBCOMMANDS = {
    "launch": "N5mesos8internal5slave24MesosContainerizerLaunch",
    "network-cni-setup": "N5mesos8internal5slave23NetworkCniIsolatorSetup",
}


class CxxString(c.Structure):
    """std::string, as C++ reads it: pointer and length count, the local buffer is never used."""

    _fields_ = (("data", c.c_void_p), ("size", c.c_size_t), ("local", c.c_char * 16))


class OptionString(c.Structure):
    """Option<std::string>."""

    _fields_ = (("state", c.c_int), ("value", CxxString))


class Mesos:
    """The loaded library. One per process: it has global state."""

    def __init__(self, path: str) -> None:
        """Load `path`. Raises Refused when it is another library, or a system library it needs is missing."""
        verify(path)
        try:
            self._library = c.CDLL(path, os.RTLD_LAZY | os.RTLD_GLOBAL)
        except OSError as error:
            hint = "apt-get install libsvn1 libapr1 libcurl4 libsasl2-2 libssl3"
            raise Refused(f"{path} does not load: {error}", hint=hint) from error
        self._kept: list[object] = []

    def initialize(self, delegate: str) -> None:
        """Start libprocess (LIBPROCESS_IP and _PORT say where); requests for `/` go to the process called `delegate`."""
        none = OptionString(state=1)
        self.call(_INITIALIZE, c.byref(self.some(delegate)), c.byref(none), c.byref(none), result=c.c_bool)

    def launch(self, work_dir: str, agents: int) -> None:
        """Start a master in this process and `agents` agents of it, their flags from MESOS_*. Ends the process on a bad flag."""
        flags = self.buffer(1 << 16)
        self.call(_LOCAL_FLAGS, flags)
        if c.c_int.from_buffer(flags, _FLAGS_NUM_SLAVES).value != 1:
            raise Bug("local::Flags is not laid out as expected: num_slaves is not at its place")
        self._put_string(flags, _FLAGS_WORK_DIR, work_dir)
        c.c_int.from_buffer(flags, _FLAGS_NUM_SLAVES).value = agents
        self.call(_LAUNCH, self.buffer(4096), flags, c.c_void_p(None))

    def terminate(self, pid: str) -> None:
        """End the libprocess actor `name@ip:port` of this process, and wait until it has."""
        self.call(_TERMINATE, self._upid(pid), c.c_bool(True))  # noqa: FBT003 - a C argument
        self.wait(pid)

    def wait(self, pid: str) -> None:
        """Block until the actor `name@ip:port` of this process has ended; at once when there is none."""
        forever = c.c_int64(-1_000_000_000)
        self.call(_WAIT, self._upid(pid), c.byref(forever), result=c.c_bool)

    def appoint(self, master_info: bytes) -> None:
        """Tell the agent in this process that this master (a serialised MasterInfo) leads now: it registers there."""
        detector = self.pointer_at(_DETECTOR)
        if not detector:
            raise Bug("there is no master detector: launch() comes before appoint()")
        option = self.buffer(4096)  # zeroed: state "some"
        message = c.c_void_p(c.addressof(option) + _OPTION_VALUE)
        self.call(_MASTER_INFO, message)
        if not self.call(_PARSE, message, master_info, len(master_info), result=c.c_bool):
            raise Bug("Mesos does not read our MasterInfo")
        self.call(_APPOINT, c.c_void_p(detector), option)

    def default_signal(self, number: int) -> None:
        """signal(number, SIG_DFL)."""
        self.call("signal", number, c.c_void_p(None), result=c.c_void_p)

    def subcommand(self, arguments: list[str]) -> int:
        """What `mesos-containerizer ARGUMENTS` does, with flags from MESOS_CONTAINERIZER_* too. Returns the exit status.

        A launch that succeeds does not return: the process becomes the container's first program.
        """
        if not arguments or arguments[0] not in SUBCOMMANDS:
            raise UserError(
                f"no such subcommand: {' '.join(arguments[:1])!r}", hint=f"one of: {', '.join(SUBCOMMANDS)}"
            )
        mangled = SUBCOMMANDS[arguments[0]]
        command = self._subcommand_object(mangled, arguments[0])
        flags = self.call(f"_Z{mangled}8getFlagsEv", command, result=c.c_void_p)
        self._load_flags(flags, "MESOS_CONTAINERIZER_", arguments)
        return int(self.call(f"_Z{mangled}7executeEv", command, result=c.c_int))

    def _subcommand_object(self, mangled: str, name: str) -> c.Array[c.c_char]:
        """The object the library's own main() would make: its constructor is inline, so it is put together here."""
        command = self.buffer(1 << 16)
        c.c_void_p.from_buffer(command).value = self.address_of(f"_ZTV{mangled}E") + _VTABLE_HEADER
        self._put_string(command, _SUBCOMMAND_NAME, name)
        start = c.addressof(command)
        self.call(_FLAGS_BASE, c.c_void_p(start + _SUBCOMMAND_BASE_FLAGS))
        self.call(f"_Z{mangled}5FlagsC1Ev", c.c_void_p(start + _SUBCOMMAND_FLAGS))
        return command

    def _load_flags(self, flags: int | None, prefix: str, arguments: list[str]) -> None:
        values = (c.c_char_p * (len(arguments) + 1))(*(argument.encode() for argument in arguments), None)
        outcome = self.buffer(4096)
        option = self.some(prefix)
        count, strict = c.c_int(len(arguments)), c.c_bool(False)  # noqa: FBT003 - a C argument
        self.call(_LOAD, outcome, c.c_void_p(flags), c.byref(option), count, values, strict, strict)
        if c.c_int.from_buffer(outcome).value != 0:
            error = CxxString.from_buffer(outcome, 32 + 8)
            raise UserError(f"{arguments[0]}: {c.string_at(error.data, error.size).decode()}")

    def pointer_at(self, offset: int) -> int:
        """The pointer that lies at this address of the image; 0 is null."""
        return c.c_void_p.from_address(self.address_of(_LAUNCH) - _LAUNCH_AT + offset).value or 0

    def keep(self, *objects: object) -> None:
        """Invariant 1, for what C++ is given a pointer to."""
        self._kept += objects

    def call(self, name: str, *arguments: object, result: type | None = None) -> int:
        function = getattr(self._library, name)
        function.restype = result
        value: int = function(*arguments)
        return value

    def address_of(self, name: str) -> int:
        """Of a symbol, in this process."""
        return c.cast(getattr(self._library, name), c.c_void_p).value or 0

    def buffer(self, size: int) -> c.Array[c.c_char]:
        """Zeroed, and kept."""
        buffer = c.create_string_buffer(size)
        self._kept.append(buffer)
        return buffer

    def string(self, text: str) -> CxxString:
        """Its characters are kept; the struct itself is the caller's to keep."""
        data = text.encode()
        buffer = self.buffer(len(data) + 1)
        buffer.value = data
        return CxxString(c.addressof(buffer), len(data))

    def some(self, text: str) -> OptionString:
        return OptionString(0, self.string(text))

    def _put_string(self, target: c.Array[c.c_char], offset: int, text: str) -> None:
        """Overwrite a std::string member in place. What it held (at most its own local buffer) is not freed."""
        CxxString.from_buffer(target, offset).data = (string := self.string(text)).data
        CxxString.from_buffer(target, offset).size = string.size

    def _upid(self, pid: str) -> c.Array[c.c_char]:
        upid = self.buffer(4096)
        self.call(_UPID, upid, c.byref(self.string(pid)))
        return upid


def verify(path: str) -> None:
    """Refuse every file but the library whose offsets are in this module."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - importing pathlib would slow every container
            size = os.fstat(file.fileno()).st_size
            build_id = os.pread(file.fileno(), len(BUILD_ID), _BUILD_ID_AT)
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}", hint="make it with ocicat.lab.mesos.library.ensure") from error
    if (size, build_id) != (SIZE_BYTES, BUILD_ID):
        hint = "remove it, and it is made again"
        raise Refused(f"{path} is not libmesos 1.11.0 as Apache released it ({size} bytes)", hint=hint)
