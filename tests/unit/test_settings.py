"""One table of settings: what a file, the environment and the command line may say, who goes before whom, and what is told."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocicat.agent.config import AgentConfig, check
from ocicat.agent.settings import agent_config, live
from ocicat.cli.configured import options_layer
from ocicat.cni.relay import DEFAULT_SOCKET as PLUGINS_SOCKET
from ocicat.errors import NotFound, UserError
from ocicat.mesos.apps.records import DEFAULT_NAME
from ocicat.mesos.masters import parse_masters
from ocicat.model.v3.felix import FelixConfigurationSpec, ProtoPort
from ocicat.model.v3.shape import record
from ocicat.policy.felix_unread import READ
from ocicat.policy.settings import Settings, settings
from ocicat.settings import checks, felix, felix_fields, layers, table, toml_lines
from ocicat.settings.arguments import Process, is_agent, started
from ocicat.settings.document import default_file
from ocicat.settings.reading import FileFacts, file_layer, path_of
from ocicat.settings.resolve import changes, resolve
from ocicat.settings.secrets import masked
from ocicat.settings.values import from_text, holds_password, masked_value, plain_text, toml_text

FILE = "/etc/x.toml"
LONG = "1" * 5000


def said(layer):
    return {one.key: one.value for one in layer.said}


def of_file(text):
    return layers.of_file(text, FILE)


def only_fault(layer):
    (fault,) = layer.faults
    return str(fault)


# --- the table ------------------------------------------------------------------------------------------------------


def test_keys_variables_and_options_are_each_used_once():
    for names in ([one.key for one in table.SETTINGS], [one.variable for one in table.SETTINGS], list(table.BY_OPTION)):
        assert len(set(names)) == len(names)
    assert {one.section for one in table.SETTINGS} == set(table.SECTIONS)


@pytest.mark.parametrize("one", table.SETTINGS, ids=lambda one: one.key)
def test_the_default_and_the_example_of_a_setting_are_what_it_may_be(one):
    text = f"[{one.section}]\n{one.name} = {toml_text(one.example)}\n"
    assert said(of_file(text)) == {one.key: one.example}
    assert one.does.endswith((".", ":")) or "." in one.does
    if one.default not in ("", (), 0):
        assert said(of_file(f"{one.key} = {toml_text(one.default)}")) == {one.key: one.default}


def test_every_field_of_felix_that_is_acted_on_is_a_setting():
    assert {one.felix for one in table.SETTINGS if one.felix} == READ


def test_defaults_are_those_of_the_code():
    resolved = resolve([])
    config = AgentConfig(host="h1", address="10.0.0.1/24")
    made = agent_config(
        resolve([layers.of_options([("host.name", "h1"), ("host.address", "10.0.0.1/24")])]), FILE
    ).config
    assert made == config
    assert resolved.text("agent.socket") == str(PLUGINS_SOCKET)
    assert resolved.text("mesos.framework") == DEFAULT_NAME


def test_what_felix_fields_say_by_default_is_what_policy_does_without_them():
    given = {one.key: one.default for one in felix.FELIX if one.default not in ("", 0)}
    one, usual = settings([felix_fields.spec(given)]), Settings()
    for name in ("failsafe_inbound", "failsafe_outbound"):
        assert set(getattr(one, name)) == set(getattr(usual, name))
    for name in ("endpoint_to_host", "vxlan_port", "source_spoofing", "floating_addresses", "interface_prefixes"):
        assert getattr(one, name) == getattr(usual, name)
    assert one.log_prefix == usual.log_prefix


# --- a file ---------------------------------------------------------------------------------------------------------


def test_the_default_file_says_nothing_and_holds_every_setting():
    layer = of_file(default_file())
    assert (layer.said, layer.faults, layer.unknown) == ((), (), ())
    without_marks = re.sub(r"^#(\w+ = )", r"\1", default_file(), flags=re.MULTILINE)
    layer = of_file(without_marks)
    assert (layer.faults, layer.unknown) == ((), ())
    assert [one.key for one in layer.said] == [one.key for one in table.SETTINGS]


def test_what_a_file_says_is_told_with_its_line():
    layer = of_file('# one\n[host]\nname = "h1"\n\n[mesos]\nagent_ports = [\n  5051,\n  5052,\n]\nagent = "off"\n')
    assert [(one.key, one.value, one.where) for one in layer.said] == [
        ("host.name", "h1", f"{FILE}:3"),
        ("mesos.agent_ports", (5051, 5052), f"{FILE}:6"),
        ("mesos.agent", "off", f"{FILE}:10"),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[agent]\nmtu = '1450'", f"{FILE}:2: agent.mtu: is not a whole number"),
        ("[agent]\nmtu = true", f"{FILE}:2: agent.mtu: is not a whole number"),
        ("[agent]\nmtu = 1450.5", f"{FILE}:2: agent.mtu: is not a whole number"),
        ("[dns]\nrfc952 = 1", f"{FILE}:2: dns.rfc952: is not true or false"),
        ("[host]\nname = 1", f"{FILE}:2: host.name: is not a text in quotes"),
        ("[dns]\nlisten = [1]", f"{FILE}:2: dns.listen: is not a list of texts"),
        ("[mesos]\nagent_ports = ['5051']", f"{FILE}:2: mesos.agent_ports: is not a list of whole numbers"),
        ("[dns]\nttl_s = 604801", f"{FILE}:2: dns.ttl_s: 604801 is not in 0 to 604800 seconds"),
        ("[dns]\nttl_s = -1", f"{FILE}:2: dns.ttl_s: -1 is not in 0 to 604800 seconds"),
        ("[agent]\nadd_timeout_s = nan", f"{FILE}:2: agent.add_timeout_s: nan is not in 0.1 to 600 seconds"),
        ("[agent]\nadd_timeout_s = 0", f"{FILE}:2: agent.add_timeout_s: 0 is not in 0.1 to 600 seconds"),
        ("[log]\nlevel = 'loud'", f"{FILE}:2: log.level: 'loud' is not one of debug, info, warning, error"),
        ("[dns]\nonly = ['me']", f"{FILE}:2: dns.only: 'me' is not one of reachable, visible"),
        ("[felix]\nvxlanPort = 70000", f"{FILE}:2: felix.vxlanPort: must be between 1 and 65535"),
        ("[felix]\nvxlanPort = '4789'", f"{FILE}:2: felix.vxlanPort: is not a whole number"),
        ("[felix]\nfloatingIPs = 'yes'", f"{FILE}:2: felix.floatingIPs: must be one of Enabled, Disabled"),
        ("[felix]\nnftablesMarkMask = 0", f"{FILE}:2: felix.nftablesMarkMask: 0x0 leaves no bit of a packet's 32"),
        ("[felix]\nfailsafeInboundHostPorts = ['ssh']", f"{FILE}:2: felix.failsafeInboundHostPorts: 'ssh' is no port"),
        ("[agent]\nadd_timeout_s = 1e999", f"{FILE}:2: agent.add_timeout_s: inf is not in 0.1 to 600 seconds"),
        ("[felix]\nlogSeverityScreen = 'loud'", f"{FILE}:2: log.level: must be one of Trace, Debug"),
        ("[felix]\nlogSeverityScreen = ''", f"{FILE}:2: log.level: is empty"),
        ("[felix]\nlogSeverityScreen = 1", f"{FILE}:2: felix.logSeverityScreen: is not a text in quotes"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_with_file_line_and_key(text, told):
    layer = of_file(text)
    assert only_fault(layer).startswith(told)
    assert layer.said == ()


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("[agent]\nmtux = 1", f"{FILE}:2: agent.mtux: is no setting", "did you mean agent.mtu?"),
        ("mtu = 1", f"{FILE}:1: mtu: is no setting", "did you mean agent.mtu?"),
        (
            "[mesos]\nagent-ports = [1]",
            f"{FILE}:2: mesos.agent-ports: is no setting",
            "did you mean mesos.agent_ports?",
        ),
        ("[x]\nzzz = 1", f"{FILE}:2: x.zzz: is no setting", "`ocicat config default` prints all there are"),
        ("felix = 1", f"{FILE}:1: felix: is a section, not a setting: it is written [felix]", ""),
        (
            "[felix]\nwireguardEnabled = true",
            f"{FILE}:2: felix.wireguardEnabled: is not acted on: traffic",
            "leave it out",
        ),
    ],
)
def test_what_is_no_setting_is_told_with_the_nearest_that_is(text, told, hint):
    (unknown,) = of_file(text).unknown
    assert str(unknown).startswith(told)
    assert unknown.hint == hint


def test_everything_that_is_wrong_is_told_at_once_and_what_is_right_stays():
    layer = of_file('[agent]\nmtu = "x"\nmtux = 1\n[dns]\nttl_s = -1\nzone = "z"\n')
    assert [one.key for one in layer.faults] == ["agent.mtu", "dns.ttl_s"]
    assert [one.key for one in layer.unknown] == ["agent.mtux"]
    assert said(layer) == {"dns.zone": "z"}


@pytest.mark.parametrize(
    ("text", "line"),
    [("[host]\nname = h1\n", 2), ("[host\n", 1), ("a = 1\na = 2\n", 2), ('a = "x\n\n', 1), ("[host]\nname = [1,", 2)],
)
def test_what_is_no_toml_is_told_with_its_line(text, line):
    with pytest.raises(UserError, match=rf"^{re.escape(FILE)}:{line}: is no TOML: "):
        of_file(text)


def test_the_usual_file_may_be_missing_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr("ocicat.settings.reading.DEFAULT_FILE", str(tmp_path / "usual"))
    assert file_layer(str(tmp_path / "usual")).said == ()
    with pytest.raises(NotFound, match="there is none"):
        file_layer(str(tmp_path / "other"))
    (tmp_path / "latin").write_bytes(b'a = "\xe4"')
    with pytest.raises(UserError, match="cannot be read: it is not UTF-8"):
        file_layer(str(tmp_path / "latin"))
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        file_layer(str(tmp_path))
    assert path_of("a", {"OCICAT_CONFIG": "b"}) == "a"
    assert path_of("", {"OCICAT_CONFIG": "b"}) == "b"


KEYS = st.text("abcdefghijklmnop", min_size=1, max_size=6)
TEXTS = st.sampled_from(['"a # b"', "'x = 1'", '"""\n[no]\nk = 1\n"""', "'''\n] # x\n'''", '"\\"["', '"]"'])
VALUES = st.one_of(
    TEXTS,
    st.integers().map(str),
    st.lists(TEXTS, max_size=3).map(lambda each: "[\n  " + ',\n  # [ " comment\n  '.join(each) + "\n]"),
    st.just("true"),
    st.just("1979-05-27T07:32:00Z"),
)
COMMENTS = st.sampled_from(["", "  # a = 1", "  # [x]"])


@given(st.dictionaries(KEYS, st.dictionaries(KEYS, st.tuples(VALUES, COMMENTS), max_size=4), max_size=4), st.data())
def test_every_key_has_the_line_it_stands_on(sections, data):
    lines, wanted = [], {}
    for section, keys in sections.items():
        lines += data.draw(st.sampled_from([[], [""], ["# [c]"], ["   "]]))
        lines.append(data.draw(st.sampled_from([f"[{section}]", f"  [ {section} ] # x", f'["{section}"]'])))
        for key, (value, comment) in keys.items():
            wanted[section, key] = len(lines) + 1
            lines += (data.draw(st.sampled_from(["", "  "])) + f"{key} = {value}{comment}").split("\n")
    found = toml_lines.read("\n".join(lines), FILE)
    assert {one.path: one.line for one in found} == wanted
    document = tomllib.loads("\n".join(lines))
    assert {one.path: one.value for one in found} == {(s, k): document[s][k] for s, k in wanted}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a.b = 1\n\na.c = 2", {"a.b": 1, "a.c": 3}),
        ("\na = {b = 1, c = {d = 2}}\n", {"a.b": 2, "a.c.d": 2}),
        ('"a b".c = 1', {"a b.c": 1}),
        ("[a.b]\nc=1\n[a]\nd=2", {"a.b.c": 2, "a.d": 4}),
        ('[a]\r\nb = """x\r\ny"""\r\nc = 1\r\n', {"a.b": 2, "a.c": 4}),
    ],
)
def test_dotted_keys_and_inline_tables_have_lines_too(text, lines):
    assert {one.key: one.line for one in toml_lines.read(text, FILE)} == lines


@pytest.mark.parametrize(
    ("key", "number", "told"),
    [
        ("felix.vxlanPort", LONG[:400], "is a number of more than 63 bits"),
        ("agent.add_timeout_s", LONG[:400], "is a number of more than 63 bits"),
        ("agent.mtu", f"0x{LONG}", "is a number of more than 63 bits"),
        ("felix.failsafeInboundHostPorts", f"['tcp:{LONG}']", f"'tcp:{LONG}' is no port"),
    ],
    ids=["whole", "number", "hexadecimal", "port"],
)
def test_a_number_that_python_cannot_print_or_convert_is_told(key, number, told):
    layer = of_file(f"\n{key} = {number}")
    assert only_fault(layer) == f"{FILE}:2: {key}: {told}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"[agent]\n\nmtu = {LONG}", f"{FILE}:3: cannot be read: a number of thousands of digits"),
        ("a = " + "[" * 3000, f"{FILE}: cannot be read: lists or tables lie too deep in each other"),
        (".".join("a" * 3000) + " = 1", f"{FILE}: cannot be read: lists or tables lie too deep in each other"),
    ],
    ids=["number", "lists", "tables"],
)
def test_what_python_cannot_read_is_told_too(text, told):
    with pytest.raises(UserError, match=f"^{re.escape(told)}$"):
        of_file(text)


# --- the environment and the command line ----------------------------------------------------------------------------


def test_variables_say_lists_with_blanks_or_commas_and_nothing_when_they_are_empty():
    layer = layers.of_variables(
        {
            "OCICAT_DNS": "10.0.0.1 10.0.0.2,10.0.0.3",
            "OCICAT_AGENT_PORT": "5051 5052",
            "OCICAT_HOST": "",
            "PATH": "/bin",
        }
    )
    assert said(layer) == {"dns.listen": ("10.0.0.1", "10.0.0.2", "10.0.0.3"), "mesos.agent_ports": (5051, 5052)}


def test_felixs_own_variables_are_read_as_felix_reads_them():
    layer = layers.of_variables(
        {
            "FELIX_VXLANPORT": "4790",
            "FELIX_ALLOWVXLANPACKETSFROMWORKLOADS": "true",
            "FELIX_FAILSAFEINBOUNDHOSTPORTS": "none",
            "FELIX_FAILSAFEOUTBOUNDHOSTPORTS": "udp:53,tcp:10.0.0.0/8:2379,22",
            "FELIX_NFTABLESMARKMASK": "0xffff0000",
        }
    )
    assert layer.faults == ()
    assert resolve([layer]).felix() == FelixConfigurationSpec(
        vxlan_port=4790,
        allow_vxlan_packets_from_workloads=True,
        failsafe_inbound_host_ports=(),
        failsafe_outbound_host_ports=(
            ProtoPort(protocol="UDP", port=53),
            ProtoPort(protocol="TCP", port=2379, net="10.0.0.0/8"),
            ProtoPort(protocol="TCP", port=22),
        ),
        nftables_mark_mask=0xFFFF0000,
    )


def test_the_level_of_the_log_may_be_said_in_felixs_words():
    layer = layers.of_variables({"FELIX_LOGSEVERITYSCREEN": "Warning"})
    assert [(one.key, one.value, one.where) for one in layer.said] == [
        ("log.level", "warning", "FELIX_LOGSEVERITYSCREEN")
    ]
    assert (layer.faults, layer.unknown) == ((), ())
    layer = of_file('[felix]\nlogSeverityScreen = "TRACE"\n')
    assert [(one.key, one.value, one.where) for one in layer.said] == [("log.level", "debug", f"{FILE}:2")]
    assert live(resolve([layer])).log_level == "debug"
    both = of_file('[felix]\nlogSeverityScreen = "Fatal"\n[log]\nlevel = "info"\n')
    assert (resolve([both]).text("log.level"), resolve([both]).where("log.level")) == ("info", f"{FILE}:4")
    both = layers.of_variables({"FELIX_LOGSEVERITYSCREEN": "fatal", "OCICAT_LOG_LEVEL": "info"})
    assert [one.value for one in both.said] == ["info", "error"]


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"OCICAT_MTU": "big"}, "OCICAT_MTU: agent.mtu: 'big' is not a whole number"),
        ({"OCICAT_DNS_RFC952": "perhaps"}, "OCICAT_DNS_RFC952: dns.rfc952: 'perhaps' is not true or false"),
        ({"OCICAT_LOG_LEVEL": "loud"}, "OCICAT_LOG_LEVEL: log.level: 'loud' is not one of"),
        ({"FELIX_VXLANPORT": "0"}, "FELIX_VXLANPORT: felix.vxlanPort: must be between 1 and 65535"),
        ({"FELIX_LOGSEVERITYSCREEN": "loud"}, "FELIX_LOGSEVERITYSCREEN: log.level: must be one of Trace, Debug"),
    ],
)
def test_a_variable_that_cannot_be_used_is_told(variables, told):
    assert only_fault(layers.of_variables(variables)).startswith(told)


def test_variables_of_the_compose_file_are_no_mistakes():
    compose = (DOCUMENT.parents[1] / "packaging" / "docker" / "compose.yaml").read_text()
    used = set(re.findall(r"\$\{(OCICAT_[A-Z_]+)", compose))
    assert len(used) == 2
    assert layers.of_variables(dict.fromkeys(used, "x")).unknown == ()


def test_variables_that_nobody_reads_are_told():
    unknown = layers.of_variables({"OCICAT_MTUU": "1", "OCICAT_CACHE": "/x", "FELIX_WIREGUARDENABLED": "true"}).unknown
    assert [(one.where, one.hint) for one in unknown] == [
        ("FELIX_WIREGUARDENABLED", "leave it out"),
        ("OCICAT_MTUU", "did you mean OCICAT_MTU?"),
    ]


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("TRUE", True), ("0", False), ("off", False)])
def test_a_switch_may_be_said_in_some_words(text, value):
    assert from_text(table.setting("dns.rfc952"), text) is value


def test_options_that_are_not_given_say_nothing():
    given = {"host_name": "h1", "dns_listen": (), "dns_rfc952": None, "agent_mtu": 0, "docker_plugin": "/run/x"}
    assert said(options_layer(given)) == {"host.name": "h1", "agent.mtu": 0, "docker.plugin": "/run/x"}


LINE = (
    "/usr/bin/python3 /usr/bin/ocicat agent --host h1 --agent-port 5051 --agent-port=5052 --dns-rfc952 --docker-plugin"
)
WORDS = tuple(f"{LINE} --dns 10.0.0.1 --log-level debug --config /x.toml".split())


def test_an_agent_that_runs_tells_what_it_was_started_with():
    begun = started(Process(WORDS, ("OCICAT_CONFIG=/y.toml",)))
    assert begun.file == "/x.toml"
    assert dict(begun.options) == {
        "host.name": "h1",
        "mesos.agent_ports": (5051, 5052),
        "dns.rfc952": True,
        "docker.plugin": "/run/docker/plugins/ocicat.sock",
        "dns.listen": ("10.0.0.1",),
        "log.level": "debug",
    }
    assert started(Process(("ocicat", "agent"), ("OCICAT_CONFIG=/y.toml",))).file == "/y.toml"
    assert dict(started(Process(("ocicat", "agent", "--docker-plugin", "/s", "--socket", ""))).options) == {
        "docker.plugin": "/s",
        "agent.socket": "",
    }


def test_an_agent_is_told_from_other_processes():
    assert is_agent(WORDS)
    assert is_agent(["python3", "-m", "ocicat", "agent"])
    assert not is_agent(["mesos", "agent"])
    assert not is_agent(["agent"])


# --- who goes before whom ---------------------------------------------------------------------------------------------


def test_the_command_line_goes_before_the_environment_before_the_file_before_the_datastore():
    every = [
        layers.of_options([("log.level", "error")]),
        layers.of_variables({"OCICAT_LOG_LEVEL": "warning", "FELIX_VXLANPORT": "4792"}),
        of_file('[log]\nlevel = "debug"\n[felix]\nvxlanPort = 4791\nlogPrefix = "file"\n'),
        layers.of_felix(
            FelixConfigurationSpec(log_severity_screen="Debug", vxlan_port=4790, log_prefix="node"), "node.h1"
        ),
        layers.of_felix(FelixConfigurationSpec(vxlan_port=4788, log_prefix="all", floating_i_ps="Enabled"), "default"),
    ]
    resolved = resolve(every)
    assert (resolved.text("log.level"), resolved.where("log.level")) == ("error", "--log-level")
    assert (resolved.whole("felix.vxlanPort"), resolved.where("felix.vxlanPort")) == (4792, "FELIX_VXLANPORT")
    assert [one.where for one in resolved.of("felix.vxlanPort").hidden] == [
        f"{FILE}:4",
        "FelixConfiguration node.h1",
        "FelixConfiguration default",
    ]
    assert resolved.text("felix.logPrefix") == "file"
    assert (resolved.text("felix.floatingIPs"), resolved.where("felix.floatingIPs")) == (
        "Enabled",
        "FelixConfiguration default",
    )
    assert (resolved.text("felix.floatingIPs"), resolve(every[:4]).text("felix.floatingIPs")) == ("Enabled", "Disabled")
    local = resolved.felix()
    assert local == FelixConfigurationSpec(vxlan_port=4792, log_prefix="file")  # the datastore's own are not local
    assert resolve(every[3:]).text("log.level") == "debug"


def test_an_empty_list_is_a_value():
    resolved = resolve([of_file("felix.failsafeInboundHostPorts = []")])
    assert resolved.felix().failsafe_inbound_host_ports == ()


def test_a_field_of_the_datastore_that_cannot_be_used_is_passed_over_and_one_that_nothing_reads_is_told():
    spec = FelixConfigurationSpec(vxlan_port=70000, wireguard_enabled=True, log_prefix="x")
    layer = layers.of_felix(spec, "default")
    assert said(layer) == {"felix.logPrefix": "x"}
    assert only_fault(layer).startswith("FelixConfiguration default: felix.vxlanPort: is passed over")
    assert [(one.key, one.value) for one in layer.ignored] == [("felix.wireguardEnabled", True)]


def test_every_field_that_is_acted_on_can_be_told_as_a_setting():
    members = {member.name: member for member in record(FelixConfigurationSpec).members}
    for one in felix.FELIX:
        spec = felix_fields.spec({one.key: one.example})
        assert getattr(spec, members[one.felix].attribute) != members[one.felix].unset
        assert said(layers.of_felix(spec, "default")) == {one.key: one.example}


def test_what_becomes_different_when_the_file_is_read_again():
    before = resolve([of_file("agent.mtu = 1450\nfelix.vxlanPort = 4790\n")])
    after = resolve([of_file("agent.mtu = 1400\nfelix.vxlanPort = 4790\nlog.level = 'debug'\n")])
    assert [(one.setting.key, one.setting.live) for one in changes(before, after)] == [
        ("agent.mtu", False),
        ("log.level", True),
    ]
    assert list(changes(after, after)) == []


# --- what the agent makes of it ---------------------------------------------------------------------------------------

WHOLE = """
[store]
url = "etcd://h:2379"
[host]
name = "h1"
address = "10.0.0.11/24"
address6 = "2001:db8::11/64"
[agent]
socket = "/run/x.sock"
host_root = "/proc/1/root"
mtu = 1400
add_timeout_s = 5
resync_interval_s = 30.5
[mesos]
agent_ports = [5052]
agent = "10.1.0.1:5051"
credential = "/c"
master = "10.0.0.1:5050"
[docker]
plugin = "/run/p.sock"
engine = "/run/e.sock"
[dns]
listen = ["10.0.0.11"]
zone = "z"
upstream = ["10.0.0.2"]
only = ["visible"]
ttl_s = 9
rfc952 = true
[flows]
log = "/f.log"
[log]
level = "debug"
style = "json"
[felix]
vxlanPort = 4790
"""


def test_every_setting_of_the_file_arrives():
    config = agent_config(resolve([of_file(WHOLE)]), FILE).config
    assert check(config) is config
    plain = (config.store, config.host, config.address, config.address6, config.socket, config.host_root, config.mtu)
    assert plain == ("etcd://h:2379", "h1", "10.0.0.11/24", "2001:db8::11/64", "/run/x.sock", "/proc/1/root", 1400)
    assert (config.add_timeout_s, config.resync_interval_s, config.agent_ports) == (5.0, 30.5, (5052,))
    assert (config.mesos_agent, config.mesos_credential, config.flow_log) == ("10.1.0.1:5051", "/c", "/f.log")
    assert (config.docker.plugin, config.docker.engine) == ("/run/p.sock", "/run/e.sock")
    dns = config.dns
    assert (dns.master, dns.ttl_s, dns.naming.zone, dns.naming.rfc952) == ("10.0.0.1:5050", 9, "z", True)
    assert ([str(one) for one in dns.listen], [str(one) for one in dns.upstream]) == (["10.0.0.11:53"], ["10.0.0.2:53"])
    assert dns.only == {"visible"}
    assert (config.live.log_level, config.live.log_style) == ("debug", "json")
    assert config.live.felix == FelixConfigurationSpec(vxlan_port=4790)


def test_the_level_of_the_log_is_the_datastores_where_this_host_says_none():
    assert live(resolve([])).log_level == ""
    assert (
        live(resolve([layers.of_felix(FelixConfigurationSpec(log_severity_screen="Debug"), "default")])).log_level == ""
    )


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ('address = "10.0.0.11/24"', "host.address: host address: 'x' is not an IP address"),
        ('name = "h1"', "host.name: host name 'X' is not a DNS name"),
        ('agent = "10.1.0.1:5051"', "mesos.agent: Mesos agent: 'fd00::1' is not"),
        ('listen = ["10.0.0.11"]', "dns.listen: DNS: --dns 'x' is no address"),
        ('upstream = ["10.0.0.2"]', "dns.upstream: DNS: --dns-upstream 'x' is no address"),
        ('zone = "z"', "dns.zone: DNS: zone 'x y'"),
        ('plugin = "/run/p.sock"', "docker.plugin: --docker-plugin 'x' is no socket"),
        ('engine = "/run/e.sock"', "docker.engine: --docker-engine 'x' is no socket"),
        ('log = "/f.log"', "flows.log: flow log 'x' is not the absolute path"),
    ],
)
def test_what_cannot_work_is_told_with_file_line_and_key(changed, told):
    value = {"zone": "x y", "name": "X", "agent": "fd00::1"}.get(changed.partition(" ")[0], "x")
    bad = re.sub(r'= (\[?)"[^"]*"', rf'= \1"{value}"', changed)
    made = agent_config(resolve([of_file(WHOLE.replace(changed, bad))]), FILE)
    assert made.config is None
    (fault,) = made.faults
    assert str(fault).startswith(f"{FILE}:{WHOLE.splitlines().index(changed) + 1}: {told}")


def test_settings_that_contradict_each_other_are_told():
    text = 'host.name = "h1"\nhost.address = "10.0.0.1/24"\ndns.upstream = ["10.0.0.2"]\n'
    text += 'mesos.agent = "off"\nmesos.credential = "/c"\n'
    faults = agent_config(resolve([of_file(text)]), FILE).faults
    assert [str(one).partition(" (")[0] for one in faults] == [
        f"{FILE}:3: dns.upstream: no DNS is served, so nothing can be said about it",
        f"{FILE}:5: mesos.credential: a credential for the Mesos agent is given, and it is not to be asked",
    ]


def test_what_must_be_said_is_asked_for_with_every_way_to_say_it():
    name, address = agent_config(resolve([]), FILE).faults
    assert str(name) == "host.name: is not set"
    assert name.hint.startswith(f"--host, OCICAT_HOST, or name in [host] of {FILE}")
    assert address.key == "host.address"


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("zk://me:secret@h:2181/mesos", "zk://me:***@h:2181/mesos"),
        ("zk://me:se:c/ret@h", "zk://me:***@h"),
        ("zk://mesos:s3cr@tWord@10.0.0.5:2181/mesos", "zk://mesos:***@10.0.0.5:2181/mesos"),
        ("zk://u:pa,ss?w#x@h1:2181,h2:2181/mesos", "zk://u:***@h1:2181,h2:2181/mesos"),
        ("zk://a@b:se/cret@[fd00::1]:2181/m", "zk://a@b:***@[fd00::1]:2181/m"),
        ("http://10.0.0.1:5050/x: by me@h", "http://10.0.0.1:5050/x: by me@h"),
        ("'zk://u:p@h' is no address", "'zk://u:***@h' is no address"),
        ("etcd://h1:2379,h2:2379?user=a&password-file=/f", "etcd://h1:2379,h2:2379?user=a&password-file=/f"),
        ("a zk://u:p@h and http://x:y@z", "a zk://u:***@h and http://x:***@z"),
    ],
)
def test_a_password_in_an_address_is_not_shown(text, shown):
    assert masked(text) == shown


@pytest.mark.parametrize("password", ["secret", "s3cr@tWord", "pa/ss", "a,b", "w?y=z", "two words", "a:b@c/d@e", "x#y"])
def test_no_password_that_masters_are_found_with_is_printed(password):
    address = f"zk://me:{password}@10.0.0.5:2181/mesos"
    assert parse_masters(address).credentials == f"me:{password}"
    assert plain_text(address) == masked_value(address) == "zk://me:***@10.0.0.5:2181/mesos"
    assert plain_text(("x", address)) == "x, zk://me:***@10.0.0.5:2181/mesos"
    assert masked_value((address,)) == ("zk://me:***@10.0.0.5:2181/mesos",)
    assert holds_password(address)


def test_who_may_read_or_write_the_file_is_told():
    resolved = resolve([of_file('[mesos]\nmaster = "zk://me:secret@h/m"\ncredential = "/c"\n')])
    told = [str(one) for one in checks.file_faults(FileFacts(FILE, 1000, 0o646), resolved, user=0)]
    assert told == [
        f"{FILE}: belongs to user 1000, who may change what the agent does",
        f"{FILE}: mode 0646: others may change what the agent does",
        f"{FILE}:2: mesos.master: holds a password, and everybody may read {FILE}",
    ]
    assert len(list(checks.file_faults(FileFacts(FILE, 0, 0o620), resolved, user=0))) == 1
    assert list(checks.file_faults(FileFacts(FILE, 0, 0o600), resolved, user=0)) == []
    assert list(checks.file_faults(FileFacts(FILE, 1000, 0o644), resolve([]), user=1000)) == []


def test_who_may_read_the_files_that_settings_name_is_told():
    text = '[store]\nurl = "etcd://h?ca=/ca&cert=/c&key=/k&user=u&password-file=/p"\n[mesos]\ncredential = "/m"\n'
    assert list(checks.secret_files(resolve([of_file(text)]))) == [
        ("mesos.credential", "/m"),
        ("store.url", "/k"),
        ("store.url", "/p"),
    ]
    assert [str(one) for one in checks.secret_faults("a.b", "f:1", "/k", FileFacts("/k", 0, 0o644))] == [
        "f:1: a.b: /k holds a secret, and everybody may read it (mode 0644)"
    ]
    assert list(checks.secret_faults("a.b", "f:1", "/k", FileFacts("/k", 0, 0o640))) == []
    assert [str(one) for one in checks.secret_faults("a.b", "f:1", "/k", None)] == [
        "f:1: a.b: /k is no file that can be read"
    ]


# --- what is written about it -----------------------------------------------------------------------------------------

DOCUMENT = Path(__file__).parents[2] / "docs" / "configuration.md"


def documented(one):
    default = one.default_says or (f"`{plain_text(one.default)}`" if one.default not in ("", ()) else "none")
    unit = f" ({one.unit})" if one.unit else ""
    option = f"`{one.option}`" if one.option else ""
    return f"| `{one.key}` | {one.does}{unit} | {default} | {option} | `{one.variable}` | {one.effect} |"


def test_the_document_lists_all_settings_as_they_are():
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    assert rows == [documented(one) for one in table.SETTINGS]


def test_the_document_names_no_variable_that_nobody_reads():
    named = set(re.findall(r"\b(?:OCICAT|FELIX)_[A-Z0-9_]+", DOCUMENT.read_text()))
    assert named <= {one.variable for one in table.SETTINGS} | table.FELIX_VARIABLES.keys() | layers.OTHER_VARIABLES


def test_no_part_of_the_program_reads_a_variable_that_is_no_setting():
    used = set()
    for path in (DOCUMENT.parents[1] / "src").rglob("*.py"):
        used |= set(re.findall(r"[\"$`]((?:OCICAT)_[A-Z0-9_]+)", path.read_text()))
    assert used - {"OCICAT_"} <= {one.variable for one in table.SETTINGS} | layers.OTHER_VARIABLES
