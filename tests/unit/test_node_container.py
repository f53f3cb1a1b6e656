"""What Docker is told: one way to make the agent's container, and steps from whatever is there, whole or broken off, to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ocicat import __version__
from ocicat.errors import UserError
from ocicat.model.base import replace
from ocicat.node.container import Asked, Plan, Present, back, check, create, digest, plan
from ocicat.node.places import named, volumes
from ocicat.settings.layers import of_options
from ocicat.settings.resolve import resolve

ASKED = Asked("ocicat:1", ("--host", "h1"))
NAME, OLD, NEW = ASKED.name, f"{ASKED.name}-former", f"{ASKED.name}-next"
SAME = Present("sha256:1", digest(ASKED), running=True)
OTHER = Present("sha256:0", digest(ASKED), running=True)
THIRD = Present("sha256:3", digest(ASKED), running=True)
COMPOSE = Path(__file__).parents[2] / "packaging/docker/compose.yaml"


def kinds(found):
    """Each step without the many options of `create`."""
    return [step[:3] if step[0] == "create" else step for step in found.steps]


def carried_out(steps, here):
    """The containers after these steps, as an engine would have them; it fails where an engine would."""
    now = dict(here)
    for word, *rest in steps:
        if word == "create":
            assert rest[1] not in now
            now[rest[1]] = Present("sha256:1", digest(ASKED), running=False)
        elif word == "rename":
            assert rest[1] not in now
            now[rest[1]] = now.pop(rest[0])
        elif word == "rm":
            assert not now[rest[-1]].running or "--force" in rest
            del now[rest[-1]]
        else:
            now[rest[0]] = replace(now[rest[0]], running=word == "start")
    return now


def test_nothing_there():
    assert kinds(plan(ASKED, "sha256:1", {})) == [("create", "--name", NAME), ("start", NAME)]


def test_what_runs_as_asked_for_is_left_alone_and_what_stands_still_is_started():
    assert plan(ASKED, "sha256:1", {NAME: SAME}) == Plan()
    assert plan(ASKED, "sha256:1", {NAME: replace(SAME, running=False)}).steps == (("start", NAME),)


@pytest.mark.parametrize(
    ("asked", "image"),
    [
        (ASKED, "sha256:2"),  # another image under the same name
        (replace(ASKED, arguments=("--host", "h2")), "sha256:1"),
        (replace(ASKED, arguments=("--host h1",)), "sha256:1"),
        (replace(ASKED, volumes=("/a:/a",)), "sha256:1"),
    ],
)
def test_anything_else_is_replaced(asked, image):
    assert plan(asked, image, {NAME: SAME}).replaces


HERE = [
    {},
    {NAME: SAME},
    {NAME: OTHER},
    {NAME: replace(OTHER, running=False)},
    {NAME: OTHER, NEW: replace(SAME, running=False)},  # broken off after each of the steps
    {NAME: replace(OTHER, running=False), NEW: replace(SAME, running=False)},
    {OLD: replace(OTHER, running=False), NEW: replace(SAME, running=False)},
    {OLD: replace(OTHER, running=False), NAME: replace(SAME, running=False)},
    {OLD: replace(OTHER, running=False), NAME: SAME},
    {OLD: replace(OTHER, running=False), NAME: replace(THIRD, running=False)},  # and then yet another one is asked for
    {OLD: replace(OTHER, running=False), NAME: THIRD},
]


@pytest.mark.parametrize("here", HERE)
def test_whatever_was_there_the_one_asked_for_runs_alone(here):
    what = plan(ASKED, "sha256:1", here)
    assert carried_out([*what.steps, *what.after], here) == {NAME: SAME}


@pytest.mark.parametrize("here", HERE[2:-1])
def test_a_replacement_that_is_broken_off_anywhere_is_taken_back(here):
    what = plan(ASKED, "sha256:1", here)
    for count in range(len(what.steps) + 1):
        now = carried_out(what.steps[:count], here)
        after = carried_out(back(NAME, what, now.keys()), now)
        assert after[NAME] == replace(OTHER, running=True), count
        assert OLD not in after


def test_of_two_left_the_old_one_goes_only_when_the_new_one_serves():
    for running in (False, True):
        here = {OLD: replace(OTHER, running=False), NAME: replace(SAME, running=running)}
        what = plan(ASKED, "sha256:1", here)
        assert OLD in carried_out(what.steps, here)
        assert what.after == (("rm", "--force", OLD),)


def test_one_that_runs_is_the_way_back_from_the_next_whatever_was_before_it():
    here = {OLD: replace(OTHER, running=False), NAME: THIRD}
    what = plan(ASKED, "sha256:1", here)
    now = carried_out(what.steps, here)
    assert carried_out(back(NAME, what, now.keys()), now) == {NAME: THIRD}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_first_one_that_does_not_serve_leaves_nothing(count):
    what = plan(ASKED, "sha256:1", {})
    now = carried_out(what.steps[:count], {})
    assert carried_out(back(NAME, what, now.keys()), now) == {}


def test_one_that_was_only_started_again_is_not_removed():
    what = plan(ASKED, "sha256:1", {NAME: replace(SAME, running=False)})
    assert back(NAME, what, {NAME}) == ()


def test_it_is_not_privileged():
    words = create(ASKED, NAME)
    assert "--privileged" not in words
    assert words[words.index("--cap-drop") + 1] == "ALL"
    assert "--read-only" in words
    assert words[-4:] == ("ocicat:1", "agent", "--host", "h1")


@pytest.mark.parametrize("volume", ["/a", "a:/b", "/a:b", ""])
def test_a_volume_without_two_absolute_paths_is_refused(volume):
    with pytest.raises(UserError, match="absolute paths"):
        check(replace(ASKED, volumes=(volume,)))


def test_the_compose_file_says_the_same():
    (service,) = yaml.safe_load(COMPOSE.read_text())["services"].values()
    words = create(Asked("IMAGE"), NAME)
    options = {word: [words[at + 1] for at, each in enumerate(words[:-1]) if each == word] for word in words[:-1]}
    assert service["image"] == f"${{OCICAT_IMAGE:-ocicat:{__version__}}}"
    assert (service["container_name"], service["restart"]) == (NAME, *options["--restart"])
    for name, option in (("network_mode", "--network"), ("pid", "--pid"), ("userns_mode", "--userns")):
        assert [service[name]] == options[option]
    lists = {"cap_add": "--cap-add", "cap_drop": "--cap-drop", "security_opt": "--security-opt", "tmpfs": "--tmpfs"}
    for name, option in {**lists, "volumes": "--volume"}.items():
        assert service[name] == options[option], name
    assert service["read_only"] is True
    assert service["stop_grace_period"] == f"{options['--stop-timeout'][0]}s"


# --- what the agent is told of --------------------------------------------------------------------------------------


def told(**said):
    """Settings as a file says them, by their keys with a `_` for the dot."""
    return resolve([of_options([(key.replace("_", ".", 1), value) for key, value in said.items()])])


def given(**said):
    return volumes(named(told(**said)), lambda path: "missing" not in path)


def test_what_lies_in_the_agents_own_folders_is_there_anyway():
    assert given() == ()
    assert given(store_url="etcd://e:2379?ca=/etc/ocicat/tls/ca.crt", mesos_credential="/etc/ocicat/secret") == ()


def test_a_store_elsewhere_comes_with_its_folder_and_a_file_to_read_alone():
    assert given(store_url="sqlite:///srv/ocicat/store.db") == ("/srv/ocicat:/srv/ocicat",)
    found = given(
        store_url="etcd://e:2379?ca=/tls/ca.crt&cert=/tls/c.crt&key=/missing/c.key", mesos_credential="/etc/secret"
    )
    assert found == ("/tls/ca.crt:/tls/ca.crt:ro", "/tls/c.crt:/tls/c.crt:ro", "/etc/secret:/etc/secret:ro")


@pytest.mark.parametrize("key", ["agent_socket", "flows_log", "docker_plugin"])
def test_a_folder_that_is_everybodys_is_not_given_away(key):
    for path in ("/run/x", "/etc/ocicat/x"):
        with pytest.raises(UserError, match="cannot be given"):
            given(**{key: path})
    assert given(**{key: "/run/own/x"}) == ("/run/own:/run/own",)
