"""Labels of a NetworkInfo that limit what their task may send and receive."""

import pytest

from ocicat.agent import limits
from ocicat.cni.config import Label
from ocicat.errors import UserError
from ocicat.model.v3.endpoints import QoSControls

CALICO = "qos.projectcalico.org/"


def controls(**labels):
    """Of labels under Calico's names."""
    return limits.controls([Label(CALICO + name, value) for name, value in labels.items()])


def test_every_field_has_its_label():
    wanted = QoSControls(
        ingress_bandwidth=10_000_000,
        egress_bandwidth=20_000_000,
        ingress_burst=1_000_000,
        egress_burst=4 << 30,
        ingress_peakrate=20_000_000,
        egress_peakrate=30_000_000,
        ingress_minburst=2000,
        egress_minburst=3000,
        ingress_packet_rate=100,
        egress_packet_rate=10_000,
        ingress_packet_burst=7,
        egress_packet_burst=8,
        ingress_max_connections=9,
        egress_max_connections=4_294_967_295,
        dscp="AF11",
    )
    found = controls(
        ingressBandwidth="10M",
        egressBandwidth="20M",
        ingressBurst="1M",
        egressBurst="4Gi",
        ingressPeakrate="20M",
        egressPeakrate="30M",
        ingressMinburst="2k",
        egressMinburst="3000",
        ingressPacketRate="100",
        egressPacketRate="10k",
        ingressPacketBurst="7",
        egressPacketBurst="8",
        ingressMaxConnections="9",
        egressMaxConnections="4294967295",
        dscp="af11",
    )
    assert found == wanted


def test_no_label_no_limit():
    assert limits.controls([Label("app", "x"), Label("kubernetes.io/name", "y")]) is None


def test_kubernetes_names_count_where_calicos_are_not_given():
    kubernetes = [Label("kubernetes.io/ingress-bandwidth", "1M"), Label("kubernetes.io/egress-bandwidth", "2M")]
    for labels in (
        [*kubernetes, Label(f"{CALICO}egressBandwidth", "3M")],
        [Label(f"{CALICO}egressBandwidth", "3M"), *kubernetes],
    ):
        assert limits.controls(labels) == QoSControls(ingress_bandwidth=1_000_000, egress_bandwidth=3_000_000)


def test_a_number_is_a_dscp_too():
    assert controls(dscp="46") == QoSControls(dscp=46)


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        ({"ingressBandwidth": "10Mbit"}, f"label {CALICO}ingressBandwidth: '10Mbit' is not a quantity"),
        ({"ingressBandwidth": "0"}, "must be greater than 0"),
        ({"ingressBandwidth": "-1M"}, "must be greater than 0"),
        ({"ingressBandwidth": "999"}, "must be between 1000 and 1000000000000000"),
        ({"egressBandwidth": "1.1P"}, "must be between"),
        ({"egressPacketRate": "10001"}, "must be between 1 and 10000"),
        ({"egressMaxConnections": "4294967296"}, "must be between 1 and 4294967295"),
        ({"dscp": "XX"}, f'label {CALICO}dscp = "XX": must be 0 to 63'),
        ({"dscp": "64"}, "must be 0 to 63"),
        ({"ingressBurst": "1M"}, f"label {CALICO}ingressBurst = 1000000: means nothing without ingressBandwidth"),
        ({"egressPeakrate": "1M"}, "must be greater than egressBandwidth"),
        ({"egressBandwidth": "1M", "egressPeakrate": "1.01k"}, "must be greater than egressBandwidth"),
        ({"egressBandwidth": "1M", "egressMinburst": "2k"}, "means nothing without egressPeakrate"),
        ({"ingressPacketBurst": "2"}, "means nothing without ingressPacketRate"),
        ({"ingressBandwith": "1M"}, f"label {CALICO}ingressBandwith: there is no such limit"),
    ],
)
def test_what_is_wrong_names_the_label(labels, text):
    with pytest.raises(UserError) as caught:
        controls(**labels)
    assert text in str(caught.value)
