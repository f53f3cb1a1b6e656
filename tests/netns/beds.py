"""What beds share: waiting, links that send, and a host on a wire."""

import time

from ocicat.netlink import address, link
from ocicat.netlink.address import Address
from ocicat.netlink.inet import packed
from ocicat.netlink.link import End
from ocicat.netlink.socket import RouteSocket

POLL_S = 0.01


def waiting(bound_s):
    """A function that waits for a condition, told what it is, at most so long; it returns the condition's value."""

    def wait_for(condition, what):
        end = time.monotonic() + bound_s
        while not (value := condition()):
            assert time.monotonic() < end, f"waited {bound_s} s for {what}"
            time.sleep(POLL_S)
        return value

    return wait_for


def send_now(sock, *names):
    """These interfaces are up, and do send from now on. One whose other end came up after it does so only once a kernel worker has
    noticed, which may take long on a busy machine; asking for it has the kernel see to it (since Linux 6.8)."""
    for name in names:
        sock.get(link.get(name))


def connect(wire, host):
    """The host's eth0 to the bridge called wire. `host`: its name, the fd of its namespace, and its address."""
    with RouteSocket(host.fd) as inside:
        wire.request(link.create_veth(End(host.name, up=True), End("eth0", netns_fd=host.fd)))
        wire.request(link.change(host.name, master=wire.get(link.get("wire")).index))
        for name in ("lo", "eth0"):
            inside.request(link.change(name, up=True))
        index = inside.get(link.get("eth0")).index
        inside.request(address.add(Address(index, packed(host.address), 24)))
        send_now(wire, host.name)
        return index
