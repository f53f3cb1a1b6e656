"""A scheduler that somebody else wrote with pymesos: one task with a NetworkInfo; prints the addresses that Mesos reports for it.

Usage: pymesos_scheduler.py MASTER NETWORK. It knows nothing of ocicat.
"""

import json
import sys
import threading

from addict import Dict
from pymesos import MesosSchedulerDriver, Scheduler

NEEDED = {"cpus": 0.05, "mem": 16}


class OneTask(Scheduler):
    def __init__(self, network):
        self.network = network
        self.launched = False
        self.ended = threading.Event()
        self.told = None

    def resourceOffers(self, driver, offers):  # noqa: N802  pymesos's name
        for offer in offers:
            if self.launched:
                driver.declineOffer(offer.id)
                continue
            self.launched = True
            task = Dict()
            task.name = task.task_id.value = "third-party"
            task.agent_id.value = offer.agent_id.value
            task.resources = [{"name": name, "type": "SCALAR", "scalar": {"value": v}} for name, v in NEEDED.items()]
            task.command.value = "exec sleep 600"
            task.container.type = "MESOS"
            task.container.network_infos = [
                {"name": self.network, "groups": ["a"], "labels": {"labels": [{"key": "app", "value": "third"}]}}
            ]
            driver.launchTasks(offer.id, [task])

    def statusUpdate(self, driver, update):  # noqa: N802
        if update.state == "TASK_RUNNING" and self.told is None:
            self.told = update.container_status.network_infos
            driver.killTask(update.task_id)
        elif update.state not in ("TASK_STARTING", "TASK_RUNNING", "TASK_STAGING", "TASK_KILLING"):
            self.state = update.state
            self.ended.set()


def main():
    scheduler = OneTask(sys.argv[2])
    framework = {"user": "root", "name": "pymesos", "hostname": "h1"}
    driver = MesosSchedulerDriver(scheduler, framework, sys.argv[1], use_addict=True)
    driver.start()
    ended = scheduler.ended.wait(30)
    driver.stop()
    print(json.dumps({"ended": scheduler.state if ended else "", "networks": scheduler.told}))


main()
