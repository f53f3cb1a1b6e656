"""What nft lists, as shapes."""

from ocicat.dataplane.ruleset.listing import Listing, parse
from ocicat.dataplane.ruleset.objects import Rule, SetSpec, Shape

MARK = Rule("drop", "why { not }").mark
TEXT = f"""table inet ocicat {{
	comment "whoever {{"
	set s4-web {{
		type ipv4_addr
		comment "x"
	}}

	set p-1 {{
		type inet_service
		flags interval
	}}

	set cut-flows4 {{
		type ipv4_addr . inet_service
		flags timeout
		timeout 1d1h2m3s
		gc-interval 10m
	}}

	map to-workload {{
		type ifname : verdict
	}}

	map host-ports4 {{
		type inet_proto . inet_service : ipv4_addr . inet_service
	}}

	chain dstnat {{
		type nat hook prerouting priority dstnat; policy accept;
	}}

	counter c-1 {{
		comment "policy np/a/b ingress normal 0 Allow"
		packets 3 bytes 9
	}}

	counter c-2 {{
		packets 0 bytes 0
	}}

	chain forward {{
		type filter hook forward priority filter; policy accept;
		drop comment "{MARK} why {{ not }}"
		accept comment "{MARK}"
	}}

	chain between {{
		type filter hook forward priority filter - 1; policy accept;
	}}

	chain odd {{
		comment "{MARK} is not a rule"
		counter packets 3 bytes 9 drop
		accept comment "theirs {MARK}"
	}}

	chain empty {{
	}}
}}
"""


def test_no_table_is_nothing():
    assert parse("") == Listing()


def test_chains_are_their_marks_and_foreign_rules_are_strangers():
    assert parse(TEXT).chains == {
        "dstnat": Shape("nat prerouting dstnat accept", ()),
        "forward": Shape("filter forward filter accept", (MARK, MARK)),
        "between": Shape("filter forward filter - 1 accept", ()),
        "odd": Shape("", ("?", "?")),
        "empty": Shape("", ()),
    }


def test_chains_of_a_table_that_is_dormant_are_nowhere():
    asleep = parse(TEXT.replace("{\n", "{\n\tflags dormant\n", 1))
    assert set(asleep.chains.values()) == {Shape("", ())}
    assert asleep.chains.keys() == parse(TEXT).chains.keys()
    assert asleep.sets == parse(TEXT).sets


def test_counters_are_their_names():
    assert parse(TEXT).counters == {"c-1", "c-2"}


def test_sets_and_maps():
    assert parse(TEXT).sets == {
        "s4-web": SetSpec("s4-web", "ipv4_addr"),
        "p-1": SetSpec("p-1", "inet_service", interval=True),
        "cut-flows4": SetSpec("cut-flows4", "ipv4_addr . inet_service", timeout_s=90123),
        "to-workload": SetSpec("to-workload", "ifname", verdicts=True),
        "host-ports4": SetSpec("host-ports4", "inet_proto . inet_service", data="ipv4_addr . inet_service"),
    }
