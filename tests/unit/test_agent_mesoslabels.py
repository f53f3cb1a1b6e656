"""Labels from Mesos beside those of others, over an endpoint's life."""

from __future__ import annotations

import json

import pytest

from ocicat.agent import mesoslabels
from ocicat.agent.mesoslabels import ANNOTATION, MOST, is_so, left_out, merged, noted, relabelled, wanted
from ocicat.mesos.identity import Executor, Identity
from ocicat.mesos.tasks import Task
from ocicat.model.codec import decode_json, encode_json
from ocicat.model.names import own_label_value
from ocicat.model.resources import Metadata, WorkloadEndpoint, WorkloadEndpointSpec


def identity(*labels, framework="Marathon prod", role="eng/web", executor="e"):
    tasks = tuple(Task(id=str(index), name=f"task {index}", labels=each) for index, each in enumerate(labels))
    return Identity(framework, role, Executor("F", executor), tasks)


TOLD = {
    "mesos/framework": own_label_value("Marathon prod"),
    "mesos/role": own_label_value("eng/web"),
    "mesos/executor": "e",
}
TASK_0 = own_label_value("task 0")


def test_what_mesos_says_becomes_labels_in_the_form_of_labels():
    assert wanted(identity({"app": "my shop", "a/b/c": "x", "?": "y"})) == {
        **TOLD,
        "mesos/task": TASK_0,
        "app": "my-shop",
        "a.b.c": "x",
    }


def test_several_tasks_have_what_all_of_them_have():
    assert wanted(identity({"a": "1", "b": "2"}, {"a": "1", "b": "3"}, {"a": "1", "c": "4"})) == {**TOLD, "a": "1"}


def test_no_task_is_no_task():
    assert wanted(identity()) == TOLD


def test_the_default_role_is_none():
    assert "mesos/role" not in wanted(identity(role="*"))
    assert "mesos/role" not in wanted(identity(role=""))


@pytest.mark.parametrize("kind", ["framework", "role", "executor"])
def test_no_two_originals_share_a_label_of_mesos_own(kind):
    told = [
        wanted(identity(**{kind: text}))[f"mesos/{kind}"] for text in ("eng.prod", "eng/prod", "_eng.prod", "eng.prod!")
    ]
    assert told[0] == "eng.prod"
    assert len(set(told)) == 4


def test_a_task_has_so_many_labels_and_no_more():
    many = {f"l{number:03}": "x" for number in range(MOST + 2)}
    assert wanted(identity(many)) == {**TOLD, "mesos/task": TASK_0, **dict([*many.items()][:MOST])}
    assert [left_out(identity(each)) for each in (many, {"a": "1"})] == [2, 0]
    assert left_out(identity()) == 0


@pytest.mark.parametrize(
    "key",
    [
        "mesos/role",
        "mesos-group/web",
        "docker/container",
        "!docker/network",
        "projectcalico.org/namespace",
        "pcns.projectcalico.org/x",
        "qos.projectcalico.org/dscp",
        "cni.projectcalico.org/ipAddrs",
        "kubernetes.io/ingress-bandwidth",
    ],
)
def test_a_task_cannot_say_what_means_more_than_its_words(key):
    assert wanted(identity({key: "x", "mesos": "y"})) == {**TOLD, "mesos/task": TASK_0, "mesos": "y"}


def test_two_keys_that_become_one_are_one_whatever_their_order():
    one, other = {"a b": "1", "a-b": "2"}, {"a-b": "2", "a b": "1"}
    assert wanted(identity(one)) == wanted(identity(other))


# --- beside others -----------------------------------------------------------------------------------------------


class Endpoint:
    """An endpoint's labels through its life."""

    def __init__(self, **labels):
        self.metadata = Metadata(name="e", labels=labels)

    def told(self, **true):
        result = merged(self.metadata, true)
        self.metadata = Metadata(
            name="e", labels=result.labels, annotations={ANNOTATION: encode_json(result.put).decode()}
        )
        assert is_so(self.metadata, true)
        return self

    def changed(self, remove="", **labels):
        kept = {key: value for key, value in self.metadata.labels.items() if key != remove}
        self.metadata = Metadata(name="e", labels=kept | labels, annotations=self.metadata.annotations)
        return self

    @property
    def labels(self):
        return self.metadata.labels


def test_true_labels_come_change_and_go():
    endpoint = Endpoint(net="info").told(app="a", tier="1")
    assert endpoint.labels == {"net": "info", "app": "a", "tier": "1"}
    assert endpoint.told(app="b").labels == {"net": "info", "app": "b"}
    assert endpoint.told().labels == {"net": "info"}
    assert noted(endpoint.metadata) == {}


def test_what_networkinfo_gave_is_never_touched():
    endpoint = Endpoint(app="info").told(app="task")
    assert (endpoint.labels, noted(endpoint.metadata)) == ({"app": "info"}, {})
    assert endpoint.told().labels == {"app": "info"}


def test_what_networkinfo_gave_stays_also_where_the_task_says_the_same():
    assert Endpoint(app="x").told(app="x").told().labels == {"app": "x"}


def test_what_an_operator_changed_is_theirs():
    endpoint = Endpoint().told(app="task").changed(app="mine")
    assert endpoint.told(app="task").labels == {"app": "mine"}
    assert endpoint.told(app="other").labels == {"app": "mine"}
    assert endpoint.told().labels == {"app": "mine"}


def test_what_an_operator_took_away_stays_away_until_the_task_no_longer_has_it():
    endpoint = Endpoint().told(app="task").changed(remove="app")
    assert endpoint.told(app="task").labels == {}
    assert endpoint.told(app="other").labels == {}
    assert endpoint.told().told(app="new").labels == {"app": "new"}


def test_mesos_own_words_are_nobody_elses():
    endpoint = Endpoint(**{"mesos/role": "root"}).told(**{"mesos/role": "web"})
    assert endpoint.labels == {"mesos/role": "web"}
    assert endpoint.changed(**{"mesos/role": "x", "mesos/y": "z"}).told(**{"mesos/role": "web"}).labels == {
        "mesos/role": "web"
    }
    assert endpoint.changed(remove="mesos/role").told(**{"mesos/role": "web"}).labels == {"mesos/role": "web"}


@pytest.mark.parametrize("note", ["", "nonsense", "[]", '{"a": 1}'])
def test_a_note_of_somebody_else_makes_nothing_ours(note):
    metadata = Metadata(name="e", labels={"a": "1"}, annotations={ANNOTATION: note})
    assert merged(metadata, {}).labels == {"a": "1"}


# --- as it is stored ---------------------------------------------------------------------------------------------


def stored(**metadata):
    endpoint = WorkloadEndpoint(
        metadata=Metadata(name="e", namespace="default", **metadata),
        spec=WorkloadEndpointSpec(orchestrator="mesos", node="h1", endpoint="eth0", container_id="c"),
    )
    document = json.loads(encode_json(endpoint))
    document["spec"]["ofALaterVersion"] = 1
    return json.dumps(document).encode()


def test_only_labels_and_the_note_of_them_change():
    before = stored(labels={"net": "info"}, annotations={"theirs": "x"})
    after = relabelled(before, {"app": "a"}, "it")
    one, other = json.loads(before), json.loads(after)
    assert other["metadata"].pop("labels") == {"net": "info", "app": "a"}
    assert other["metadata"].pop("annotations") == {"theirs": "x", ANNOTATION: '{"app":"a"}'}
    del one["metadata"]["labels"], one["metadata"]["annotations"]
    assert one == other
    assert relabelled(after, {"app": "a"}, "it") is None
    assert decode_json(WorkloadEndpoint, after).metadata.labels == {"net": "info", "app": "a"}


def test_a_note_alone_that_is_no_longer_true_is_a_change():
    """Somebody took `app` away; now the task has it no more, and if it has it again that is another."""
    before = stored(annotations={ANNOTATION: '{"app":"a"}'})
    assert relabelled(before, {"app": "a"}, "it") is None
    after = relabelled(before, {}, "it")
    assert decode_json(WorkloadEndpoint, after).metadata.annotations == {ANNOTATION: "{}"}
    assert decode_json(WorkloadEndpoint, relabelled(after, {"app": "b"}, "it")).metadata.labels == {"app": "b"}


def test_the_prefix_is_reserved():
    assert mesoslabels.is_reserved("mesos/anything")
    assert not mesoslabels.is_reserved("mesosphere/x")
