"""What the agent makes of the dataplane's reports, where that is a line in the log."""

import logging

from ocicat.agent.feed import Feed
from ocicat.dataplane.api import FlowsCut


def test_flows_that_were_ended_are_told_with_who_forbids_them(caplog):
    caplog.set_level(logging.INFO)
    feed = Feed(graph=None, allocator=None, local=None, dataplane=None)
    feed.report(FlowsCut(3, (("ingress of /b: end of tier default", 2), ("egress of /a: policy /p rule 0", 1))))
    (record,) = caplog.records
    assert record.getMessage() == (
        "3 established flows ended: 2 by ingress of /b: end of tier default, 1 by egress of /a: policy /p rule 0"
    )
