"""Every finding: none on a host that was set up, and the one it names on a host made bad in exactly that way."""

import json

import pytest
from setup_bed import AGENT_PROCESS, PACKAGES, SHAPES, found, host, install, words

from ocicat.mesos.setup import facts
from ocicat.mesos.setup.facts import Running

FLAGS = "etc/mesos-slave"
CONFIG = "etc/ocicat/cni/ocicat.conf"
MODULES = "etc/ocicat/modules.json"
LIBRARY = "usr/lib64/mesos/libmesos_network_isolator.so"


@pytest.fixture(autouse=True)
def resolving(monkeypatch):
    monkeypatch.setattr(facts, "_resolves", lambda: True)


@pytest.fixture
def good(tmp_path):
    tree = host(tmp_path, {**PACKAGES, **AGENT_PROCESS})
    install(tree, default_network="ocicat")
    return tree


@pytest.fixture
def old(tmp_path):
    tree = host(tmp_path, {**PACKAGES, **AGENT_PROCESS, f"/{LIBRARY}": "library"})
    install(tree, (0, 28))
    return tree


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("version", [(0, 24), (0, 28), (1, 0), (1, 11)])
def test_a_host_that_was_set_up_has_none(tmp_path, shape, version):
    tree = host(tmp_path, {**shape, **AGENT_PROCESS, f"/{LIBRARY}": "library"})
    install(tree, version)
    assert found(tree, version) == []


def write(text):
    return lambda path: path.write_text(text)


def remove(path):
    path.unlink()


BAD = {
    "no directory of plugins": (f"{FLAGS}/network_cni_plugins_dir", remove, ["flag"], "no --network_cni_plugins_dir"),
    "no such directory": (
        f"{FLAGS}/network_cni_plugins_dir",
        write("/opt/ocicat/cni:/opt/none"),
        ["directory"],
        "/opt/none",
    ),
    "plugin missing": ("opt/ocicat/cni/ocicat", remove, ["plugin"], "no program ocicat"),
    "plugin not executable": ("opt/ocicat/cni/ocicat", lambda path: path.chmod(0o644), ["plugin"], "no program ocicat"),
    "isolation": (
        f"{FLAGS}/isolation",
        write("cgroups/cpu,network/port_mapping"),
        ["isolation"],
        "network/port_mapping",
    ),
    "launcher": (f"{FLAGS}/launcher", write("posix"), ["launcher"], "posix"),
    "containerizers": (f"{FLAGS}/containerizers", write("docker"), ["containerizers"], "docker"),
    "version of results": (
        CONFIG,
        write('{"cniVersion": "0.3.1", "name": "ocicat", "type": "ocicat"}'),
        ["cni-version"],
        "0.3.1",
    ),
    "no JSON": ("etc/ocicat/cni/x.conf", write("{"), ["network"], "x.conf"),
    "a list": ("etc/ocicat/cni/x.conflist", write('{"name": "x", "plugins": []}'), ["network"], "a list of plugins"),
    "no type": ("etc/ocicat/cni/x.conf", write('{"name": "x"}'), ["network"], "it needs a name and a type"),
    "twice": (
        "etc/ocicat/cni/x.conf",
        write('{"name": "ocicat", "type": "bridge"}'),
        ["network"],
        "has the name ocicat",
    ),
    "none of ours": (CONFIG, write('{"name": "ocicat", "type": "bridge"}'), ["network"], "no network has type ocicat"),
    "default network": (
        f"{FLAGS}/default_container_info",
        write('{"network_infos": [{"name": "x"}]}'),
        ["default-network"],
        "no network x",
    ),
    "default container": (f"{FLAGS}/default_container_info", write("{"), ["default-network"], "default_container_info"),
    "reboot": (
        f"{FLAGS}/network_cni_root_dir_persist",
        remove,
        ["root-dir-persist"],
        "no --network_cni_root_dir_persist",
    ),
    "registration": (f"{FLAGS}/executor_registration_timeout", write("30secs\n"), ["registration-timeout"], "30secs"),
    "port": (f"{FLAGS}/port", write("5052"), ["port"], "port 5052"),
    "hostname": (f"{FLAGS}/hostname", write("h1.example.com"), ["hostname"], "h1.example.com"),
    "no ocicat agent": ("proc/42/cmdline", remove, ["ocicat-agent"], "no ocicat agent"),
    "its socket": ("proc/42/cmdline", write("ocicat\0agent\0--socket\0/x\0"), ["socket"], "listens on /x"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_host_made_bad_in_one_way_has_that_finding(good, bad):
    path, make, wanted, text = BAD[bad]
    make(good.root / path)
    assert words(good) == wanted
    (one,) = found(good)
    assert text in one.problem
    assert one.breaks
    assert one.mend


OLD = {
    "isolator": (f"{FLAGS}/isolation", write("posix/cpu"), ["isolation"], "NetworkIsolator"),
    "hook": (f"{FLAGS}/hooks", write("mine"), ["hooks"], "NetworkHook"),
    "no modules": (f"{FLAGS}/modules", remove, ["modules"], "no --modules"),
    "library": (LIBRARY, remove, ["modules"], f"there is no /{LIBRARY}"),
    "plugin": ("opt/ocicat/ocicat-netmodules", remove, ["modules"], "there is no /opt/ocicat/ocicat-netmodules"),
    "others": (
        MODULES,
        lambda path: path.write_text(path.read_text().replace("ocicat-netmodules", "x")),
        ["modules", "modules"],
        "not those of ocicat",
    ),
}


@pytest.mark.parametrize("bad", OLD)
def test_the_same_for_the_module_of_old_versions(old, bad):
    path, make, wanted, text = OLD[bad]
    make(old.root / path)
    assert words(old, (0, 28)) == wanted
    assert text in found(old, (0, 28))[0].problem


def test_a_name_that_does_not_resolve(good, monkeypatch):
    monkeypatch.setattr(facts, "_resolves", lambda: False)
    assert words(good) == ["hostname"]
    assert words(good, running=running(good)) == []


def running(tree, **more):
    given = {
        name: (tree.root / FLAGS / name).read_text().strip()
        for name in ("network_cni_plugins_dir", "network_cni_config_dir")
    }
    return Running("1.11.0", "h1", {**given, **more})


def running_with(told, **more):
    return Running(told.version, told.hostname, {**told.settings, **more})


def test_a_mesos_agent_that_runs_with_these_flags_is_right(good):
    assert words(good, running=running(good)) == []


def test_a_mesos_agent_that_was_not_restarted(good):
    (one,) = found(good, running=running(good, network_cni_config_dir="/etc/cni"))
    assert (one.about, one.mend) == ("restart", "restart the Mesos agent")
    assert "--network_cni_config_dir=/etc/cni" in one.problem


def test_flags_that_only_the_running_agent_knows_of_count(good):
    told = running(good, network_cni_root_dir_persist="true")
    for name in (*told.settings, "default_container_info"):
        (good.root / FLAGS / name).unlink()
    assert words(good) == ["flag", "flag", "network", "root-dir-persist"]
    assert words(good, running=told) == []
    assert words(good, running=running_with(told, port="5052")) == ["port"]


def test_modules_that_only_the_running_agent_knows_of_are_not_missed(old):
    (old.root / FLAGS / "modules").unlink()
    assert words(old, (0, 28), running=Running("0.28.2", "h1")) == ["modules", "restart", "restart"]
    given = {name: (old.root / FLAGS / name).read_text().strip() for name in ("isolation", "hooks")}
    assert words(old, (0, 28), running=Running("0.28.2", "h1", {**given, "modules": "libraries {}"})) == []


def test_the_name_that_the_running_agent_goes_by_counts(good):
    assert words(good, running=Running("1.11.0", "h2", running(good).settings)) == ["hostname"]


def test_only_an_ocicat_agent_counts_as_one(tmp_path):
    lines = {
        "/proc/1/cmdline": "ssh-agent\0agent\0",
        "/proc/2/cmdline": "/usr/sbin/mesos-agent\0",
        "/proc/x/cmdline": "",
    }
    tree = host(tmp_path, lines)
    assert facts.ocicat_agent(tree, "/s") is None
    host(
        tmp_path,
        {
            "/proc/3/cmdline": "python\0-m\0ocicat\0agent\0--agent-port=1\0--agent-port\x002\0",
            "/proc/3/environ": "OCICAT_HOST=h\0",
        },
    )
    assert facts.ocicat_agent(tree, "/s") == facts.Own("h", (1, 2), "/s")


def test_an_ocicat_agent_may_be_told_by_its_file(tmp_path):
    files = {
        "/proc/3/cmdline": "ocicat\0agent\0--config\0/own.toml\0",
        "/own.toml": '[host]\nname = "h"\naddress = "10.0.0.1/24"\n[agent]\nsocket = "/t"\n[mesos]\nagent_ports = [7]\n',
    }
    tree = host(tmp_path, files)
    assert facts.ocicat_agent(tree, "/s") == facts.Own("h", (7,), "/t", facts.Endpoint("10.0.0.1", 7))
    host(tmp_path, {"/own.toml": "[host"})
    assert facts.ocicat_agent(tree, "/s") == facts.Own(socket="/s")


def agent(*words, **variables):
    text = "".join(f"{name}={value}\0" for name, value in variables.items())
    line = "\0".join(["ocicat", "agent", "--host", "h1", "--address", "10.0.0.1/24", *words, ""])
    return {"/proc/42/cmdline": line, "/proc/42/environ": f"PATH=/bin\0{text}"}


def asked(tmp_path, *words, **variables):
    tree = host(tmp_path, agent(*words, **variables))
    return str(facts.ocicat_agent(tree, "/s").asks)


def test_whom_an_ocicat_agent_asks(tmp_path):
    assert asked(tmp_path) == "10.0.0.1:5051"
    assert asked(tmp_path, "--agent-port", "5052", "--agent-port=5051") == "10.0.0.1:5052"
    assert asked(tmp_path, OCICAT_MESOS_AGENT="h9") == "h9:5051"
    assert asked(tmp_path, "--mesos-agent=http://[fd00::1]:6/", OCICAT_MESOS_AGENT="h9") == "[fd00::1]:6"
    assert asked(tmp_path, "--mesos-agent", "off") == "None"
    assert asked(tmp_path, "--mesos-agent", "no:port:at:all") == "None"
    assert asked(tmp_path, "--address", "", OCICAT_ADDRESS="10.0.0.2/24") == "None"


@pytest.mark.parametrize(
    ("flags", "words", "said"),
    [
        ({"ip": "10.0.0.1"}, (), ""),
        ({"ip": "0.0.0.0"}, (), ""),
        (
            {"ip": "10.9.9.9"},
            (),
            "asks the Mesos agent at 10.0.0.1:5051 who lives in its containers, which listens on 10.9",
        ),
        ({"ip": "10.9.9.9"}, ("--mesos-agent", "10.9.9.9"), ""),
        ({"ip": "10.9.9.9"}, ("--mesos-agent", "h1.example.com"), ""),
        ({"ip": "10.9.9.9"}, ("--mesos-agent", "off"), ""),
        ({"port": "5052"}, ("--agent-port=5051", "--agent-port=5052"), "which listens on 10.0.0.1:5052"),
        ({"authenticate_http_readwrite": "true"}, (), "has no credential"),
        ({"authenticate_http_readwrite": "true"}, ("--mesos-credential", "/etc/c"), ""),
        ({"authenticate_http_readwrite": "true"}, ("--mesos-agent", "off"), ""),
    ],
)
def test_an_ocicat_agent_that_asks_in_the_wrong_place(good, flags, words, said):
    host(good.root, agent(*words) | {f"/{FLAGS}/{name}": text for name, text in flags.items()})
    problems = [(one.about, one.problem) for one in found(good)]
    assert [about for about, _ in problems] == (["identity"] if said else [])
    assert all(said in problem for _, problem in problems)


def test_a_host_on_which_nothing_was_done_is_told_what_to_do(tmp_path):
    tree = host(tmp_path, {**PACKAGES, **AGENT_PROCESS})
    assert words(tree) == ["flag", "flag", "network", "root-dir-persist"]
    assert json.dumps([one.mend for one in found(tree)]).count("`ocicat mesos install`") == 3
