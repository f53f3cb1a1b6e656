"""Our bytes read by pyroute2; dumps as the kernel sends them."""

import pytest
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from ocicat.netlink import qdisc, wire
from ocicat.netlink.qdisc import Bucket


def oracle(request):
    message = tcmsg(wire.encode(request, 1))
    message.decode()
    return message


def test_a_bucket_is_put_at_the_root_under_our_handle():
    seen = oracle(qdisc.shape(7, Bucket(1_250_000, 204_800, 47_634, 2_500_000, 9465)))
    parms = seen.get_nested("TCA_OPTIONS", "TCA_TBF_PARMS")
    assert (seen["index"], seen["handle"], seen["parent"]) == (7, qdisc.HANDLE, qdisc.ROOT)
    assert seen.get_attr("TCA_KIND") == "tbf"
    assert (parms["rate"], parms["peak"]) == (1_250_000, 2_500_000)
    assert (parms["limit"], parms["buffer"], parms["mtu"]) == (47_634, 204_800, 9465)


@pytest.mark.parametrize(
    "bucket",
    [
        Bucket(125, 1, 1),
        Bucket(1_250_000, 204_800, 47_634),
        Bucket(1_250_000, 204_800, 47_634, 2_500_000, 9465),
        Bucket((1 << 32) - 1, 1, 2, 1 << 32, 3),
        Bucket(125 * 10**12, 1, 1 << 31, 126 * 10**12, 1),
    ],
)
def test_a_bucket_is_read_as_it_was_written(bucket):
    request = qdisc.shape(7, bucket)
    assert qdisc.decode(request.body).bucket == bucket
    assert qdisc.decode(request.body).is_ours


def test_another_handle_place_or_kind_is_not_ours():
    body = qdisc.shape(7, Bucket(1, 1, 1)).body
    assert not qdisc.decode(body[:8] + bytes(4) + body[12:]).is_ours
    assert not qdisc.decode(body[:12] + bytes(4) + body[16:]).is_ours
    assert not qdisc.decode(qdisc.take_in_no_more(7).body).is_ours


def test_a_filter_that_does_something_else_has_no_target():
    assert qdisc.decode_filter(qdisc.redirect_no_more(7).body) == qdisc.Redirect(7, first=True)
