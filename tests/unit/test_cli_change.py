"""The commands that change resources: what they write, what they say about it, and what they refuse, all or nothing."""

from __future__ import annotations

import json

import pytest
import yaml
from cli_bed import Shell

from ocicat.model import keys
from ocicat.store.base import Put

API = "projectcalico.org/v3"
POOL = """\
apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: default
spec:
  cidr: 10.65.0.0/16
"""
TIER = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: %s}\nspec: {order: %s}\n"
POLICY = """\
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: {name: web}
spec:
  selector: app == 'web'
  ingress:
  - action: Allow
    protocol: TCP
    destination:
      ports: [%s]
"""


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def written(tmp_path):
    """A file in the directory that the shell is in."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    return write


def names(shell):
    return shell.ok("get", "all", "-A", "-o", "name").out.split()


def spec(shell, *words):
    return json.loads(shell.ok("get", *words, "-o", "json").out)["spec"]


# --- create, apply, replace -------------------------------------------------------------------------------------


def test_create_says_a_line_for_each_object(shell, written):
    ended = shell.ok("create", "-f", written("f.yaml", f"{POOL}---\n{POLICY % 80}"))
    assert ended.out == "ippool/default created\nnetworkpolicy/default/web created\n"
    assert ended.err == "2 created\n"
    assert shell.ok("create", "-f", written("g.yaml", TIER % ("a", 1))).err == ""


def test_create_of_what_is_there_is_3_and_creates_nothing(shell, written):
    shell.ok("create", "-f", written("f.yaml", POOL))
    ended = shell("create", "-f", written("g.yaml", f"{TIER % ('a', 1)}---\n{POOL}"))
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.startswith("ocicat: g.yaml:6: IPPool default: exists already")
    assert names(shell) == ["ippool/default"]
    skipped = shell.ok("create", "-f", "g.yaml", "--skip-exists")
    assert skipped.out == "tier/a created\nippool/default skipped\n"


def test_apply_creates_changes_and_leaves_alone(shell, written):
    file = written("f.yaml", f"{POOL}---\n{POLICY % 80}")
    assert shell.ok("apply", "-f", file).err == "2 created\n"
    assert shell.ok("apply", "-f", file).err == "2 unchanged\n"
    written("f.yaml", f"{POOL}---\n{POLICY % 81}---\n{TIER % ('a', 1)}")
    ended = shell.ok("apply", "-f", file)
    assert ended.out == "ippool/default unchanged\nnetworkpolicy/default/web configured\ntier/a created\n"
    assert ended.err == "1 unchanged, 1 configured, 1 created\n"
    assert spec(shell, "np/web")["ingress"][0]["destination"] == {"ports": [81]}


def test_replace_of_nothing_is_5(shell, written):
    shell.ok("create", "-f", written("f.yaml", TIER % ("a", 1)))
    ended = shell("replace", "-f", written("g.yaml", f"{TIER % ('a', 2)}---\n{TIER % ('b', 2)}"))
    assert (ended.code, ended.out) == (5, "")
    assert ended.err.startswith("ocicat: g.yaml:6: Tier b: ")
    assert spec(shell, "tier/a")["order"] == 1
    assert shell.ok("replace", "-f", written("h.yaml", TIER % ("a", 2))).out == "tier/a replaced\n"


def test_a_version_that_is_no_longer_there_is_3(shell, written):
    shell.ok("create", "-f", written("f.yaml", TIER % ("a", 1)))
    old = written("old.yaml", shell.ok("get", "tier/a", "-o", "yaml").out)
    shell.ok("patch", "tier", "a", "-p", '{"spec": {"order": 2}}')
    for command in ("apply", "replace", "delete"):
        ended = shell(command, "-f", old)
        assert (ended.code, ended.out) == (3, ""), command
        assert "Tier a: " in ended.err
    assert spec(shell, "tier/a")["order"] == 2


def test_a_namespace_for_those_that_say_none(shell, written):
    file = written("f.yaml", f"{POOL}---\n{POLICY % 80}")
    assert "networkpolicy/shop/web created" in shell.ok("apply", "-f", file, "-n", "shop").out
    other = written("g.yaml", (POLICY % 80).replace("{name: web}", "{name: web, namespace: other}"))
    ended = shell("apply", "-f", other, "-n", "shop")
    assert (ended.code, ended.err) == (2, "ocicat: g.yaml:3: metadata.namespace is 'other', and 'shop' with -n\n")
    assert shell.ok("apply", "-f", other).out == "networkpolicy/other/web created\n"


def test_a_store_that_nobody_made_ready_can_be_written(shell, written):
    assert shell.read(keys.CLUSTER_INFORMATION) is None
    shell.ok("apply", "-f", written("f.yaml", POOL))
    assert names(shell) == ["ippool/default"]


@pytest.mark.parametrize("command", ["replace", "delete"])
def test_what_needs_something_there_makes_no_store(shell, written, tmp_path, command):
    assert shell(command, "-f", written("f.yaml", POOL)).code == 5
    assert shell.ok("apply", "-f", "f.yaml", "--dry-run").out.startswith("ippool/default created (dry run)")
    assert [path.name for path in tmp_path.iterdir()] == ["f.yaml"]


# --- every problem, one line each -------------------------------------------------------------------------------

BAD = """\
apiVersion: projectcalico.org/v3
kind: IPPool
metadata: {name: a}
spec:
  cidr: 10.65.0.1/16
  bogus: 3
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: good}
---
apiVersion: projectcalico.org/v3
kind: Tier
metadata: {name: b}
spec:
  order: high
---
apiVersion: projectcalico.org/v3
kind: Pool
---
metadata: {name: c}
"""


@pytest.mark.parametrize("command", ["create", "apply", "replace", "validate"])
def test_all_problems_are_told_with_their_lines_and_nothing_is_written(shell, written, tmp_path, command):
    ended = shell(command, "-f", written("bad.yaml", BAD))
    assert (ended.code, ended.out) == (2, "")
    lines = ended.err.splitlines()
    starts = [
        "ocicat: bad.yaml:5: IPPool a: spec.cidr = \"10.65.0.1/16\": ",
        "ocicat: bad.yaml:6: IPPool a: spec.bogus: ",
        "ocicat: bad.yaml:16: Tier b: spec.order: expected",
        "ocicat: bad.yaml:19: ",
        "ocicat: bad.yaml:21: ",
        "5 problems",
    ]  # fmt: skip
    assert "'Pool'" in lines[3]
    assert [line[: len(start)] for line, start in zip(lines, starts, strict=True)] == starts
    assert [path.name for path in tmp_path.iterdir()] == ["bad.yaml"]


def test_files_that_cannot_be_read_are_all_told(shell, written):
    written("d/a.yaml", "a: b: c\n")
    written("d/b.json", "{")
    written("d/c.yml", TIER % ("c", 1))
    ended = shell("apply", "-f", "d")
    assert (ended.code, ended.out) == (2, "")
    assert [line.split(" ")[1] for line in ended.err.splitlines()[:2]] == ["d/a.yaml:1:5:", "d/b.json:1:2:"]


def test_words_that_can_be_read_in_two_ways_hide_no_other_problem(shell, written):
    tier = "apiVersion: projectcalico.org/v3\nkind: Tier\nmetadata: {name: on, labels: {a: yes}}\n"
    ended = shell("apply", "-f", written("f.yaml", f"{tier}---\n{TIER % ('b', 'high')}"))
    assert (ended.code, ended.out) == (2, "")
    assert [line.split(" ", 2)[1:] for line in ended.err.splitlines()[:3]] == [
        ["f.yaml:3:", "metadata.name: on means true in YAML: put it in quotes"],
        ["f.yaml:3:", "metadata.labels.a: yes means true in YAML: put it in quotes"],
        ["f.yaml:8:", "Tier b: spec.order: expected `float | null`, got `str`"],
    ]


def test_each_writes_what_can_be_written(shell, written):
    ended = shell("apply", "-f", written("bad.yaml", BAD), "--each")
    assert (ended.code, ended.out) == (2, "tier/good created\n")
    assert ended.err.splitlines()[-1] == "5 problems"
    assert names(shell) == ["tier/good"]


def test_each_with_nothing_but_one_conflict_is_3(shell, written):
    shell.ok("create", "-f", written("f.yaml", TIER % ("a", 1)))
    ended = shell("create", "--each", "-f", written("g.yaml", f"{TIER % ('a', 1)}---\n{TIER % ('b', 1)}"))
    assert (ended.code, ended.out) == (3, "tier/b created\n")


def test_rules_that_need_the_datastore(shell, written):
    shell.ok("apply", "-f", written("f.yaml", POOL))
    other = written("g.yaml", POOL.replace("default", "other"))
    ended = shell("apply", "-f", other)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(
        'ocicat: g.yaml:6: IPPool other: spec.cidr = "10.65.0.0/16": overlaps with the pool default'
    )
    assert shell.ok("validate", "-f", other).out == "ippool/other valid\n"


def test_validate_needs_no_store(shell, written, tmp_path):
    assert shell.ok("validate", "-f", written("f.yaml", f"{POOL}---\n{POLICY % 80}")).out == (
        "ippool/default valid\nnetworkpolicy/default/web valid\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["f.yaml"]


FELIX = "apiVersion: projectcalico.org/v3\nkind: FelixConfiguration\nmetadata: {name: default}\nspec:\n  logPrefix: x\n"


def test_what_has_no_effect_is_told_with_its_line_and_done(shell, written):
    file = written("f.yaml", FELIX + "  bpfEnabled: true\n")
    line = "ocicat: f.yaml:6: FelixConfiguration default: spec.bpfEnabled = true: has no effect: "
    for command, out in (
        ("validate", "valid"),
        ("create", "created"),
        ("apply", "unchanged"),
        ("replace", "unchanged"),
    ):
        ended = shell.ok(command, "-f", file)
        assert ended.out == f"felixconfiguration/default {out}\n"
        assert ended.err.startswith(line)
        assert ended.err.count("\n") == 1


def test_what_is_not_supported_is_refused_with_its_line(shell, written):
    file = written("f.yaml", FELIX + "  bpfEnabled: true\n  wireguardEnabled: true\n")
    for command in ("validate", "create", "apply"):
        ended = shell(command, "-f", file)
        assert (ended.code, ended.out) == (2, "")
        assert ended.err == (
            "ocicat: f.yaml:7: FelixConfiguration default: spec.wireguardEnabled = true: is not supported: "
            "traffic between hosts is not encrypted here (leave it out)\n"
        )
    patch = ("patch", "felixconfig", "default", "-p", '{"spec": {"wireguardEnabled": true}}')
    shell.ok("create", "-f", written("g.yaml", FELIX))
    assert shell(*patch).err.startswith("ocicat: FelixConfiguration default: spec.wireguardEnabled = true: is not")


# --- files ------------------------------------------------------------------------------------------------------


def test_directories_are_read_in_order(shell, written):
    for name in ("d/b.yaml", "d/a.json", "d/c.yml", "d/in/d.yaml", "d/readme.md", "d/e.yaml.bak"):
        written(name, TIER % (name[-6] if name.endswith(("yaml", "json")) else name[2], 1))
    assert shell.ok("validate", "-f", "d/b.yaml", "-f", "d/c.yml").out == "tier/b valid\ntier/c valid\n"
    written("d/a.json", json.dumps({"apiVersion": API, "kind": "Tier", "metadata": {"name": "a"}}))
    assert shell.ok("apply", "-f", "d").out == "tier/a created\ntier/b created\ntier/c created\n"
    assert shell.ok("apply", "-f", "d", "-R").out.splitlines()[-1] == "tier/d created"


@pytest.mark.parametrize(
    ("files", "stdin", "said"),
    [
        (["none.yaml"], "", "'none.yaml' cannot be read: No such file or directory"),
        (["empty.yaml"], "", "empty.yaml: holds no resource"),
        (["-"], "---\n", "standard input: holds no resource"),
        (["-", "-"], "", "-f - stands twice"),
        (["d"], "", "d: there is no *.yaml, *.yml or *.json in this directory\n  -R looks into"),
        (["a\0b"], "", "cannot be read: embedded null byte"),
        (["-"], "a: []]", "standard input:1:6:"),
    ],
)  # fmt: skip
def test_files_with_nothing_in_them(shell, written, files, stdin, said):
    written("empty.yaml", "# nothing\n")
    written("d/in/f.yaml", POOL)
    ended = shell("apply", *(word for name in files for word in ("-f", name)), stdin=stdin)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


def test_the_same_object_twice_is_refused(shell, written):
    ended = shell("apply", "-f", written("f.yaml", f"{TIER % ('a', 1)}---\n{TIER % ('a', 2)}"))
    assert (ended.code, ended.out) == (2, "")
    assert "f.yaml:6: Tier a: " in ended.err


# --- what is printed --------------------------------------------------------------------------------------------


def test_a_dry_run_shows_a_diff_and_writes_nothing(shell, written):
    shell.ok("apply", "-f", written("f.yaml", TIER % ("a", 1)))
    ended = shell.ok("apply", "--dry-run", "-f", written("g.yaml", f"{TIER % ('a', 2)}---\n{TIER % ('b', 3)}"))
    first, second = ended.out.split("tier/b created (dry run)\n")
    assert first.startswith("tier/a configured (dry run)\n--- tier/a (present)\n+++ tier/a (new)\n@@ ")
    assert "\n-  order: 1" in first
    assert "\n+  order: 2" in first
    assert second == (
        "--- tier/b (present)\n+++ tier/b (new)\n@@ -0,0 +1,7 @@\n"
        "+apiVersion: projectcalico.org/v3\n+kind: Tier\n+metadata:\n+  name: b\n+spec:\n+  order: 3\n+  defaultAction: Deny\n"
    )
    assert ended.err == "1 configured, 1 created (dry run: nothing was written)\n"
    assert names(shell) == ["tier/a"]
    assert spec(shell, "tier/a")["order"] == 1


def test_the_diff_of_a_deletion(shell, written):
    shell.ok("apply", "-f", written("f.yaml", TIER % ("a", 1)))
    ended = shell.ok("delete", "tier", "a", "--dry-run")
    assert ended.out.startswith("tier/a deleted (dry run)\n--- tier/a (present)\n+++ tier/a (new)\n@@ ")
    assert not any(line.startswith("+") for line in ended.out.splitlines()[3:])
    assert names(shell) == ["tier/a"]


def test_names_and_objects_instead_of_lines(shell, written):
    file = written("f.yaml", f"{TIER % ('a', 1)}---\n{TIER % ('b', 1)}")
    assert shell.ok("apply", "-f", file, "-o", "name").out == "tier/a\ntier/b\n"
    listed = yaml.safe_load(shell.ok("apply", "-f", file, "-o", "yaml").out)
    assert (listed["kind"], [one["metadata"]["name"] for one in listed["items"]]) == ("TierList", ["a", "b"])
    gone = json.loads(shell.ok("delete", "tier", "a", "-o", "json").out)
    assert (gone["kind"], gone["spec"]["order"]) == ("Tier", 1)
    written("g.yaml", f"{POOL}---\n{TIER % ('b', 1)}")
    assert [one["kind"] for one in json.loads(shell.ok("apply", "-f", "g.yaml", "-o", "json").out)] == [
        "IPPool",
        "Tier",
    ]


# --- delete -----------------------------------------------------------------------------------------------------


def test_delete_by_name_and_by_file(shell, written):
    file = written("f.yaml", "---\n".join(TIER % (name, 1) for name in "abcd"))
    shell.ok("apply", "-f", file)
    assert shell.ok("delete", "tier", "a", "b").out == "tier/a deleted\ntier/b deleted\n"
    ended = shell("delete", "-f", file)
    assert (ended.code, ended.out, ended.err.count("\n")) == (5, "", 3)
    assert shell.ok("delete", "-f", file, "--ignore-not-found").out == (
        "tier/a skipped\ntier/b skipped\ntier/c deleted\ntier/d deleted\n"
    )
    assert names(shell) == []


def test_deleting_is_all_or_nothing(shell, written):
    shell.ok("apply", "-f", written("f.yaml", TIER % ("a", 1)))
    assert shell("delete", "tier", "a", "none").code == 5
    assert names(shell) == ["tier/a"]
    ended = shell("delete", "tier", "a", "none", "--each")
    assert (ended.code, ended.out) == (5, "tier/a deleted\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name what to delete"),
        (["tier"], "tier: name which to delete"),
        (["all"], "all: name which to delete"),
        (["tier", "a", "-f", "f.yaml"], "name what to delete"),
    ],
)
def test_delete_needs_names(shell, words, said):
    ended = shell("delete", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


# --- patch ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "order"),
    [
        (["tier", "a", "-p", '{"spec": {"order": 7}}'], 7),
        (["tier/a", "-p", "spec: {order: 7}"], 7),
        (["tier/a", "--type", "merge", "-p", '{"spec": {"order": null}}'], None),
        (["tier/a", "--type", "json", "-p", '[{"op": "replace", "path": "/spec/order", "value": 9}]'], 9),
        (["tier/a", "--type", "json", "-p", "[]"], 1),
    ],
)
def test_patch(shell, written, words, order):
    shell.ok("apply", "-f", written("f.yaml", TIER % ("a", 1)))
    ended = shell.ok("patch", *words)
    assert ended.out.startswith("tier/a ")
    assert spec(shell, "tier/a").get("order") == order


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["tier", "none", "-p", "{}"], 5, "Tier none: "),
        (["tier/a", "-p", '{"spec": {"ordr": 7}}'], 2, "Tier a: spec.ordr"),
        (["tier/a", "-p", "{"], 2, "the patch:1:2: "),
        (["tier/a", "-p", ""], 2, "the patch: must be one value"),
        (["tier/a", "-p", "{} {}"], 2, "the patch: must be one value"),
        (["tier/a", "-p", "[]"], 2, "Tier a: "),
        (["tier/a", "--type", "json", "-p", "{}"], 2, "Tier a: "),
        (["tier", "-p", "{}"], 2, "names no single object"),
        (["tier", "a", "b", "-p", "{}"], 2, "names no single object"),
        (["tier/a"], 2, "Missing option '-p'"),
    ],
)
def test_patch_asked_wrongly(shell, written, words, code, said):
    shell.ok("apply", "-f", written("f.yaml", TIER % ("a", 1)))
    ended = shell("patch", *words)
    assert (ended.code, ended.out) == (code, "")
    assert said in ended.err


# --- label ------------------------------------------------------------------------------------------------------


def labels(shell):
    return json.loads(shell.ok("get", "tier/a", "-o", "json").out)["metadata"].get("labels", {})


def test_label(shell, written):
    shell.ok("apply", "-f", written("f.yaml", TIER % ("a", 1)))
    assert shell.ok("label", "tier", "a", "x=1", "y.z/w=").out == "tier/a labeled\n"
    assert labels(shell) == {"x": "1", "y.z/w": ""}
    assert shell.ok("label", "tier/a", "x-", "v=2").out == "tier/a labeled\n"
    assert labels(shell) == {"y.z/w": "", "v": "2"}
    assert shell("label", "tier/a", "v=3").code == 3
    assert shell.ok("label", "tier/a", "v=3", "--overwrite").out == "tier/a labeled\n"
    assert shell.ok("label", "tier", "a", "v", "--remove").out == "tier/a labeled\n"
    assert labels(shell) == {"y.z/w": ""}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tier", "a"], "no label is named"),
        (["tier"], "names no single object"),
        (["tier", "a", "x"], "'x' is neither KEY=VALUE nor KEY-"),
        (["tier", "a", "x=1", "x=2"], "the label 'x' stands twice"),
        (["tier", "a", "x=1", "--remove"], "--remove takes the key alone"),
        (["tier", "a", "x=1", "--overwrite", "--remove"], "leave one of them out"),
        (["tier", "a", "x=a b"], "Tier a: metadata.labels"),
        (["tier", "a", "=b"], "Tier a: metadata.labels"),
    ],
)
def test_label_asked_wrongly(shell, written, words, said):
    shell.ok("apply", "-f", written("f.yaml", TIER % ("a", 1)))
    ended = shell("label", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert labels(shell) == {}


# --- others at the same time ------------------------------------------------------------------------------------


def test_a_locked_datastore_is_written_by_nobody(shell, written):
    locked = {"kind": "ClusterInformation", "apiVersion": API, "metadata": {"name": "default"}}
    shell.write(Put(keys.CLUSTER_INFORMATION, json.dumps({**locked, "spec": {"datastoreReady": False}}).encode()))
    ended = shell("apply", "-f", written("f.yaml", POOL))
    assert (ended.code, ended.out) == (1, "")
    assert "locked" in ended.err
    assert ended.err.count("\n") <= 2


def test_kinds_and_explain(shell):
    kinds = shell.ok("kinds").out.splitlines()
    assert kinds[0].split() == ["KIND", "PLURAL", "ALIASES", "NAMESPACED"]
    assert "networkpolicy" in shell.ok("kinds", "-o", "name").out.split()
    fields = shell.ok("explain", "ippool.spec").out
    assert fields.splitlines()[1].split() == ["cidr", "text", "required", "form:", "prefix"]
    assert json.loads(shell.ok("explain", "tier.spec.order", "-o", "json").out) == [
        {"field": "order", "type": "number", "default": "", "rules": []}
    ]
    for path, said in [
        ("tier.spec.ordr", "Tier.spec has no field 'ordr'"),
        ("tier.spec.order.x", "has no field 'x'"),
        ("nosuch", "is no kind"),
    ]:
        ended = shell("explain", path)
        assert (ended.code, ended.out) == (2, "")
        assert said in ended.err


@pytest.mark.parametrize(
    "path", ["gnp.spec.ingress", "felixconfig.spec", "wep.spec.ports", "hep", "bgpfilter.spec.importV4"]
)
def test_every_field_is_explained_in_words(shell, path):
    for one in json.loads(shell.ok("explain", path, "-o", "json").out):
        assert one["type"]
        assert "anything" not in one["type"]
        assert all(one["rules"])
