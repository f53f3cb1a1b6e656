"""A framework's own executor, as somebody might write it: it runs one task inside itself, and that task only waits to be killed.

Started by a Mesos agent with nothing but its environment. Speaks the v1 executor API.
"""

import json
import os
import time
import urllib.request
import uuid
from base64 import b64encode

ACTOR, _, AGENT = os.environ["MESOS_SLAVE_PID"].partition("@")
WHO = {
    "framework_id": {"value": os.environ["MESOS_FRAMEWORK_ID"]},
    "executor_id": {"value": os.environ["MESOS_EXECUTOR_ID"]},
}


def call(kind, **body):
    request = urllib.request.Request(
        f"http://{AGENT}/{ACTOR}/api/v1/executor",
        json.dumps({**WHO, "type": kind, **body}).encode(),
        {"Content-Type": "application/json", "Accept": "application/json"},
    )
    return urllib.request.urlopen(request)


def update(task_id, state):
    status = {"task_id": task_id, "state": state, "source": "SOURCE_EXECUTOR", "executor_id": WHO["executor_id"]}
    status |= {"uuid": b64encode(uuid.uuid4().bytes).decode(), "timestamp": time.time()}
    call("UPDATE", update={"status": status}).close()


def events():
    with call("SUBSCRIBE", subscribe={}) as stream:
        while length := stream.readline():
            yield json.loads(stream.read(int(length)))


def main():
    for event in events():
        if event["type"] == "LAUNCH":
            update(event["launch"]["task"]["task_id"], "TASK_RUNNING")
        elif event["type"] == "KILL":
            update(event["kill"]["task_id"], "TASK_KILLED")
        elif event["type"] == "SHUTDOWN":
            return


main()
