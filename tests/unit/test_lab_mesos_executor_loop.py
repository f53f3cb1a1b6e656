"""The executor with real processes and a real connection, against an agent that a test makes up in a thread."""

from __future__ import annotations

import json
import os
import queue
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ocicat.errors import OcicatError, Refused, Unavailable
from ocicat.lab.mesos.executor.loop import from_environment

PATIENCE_S = 10.0
CLOSE = None


class FakeAgent(ThreadingHTTPServer):
    """Answers every subscription with what is put into `events`, and gives every update to `on_update`."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.events = queue.Queue()
        self.subscriptions = []
        self.updates = []
        self.refusals = []  # statuses to answer the next subscriptions with
        self.answer_update = 202
        self.on_update = self.acknowledge

    def say(self, kind, **body):
        self.events.put({"type": kind, **body})

    def launch(self, command, **more):
        info = {"task_id": {"value": "t1"}, "command": command, **more}
        self.say("SUBSCRIBED", subscribed={"framework_info": {}})
        self.say("LAUNCH", launch={"task": info})

    def acknowledge(self, status):
        self.say("ACKNOWLEDGED", acknowledged={"task_id": status["task_id"], "uuid": status["uuid"]})

    @property
    def states(self):
        return [status["state"] for status in self.updates]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if call["type"] == "UPDATE":
            return self.update(call["update"]["status"])
        self.server.subscriptions.append(call["subscribe"])
        if self.server.refusals:
            return self.answer(self.server.refusals.pop(0))
        return self.stream()

    def update(self, status):
        self.server.updates.append(status)
        self.answer(self.server.answer_update)
        self.server.on_update(status)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def stream(self):
        self.close_connection = True
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while (event := self.server.events.get()) is not CLOSE:
            record = json.dumps(event).encode()
            framed = b"%d\n%b" % (len(record), record)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(framed), framed))
            self.wfile.flush()


@pytest.fixture
def agent():
    server = FakeAgent()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.events.put(CLOSE)
    server.shutdown()
    thread.join()
    server.server_close()


def variables(agent, **more):
    return {
        "PATH": os.environ["PATH"],
        "MESOS_FRAMEWORK_ID": "f",
        "MESOS_EXECUTOR_ID": "e",
        "MESOS_SLAVE_PID": f"slave(1)@127.0.0.1:{agent.server_address[1]}",
        "MESOS_CHECKPOINT": "1",
        "MESOS_RECOVERY_TIMEOUT": "10secs",
        **more,
    }


def run(agent, **more):
    """Run an executor to its end, in a thread so that a test cannot hang; the error it ended with."""
    ends = []

    def target():
        try:
            from_environment(variables(agent, **more)).run()
            ends.append(None)
        except OcicatError as error:
            ends.append(error)

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert ends, "the executor does not end"
    return ends[0]


@contextmanager
def script(agent, **reactions):
    """React to a state (by its short name) instead of only acknowledging it."""

    def on_update(status):
        reaction = reactions.get(status["state"].removeprefix("TASK_").lower(), agent.acknowledge)
        reaction(status)

    agent.on_update = on_update
    yield


def until(holds):
    give_up_at = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < give_up_at, "waited in vain"
        time.sleep(0.005)


def ended(pid):
    """Gone, or a zombie that its new parent has not reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def test_a_command_that_succeeds_is_finished_when_the_agent_knows_it(agent):
    agent.launch({"value": "exit 0"})
    assert run(agent) is None
    assert agent.states == ["TASK_STARTING", "TASK_RUNNING", "TASK_FINISHED"]


def test_a_command_that_fails_reports_its_status(agent):
    agent.launch({"value": "exit 3"})
    assert run(agent) is None
    assert (agent.states[-1], agent.updates[-1]["message"]) == ("TASK_FAILED", "Command exited with status 3")


def test_the_task_gets_its_arguments_and_its_environment(agent, tmp_path):
    script_text = f'printf "%s|$A|$HOST" "$0" > {tmp_path}/out'
    environment = {"variables": [{"name": "A", "value": "1"}]}
    agent.launch({"shell": False, "value": "sh", "arguments": ["sh", "-c", script_text], "environment": environment})
    assert run(agent, HOST="h") is None
    assert (tmp_path / "out").read_text() == "sh|1|h"


def test_a_program_that_does_not_exist_fails_the_task(agent):
    agent.launch({"shell": False, "value": "/no/such/program"})
    assert run(agent) is None
    assert agent.states == ["TASK_STARTING", "TASK_FAILED"]


def test_a_kill_ends_the_whole_group(agent, tmp_path):
    child = tmp_path / "child"

    def kill(status):
        agent.acknowledge(status)
        until(child.exists)
        agent.say("KILL", kill={"task_id": {"value": "t1"}})

    agent.launch({"value": f"sleep 60 & echo $! > {child}.new; mv {child}.new {child}; wait"})
    with script(agent, running=kill):
        assert run(agent) is None
    assert agent.states[-1] == "TASK_KILLED"
    assert agent.updates[-1]["message"] == "Command terminated with signal Terminated"
    until(lambda: ended(int(child.read_text())))


def test_a_task_that_does_not_listen_is_killed_when_its_grace_is_over(agent):
    def kill(status):
        agent.acknowledge(status)
        policy = {"grace_period": {"nanoseconds": 50_000_000}}
        agent.say("KILL", kill={"task_id": {"value": "t1"}, "kill_policy": policy})

    agent.launch({"value": "trap '' TERM; while :; do sleep 0.01; done"})
    with script(agent, running=kill):
        assert run(agent) is None
    assert agent.updates[-1]["message"] in {
        "Command terminated with signal Killed",
        "Command terminated with signal Terminated",  # asked before the shell had set its trap
    }


def test_what_an_agent_did_not_acknowledge_is_said_to_the_next(agent):
    def hang_up(status):
        if len(agent.subscriptions) == 1:
            agent.events.put(CLOSE)
            agent.say("SUBSCRIBED", subscribed={"framework_info": {}})
        for pending in agent.updates:
            agent.acknowledge(pending)

    agent.launch({"value": "sleep 0.1"})
    with script(agent, starting=lambda _: None, running=hang_up):
        assert run(agent) is None
    assert [len(each["unacknowledged_updates"]) for each in agent.subscriptions] == [0, 2]
    assert agent.subscriptions[1]["unacknowledged_tasks"][0]["task_id"] == {"value": "t1"}
    assert agent.states[-1] == "TASK_FINISHED"


def test_an_agent_that_is_not_ready_is_asked_again(agent):
    agent.refusals = [503, 404]
    agent.launch({"value": "true"})
    assert run(agent) is None
    assert len(agent.subscriptions) == 3


def test_an_agent_that_does_not_know_us_is_the_end(agent):
    agent.refusals = [403]
    assert isinstance(run(agent), Refused)


def test_a_refused_update_is_the_end_also_of_the_task(agent, tmp_path):
    agent.answer_update = 400
    agent.launch({"value": f"sleep 0.5; touch {tmp_path}/ran"})
    assert isinstance(run(agent), Refused)
    assert not (tmp_path / "ran").exists()


def test_a_task_does_not_outlive_its_agent_without_checkpointing(agent):
    def hang_up(_):
        agent.refusals = [503] * 1000
        agent.events.put(CLOSE)

    agent.launch({"value": "sleep 60"})
    with script(agent, running=hang_up):
        assert run(agent, MESOS_CHECKPOINT="0") is None
    assert "TASK_KILLED" not in agent.states  # nobody is there to hear it


def test_an_executor_whose_agent_stays_away_gives_up(agent):
    def hang_up(_):
        agent.refusals = [503] * 1000
        agent.events.put(CLOSE)

    agent.launch({"value": "sleep 60"})
    with script(agent, running=hang_up):
        assert isinstance(run(agent, MESOS_RECOVERY_TIMEOUT="300ms"), Unavailable)


@pytest.mark.parametrize(
    "wrong", [{"MESOS_SLAVE_PID": ""}, {"MESOS_RECOVERY_TIMEOUT": "soon"}, {"MESOS_SLAVE_PID": "slave(1)@h:port"}]
)
def test_a_wrong_environment_is_refused(agent, wrong):
    with pytest.raises(Refused, match="not the environment"):
        from_environment(variables(agent, **wrong))


def test_a_task_that_fails_its_check_is_told_and_ended(agent, tmp_path):
    good = tmp_path / "good"

    def spoil(status):
        agent.acknowledge(status)
        if status.get("healthy"):
            good.unlink()

    check = {"type": "COMMAND", "command": {"value": f"test -f {good}"}}
    times = {"delay_seconds": 0, "interval_seconds": 0.01, "consecutive_failures": 2, "timeout_seconds": 5}
    agent.launch({"value": f"touch {good}; sleep 60"}, health_check={**check, **times})
    with script(agent, running=spoil):
        assert run(agent) is None
    assert [update.get("healthy") for update in agent.updates] == [None, None, True, False, False]
    assert agent.states[-1] == "TASK_KILLED"


def test_a_check_that_takes_too_long_is_a_failure(agent):
    check = {"type": "COMMAND", "command": {"value": "sleep 60"}, "grace_period_seconds": 0}
    times = {"delay_seconds": 0, "interval_seconds": 0.01, "consecutive_failures": 1, "timeout_seconds": 0.05}
    agent.launch({"value": "sleep 60"}, health_check={**check, **times})
    with script(agent):
        assert run(agent) is None
    assert agent.states[-1] == "TASK_KILLED"
