"""What other frameworks send to Mesos, recorded: the NetworkInfo, and the rest of the TaskInfo."""

from __future__ import annotations

import json

import pytest
from cli_bed import Shell

from ocicat.errors import UserError
from ocicat.mesos.frameworks import marathon_pods, marathon_sent, mesos_execute, singularity, spark
from ocicat.mesos.frameworks.marathon_sent import parse_release
from ocicat.model.codec import encode_json


def written(found):
    sent, remarks = found
    return json.loads(encode_json(sent)), remarks


def networks(found):
    """Of the first task."""
    return written(found)[0]["tasks"][0]["container"]["network_infos"]


def refusal(call):
    with pytest.raises(UserError) as error:
        call()
    return error.value.message


# --- Marathon --------------------------------------------------------------------------------------------------------


def marathon(release, default_network="", **more):
    return marathon_sent.sent(
        {"id": "/shop/web", "cmd": "true", **more}, "app", parse_release(release), default_network
    )


OLD = {
    "groups": ["a", "b"],
    "labels": {"tier": "front"},
    "discovery": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]},
}
LABELS = {"labels": [{"key": "tier", "value": "front"}]}


def test_marathon_0_14_asks_for_one_address_in_groups_without_a_name():
    sent, remarks = written(marathon("0.14", ipAddress=OLD, cpus=0.5, mem=64, instances=3, labels={"x": "y"}))
    assert remarks == []
    assert sent == {
        "tasks": [
            {
                "name": "web.shop",
                "resources": [
                    {"name": "cpus", "type": "SCALAR", "scalar": {"value": 0.5}},
                    {"name": "mem", "type": "SCALAR", "scalar": {"value": 64.0}},
                ],
                "command": {"value": "true"},
                "container": {
                    "type": "MESOS",
                    "network_infos": [{"groups": ["a", "b"], "labels": LABELS, "ip_addresses": [{}]}],
                },
                "labels": {"labels": [{"key": "x", "value": "y"}]},
                "discovery": {
                    "visibility": "FRAMEWORK",
                    "name": "web.shop",
                    "ports": {"ports": [{"number": 80, "name": "http", "protocol": "tcp"}]},
                },
            }
        ]
    }


def test_marathon_1_1_does_not_know_names_of_networks():
    found = marathon("1.1", ipAddress={**OLD, "networkName": "n"}, default_network="d")
    assert "name" not in networks(found)[0]
    assert written(found)[1] == ["app: ipAddress.networkName has no effect: Marathon 1.1 does not know it"]


def test_marathon_1_3_names_the_network_and_still_sends_groups():
    (info,) = networks(marathon("1.3", ipAddress={**OLD, "networkName": "n"}))
    assert info == {"name": "n", "groups": ["a", "b"], "labels": LABELS, "ip_addresses": [{}]}
    assert networks(marathon("1.4", ipAddress={}, default_network="d"))[0]["name"] == "d"


def test_marathon_1_5_sends_names_labels_and_mapped_ports_but_no_groups():
    found = marathon(
        "1.5",
        networks=[{"mode": "container", "name": "n", "labels": {"tier": "front"}}],
        container={"type": "MESOS", "portMappings": [{"containerPort": 80, "hostPort": 8080}]},
    )
    mapped = [{"host_port": 8080, "container_port": 80, "protocol": "tcp"}]
    assert networks(found) == [{"name": "n", "labels": LABELS, "ip_addresses": [{}], "port_mappings": mapped}]
    old = marathon("1.5", ipAddress={**OLD, "networkName": "n"})
    assert "groups" not in networks(old)[0]
    assert "Marathon 1.5 sends no groups" in written(old)[1][0]
    assert networks(marathon("1.8", networks=[{"mode": "container/bridge"}]))[0]["name"] == "mesos-bridge"
    assert [info["name"] for info in networks(marathon("1.8", networks=[{"name": "a"}, {"name": "b"}]))] == ["a", "b"]


def test_marathon_tells_docker_nothing_but_the_name():
    container = {
        "type": "DOCKER",
        "docker": {"image": "nginx"},
        "portMappings": [{"containerPort": 80, "hostPort": 8080}],
    }
    sent, _ = written(marathon("1.5", networks=[{"name": "n", "labels": {"a": "b"}}], container=container))
    assert sent["tasks"][0]["container"] == {
        "type": "DOCKER",
        "docker": {
            "image": "nginx",
            "network": "USER",
            "port_mappings": [{"host_port": 8080, "container_port": 80, "protocol": "tcp"}],
        },
        "network_infos": [{"name": "n"}],
    }


def test_an_application_on_the_hosts_network_has_no_container():
    sent, _ = written(marathon("1.5", networks=[{"mode": "host"}]))
    assert "container" not in sent["tasks"][0]


@pytest.mark.parametrize(
    ("release", "more", "said"),
    [
        ("1.4", {"networks": [{"name": "n"}]}, "networks: Marathon 1.4 does not know it: it is of 1.5"),
        ("1.4", {"ipAddress": {}}, "the network has no name"),
        (
            "0.14",
            {"ipAddress": {}, "container": {"docker": {"image": "x"}}},
            "gives no addresses to containers of Docker",
        ),
        ("1.5", {"color": 1}, "color: there is no such field"),
    ],
)
def test_marathon_refuses(release, more, said):
    assert said in refusal(lambda: marathon(release, **more))


@pytest.mark.parametrize(
    ("text", "said"), [("1", "no release"), ("1.x", "no release"), ("0.13", "sends no NetworkInfo")]
)
def test_releases(text, said):
    assert said in refusal(lambda: parse_release(text))


# --- Marathon's pods -------------------------------------------------------------------------------------------------

POD = {
    "id": "/shop/pod",
    "labels": {"team": "shop"},
    "environment": {"A": "1"},
    "networks": [{"mode": "container", "name": "n", "labels": {"tier": "front"}}],
    "scaling": {"kind": "fixed", "instances": 2},
    "containers": [
        {
            "name": "web",
            "exec": {"command": {"shell": "sleep 1"}},
            "resources": {"cpus": 0.2, "mem": 32},
            "endpoints": [{"name": "http", "containerPort": 80, "hostPort": 8080, "protocol": ["tcp", "udp"]}],
            "lifecycle": {"killGracePeriodSeconds": 5},
        },
        {"name": "side", "exec": {"command": {"argv": ["sleep", "2"]}}, "environment": {"A": "2"}},
    ],
}


def test_a_pod_has_its_networks_on_the_executor():
    sent, remarks = written(marathon_pods.sent(POD, "pod"))
    mapped = [{"host_port": 8080, "container_port": 80, "protocol": protocol} for protocol in ("tcp", "udp")]
    assert sent["executor"] == {
        "type": "DEFAULT",
        "container": {
            "type": "MESOS",
            "network_infos": [{"name": "n", "labels": LABELS, "ip_addresses": [{}], "port_mappings": mapped}],
        },
    }
    web, side = sent["tasks"]
    assert "container" not in web
    assert (web["command"]["value"], side["command"]["arguments"]) == ("sleep 1", ["sleep", "2"])
    assert web["kill_policy"] == {"grace_period": {"nanoseconds": 5_000_000_000}}
    assert side["command"]["environment"]["variables"] == [{"name": "A", "value": "2"}]
    assert [port["protocol"] for port in web["discovery"]["ports"]["ports"]] == ["tcp", "udp"]
    assert remarks == ["pod: scaling has no effect: it decides where and how many, and is not sent to Mesos"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"containers": []}, "containers: are missing"),
        ({"volumes": [{"name": "v"}]}, "volumes: not supported"),
        ({"networks": [{"mode": "container"}]}, "networks[0].name: is missing"),
        (
            {"containers": [{"name": "w", "endpoints": [{"name": "h", "containerPort": 1, "hostPort": 0}]}]},
            "0 is any port",
        ),
        ({"containers": [{"name": "w", "healthCheck": {"http": {"endpoint": "h"}}}]}, "only exec is translated"),
        ({"containers": [{"name": "w", "image": {"kind": "APPC", "id": "x"}}]}, "'APPC' is none of DOCKER"),
        ({"shape": 1}, "shape: there is no such field"),
    ],
)
def test_a_pod_is_refused(more, said):
    assert said in refusal(lambda: marathon_pods.sent(POD | more, "pod"))


# --- Singularity -----------------------------------------------------------------------------------------------------

DEPLOY = {
    "requestId": "web",
    "id": "7",
    "command": "nginx",
    "arguments": ["-g", "daemon off;"],
    "resources": {"cpus": 0.5, "memoryMb": 64},
    "labels": {"team": "shop"},
    "containerInfo": {
        "type": "MESOS",
        "mesos": {"image": {"type": "DOCKER", "docker": {"name": "nginx"}}},
        "networkInfos": [
            {"name": "n", "groups": ["a"], "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}
        ],
    },
    "healthcheck": {"uri": "/"},
}


def test_singularity_sends_names_groups_and_ports_but_neither_labels_nor_addresses():
    sent, remarks = written(singularity.sent(DEPLOY, "deploy"))
    (task,) = sent["tasks"]
    assert task["container"] == {
        "type": "MESOS",
        "mesos": {"image": {"docker": {"name": "nginx"}, "type": "DOCKER"}},
        "network_infos": [
            {
                "name": "n",
                "groups": ["a"],
                "port_mappings": [{"host_port": 8080, "container_port": 80, "protocol": "tcp"}],
            }
        ],
    }
    assert task["command"]["arguments"] == ["nginx", "-g", "daemon off;"]
    assert (task["name"], task["labels"]["labels"]) == ("web", [{"key": "team", "value": "shop"}])
    assert any(remark.startswith("deploy: healthcheck has no effect") for remark in remarks)


def test_singularitys_older_name_of_the_field_and_the_body_of_a_request():
    body = {
        "deploy": {"requestId": "w", "command": "true", "containerInfo": {"network_infos": [{"name": "n"}]}},
        "message": "x",
    }
    found = singularity.sent(body, "deploy")
    assert networks(found) == [{"name": "n"}]
    assert written(found)[1] == ["deploy: message has no effect: it is Singularity's own business"]


def test_singularity_with_docker():
    docker = {"image": "x", "network": "BRIDGE", "portMappings": [{"hostPort": 1, "containerPort": 2}]}
    body = {"requestId": "w", "containerInfo": {"type": "DOCKER", "docker": docker}}
    container = written(singularity.sent(body, "d"))[0]["tasks"][0]["container"]
    assert (container["docker"]["network"], "network_infos" in container) == ("BRIDGE", False)
    assert container["docker"]["port_mappings"] == [{"host_port": 1, "container_port": 2, "protocol": "tcp"}]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"requestId": None}, "requestId: is missing"),
        ({"customExecutorCmd": "x"}, "customExecutorCmd: not supported"),
        ({"containerInfo": {"type": "MESOS", "volumes": [{}]}}, "containerInfo.volumes: not supported"),
        ({"containerInfo": {"type": "DOCKER"}}, "containerInfo.docker: is missing"),
        ({"containerInfo": {"networkInfos": [{"name": "n", "labels": {}, "ips": 1}]}}, "there is no such field"),
        (
            {"containerInfo": {"networkInfos": [{"portMappings": [{"hostPortType": "FROM_OFFER"}]}]}},
            "only LITERAL is translated",
        ),
        ({"colour": 1}, "colour: there is no such field"),
    ],
)
def test_singularity_is_refused(more, said):
    assert said in refusal(lambda: singularity.sent(DEPLOY | more, "deploy"))


# --- Spark -----------------------------------------------------------------------------------------------------------

SPARK = """
# of the cluster
spark.mesos.network.name     n
spark.mesos.network.labels   app:etl,tier:batch
spark.mesos.task.labels=job:nightly
spark.mesos.driver.labels    job:driver
spark.mesos.driverEnv.HOME   /x
spark.mesos.role             etl
spark.executor.memory        2g
"""
SPARK_INFO = {
    "name": "n",
    "labels": {"labels": [{"key": "app", "value": "etl"}, {"key": "tier", "value": "batch"}]},
}


def test_spark_attaches_its_executors_and_its_driver_alike():
    sent, remarks = written(spark.sent(spark.properties(SPARK), "conf"))
    executor, driver = sent["tasks"]
    assert executor["container"] == driver["container"] == {"type": "MESOS", "network_infos": [SPARK_INFO]}
    assert (executor["labels"]["labels"][0]["value"], driver["labels"]["labels"][0]["value"]) == ("nightly", "driver")
    assert driver["command"]["environment"]["variables"] == [{"name": "HOME", "value": "/x"}]
    assert remarks == [
        "conf: 1 settings that do not begin with spark.mesos. say nothing of how tasks are attached",
        "conf: spark.mesos.role has no effect: it is Spark's own business, and not sent with a task",
    ]


def test_spark_names_the_network_to_docker_by_a_parameter_too():
    given = {"spark.mesos.executor.docker.image": "spark", "spark.mesos.network.name": "n"}
    container = written(spark.sent(given, "conf"))[0]["tasks"][0]["container"]
    assert container["docker"] == {"image": "spark", "network": "USER", "parameters": [{"key": "net", "value": "n"}]}
    assert container["network_infos"] == [{"name": "n"}]
    mesos = written(spark.sent({**given, "spark.mesos.containerizer": "mesos"}, "conf"))[0]["tasks"][0]["container"]
    assert (mesos["type"], mesos["mesos"]["image"]["docker"]["name"]) == ("MESOS", "spark")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"spark.mesos.network.labels": "a:b"}, "needs spark.mesos.network.name"),
        ({"spark.mesos.network.name": "n", "spark.mesos.network.labels": "a=b"}, "'a=b' is not key:value"),
        ({"spark.mesos.executor.docker.volumes": "/x"}, "spark.mesos.executor.docker.volumes: not supported"),
        ({"spark.mesos.containerizer": "lxc"}, "'lxc' is neither docker nor mesos"),
        (
            {"spark.mesos.executor.docker.portmaps": "a:b", "spark.mesos.network.name": "n"},
            "'a:b' is not host:container",
        ),
        ({"spark.mesos.colour": "x"}, "spark.mesos.colour: there is no such setting"),
    ],
)
def test_spark_is_refused(given, said):
    assert said in refusal(lambda: spark.sent(given, "conf"))


# --- mesos-execute ---------------------------------------------------------------------------------------------------


def execute(*flags, files=None):
    return mesos_execute.sent(flags, (files or {}).__getitem__)


def test_mesos_execute_names_networks_and_no_more():
    found = execute("--master=m:5050", "--name=web", "--command=sleep 1", "--networks=a,b", '--env={"A": "1"}')
    assert networks(found) == [{"name": "a"}, {"name": "b"}]
    sent, remarks = written(found)
    (task,) = sent["tasks"]
    assert [resource["scalar"]["value"] for resource in task["resources"]] == [1.0, 128.0]
    assert task["command"] == {"value": "sleep 1", "environment": {"variables": [{"name": "A", "value": "1"}]}}
    assert remarks == []


def test_mesos_execute_with_an_image():
    found = written(execute("--name=w", "--no-shell", "--docker_image=x", "--containerizer=docker", "--networks=n"))[0]
    assert found["tasks"][0]["container"] == {
        "type": "DOCKER",
        "docker": {"image": "x", "network": "USER"},
        "network_infos": [{"name": "n"}],
    }


def test_a_task_is_sent_as_it_stands_and_a_group_has_its_networks_on_the_executor():
    task = {"name": "t", "container": {"type": "MESOS", "network_infos": [{"name": "n", "groups": ["a"]}]}}
    assert written(execute(f"--task={json.dumps(task)}"))[0] == {"tasks": [task]}
    group = {"tasks": [{"name": "a"}, {"name": "b"}]}
    found = written(execute("--task_group=file:///g.json", "--networks=n", files={"/g.json": json.dumps(group)}))[0]
    assert found["tasks"] == group["tasks"]
    assert found["executor"] == {"type": "DEFAULT", "container": {"type": "MESOS", "network_infos": [{"name": "n"}]}}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("web",), "'web' is no flag"),
        (("--name=w",), "--command: is missing"),
        (("--command=true",), "--name: is missing"),
        (("--name=w", "--command=true", "--volumes=[]"), "--volumes: not supported"),
        (("--name=w", "--command=true", "--colour=red"), "--colour: there is no such flag"),
        (("--name=w", "--command=true", "--resources=gpus:1"), "--resources: 'gpus:1' is none of"),
        (("--name=w", "--command=true", "--containerizer=docker"), "needs --docker_image"),
        (('--task={"name": "t"}', "--networks=n"), "--networks: stands beside --task"),
        (("--task_group={}",), "holds no tasks"),
    ],
)
def test_mesos_execute_is_refused(flags, said):
    assert said in refusal(lambda: execute(*flags))


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    return Shell(tmp_path, monkeypatch, capsys)


def test_the_command_prints_what_is_sent_and_says_what_is_not(shell, tmp_path):
    app = json.dumps({"id": "/web", "cmd": "true", "ipAddress": {"groups": ["a"]}})
    done = shell.ok("translate", "marathon", "-", "--release", "0.14", stdin=app)
    assert json.loads(done.out)["tasks"][0]["container"]["network_infos"] == [{"groups": ["a"], "ip_addresses": [{}]}]
    done = shell.ok("translate", "marathon", "-", "--default-network-name", "n", stdin=app)
    assert "sends no groups" in done.err
    assert json.loads(shell.ok("translate", "pod", "-", stdin=json.dumps(POD)).out)["executor"]["type"] == "DEFAULT"
    assert (
        json.loads(shell.ok("translate", "singularity", "-", stdin=json.dumps(DEPLOY)).out)["tasks"][0]["name"] == "web"
    )
    for text in (SPARK, json.dumps(spark.properties(SPARK))):
        assert len(json.loads(shell.ok("translate", "spark", "-", stdin=text).out)["tasks"]) == 2
    words = ("--name=w", "--command=true", "--networks=n")
    assert json.loads(shell.ok("translate", "mesos-execute", "--", *words).out)["tasks"][0]["name"] == "w"
    (tmp_path / "env.json").write_text('{"A": "1"}')
    assert '"A"' in shell.ok("translate", "mesos-execute", "--", *words, f"--env={tmp_path}/env.json").out


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (("marathon", "-", "--release", "0.1"), "{}", "sends no NetworkInfo"),
        (("marathon", "-"), "", "standard input: is empty"),
        (("marathon", "/nowhere"), "", "cannot be read"),
        (("spark", "-"), '{"a": 1}', "standard input: "),
    ],
)
def test_the_command_says_what_is_wrong(shell, words, stdin, said):
    ended = shell("translate", *words, stdin=stdin)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
