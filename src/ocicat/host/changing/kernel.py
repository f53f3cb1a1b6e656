"""Values of the running kernel: settings, the MTU of an interface, this host's name, interfaces of others that go."""

from __future__ import annotations

import socket
from pathlib import Path

from ocicat.errors import OcicatError, Refused
from ocicat.netlink import link
from ocicat.netlink.socket import RouteSocket


class Sysctl:
    """By its name with dots; with slashes, as sysctl(8) has it, where that of an interface has dots."""

    own = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._path = Path("/proc/sys", name if "/" in name else name.replace(".", "/"))

    def read(self) -> str | None:
        try:
            return " ".join(self._path.read_text().split())
        except OSError:
            return None

    def write(self, value: str | None) -> None:
        if value is None or value == self.read():
            return
        try:
            self._path.write_text(value)
        except OSError as error:
            raise Refused(
                f"{self._name} cannot be set: {error.strerror}", hint="is /proc/sys writable here?"
            ) from error


class Forwarding:
    """net.ipv4.ip_forward, with what the kernel sets anew whenever that changes: whether redirects are accepted.

    The value is that of ip_forward; and where redirects are not as the kernel then has them, that too.
    """

    own = False
    _REDIRECTS = "net.ipv4.conf.all.accept_redirects"
    _WITH = " with accept_redirects "

    def __init__(self) -> None:
        self._forward, self._redirects = Sysctl("net.ipv4.ip_forward"), Sysctl(self._REDIRECTS)

    def read(self) -> str | None:
        forward, redirects = self._forward.read(), self._redirects.read()
        usual = "0" if forward == "1" else "1"
        return forward if redirects in (None, usual) else f"{forward}{self._WITH}{redirects}"

    def write(self, value: str | None) -> None:
        forward, _, redirects = (value or "").partition(self._WITH)
        self._forward.write(forward or None)
        self._redirects.write(redirects or None)


class Mtu:
    own = False

    def __init__(self, interface: str) -> None:
        self._interface = interface

    def read(self) -> str | None:
        with RouteSocket() as kernel:
            try:
                return str(kernel.get(link.get(self._interface)).mtu)
            except OcicatError:
                return None

    def write(self, value: str | None) -> None:
        if value is not None:
            with RouteSocket() as kernel:
                kernel.request(link.change(self._interface, mtu=int(value)))


class HostName:
    """As the kernel says it until the next boot."""

    own = False

    def read(self) -> str | None:
        return socket.gethostname()

    def write(self, value: str | None) -> None:
        if value is None:
            return
        try:
            socket.sethostname(value)
        except OSError as error:
            raise Refused(f"the host cannot be called {value}: {error.strerror}", hint="run it as root") from error


class Interface:
    """An interface of another network system, that goes. It does not come back: what made it has to make it anew."""

    own = False

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self) -> str | None:
        with RouteSocket() as kernel:
            try:
                return "there" if kernel.get(link.get(self._name)) else None
            except OcicatError:
                return None

    def write(self, value: str | None) -> None:
        if value is None and self.read():
            with RouteSocket() as kernel:
                kernel.request(link.delete(self._name))
