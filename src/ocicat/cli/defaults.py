"""What commands take from the environment and the configuration file for options that were not given. They are read only then."""

from __future__ import annotations

import click

from ocicat.settings.setting import DEFAULT_FILE
from ocicat.settings.table import default_text, setting

LOCAL_MASTER = "127.0.0.1:5050"
_STORE = "store.url"


def store_url() -> str:
    """For commands that were given none."""
    return _one(_STORE)


def stated_store_url() -> str:
    """For commands that can do without: the file's, and none where it says nothing. UserError where it cannot be used."""
    from ocicat.settings.reading import file_layer, path_of
    from ocicat.settings.resolve import resolve

    return _one(_STORE) if resolve([file_layer(path_of())]).is_local(_STORE) else ""


def agent_socket() -> str:
    return _one("agent.socket")


def mesos_master() -> str:
    return _one("mesos.master") or LOCAL_MASTER


def framework() -> str:
    return _one("mesos.framework")


def dns_zone() -> str:
    return _one("dns.zone")


def dns_server() -> str:
    return _one("dns.server")


def _one(key: str) -> str:
    """A command that needs one setting is not kept from it by what is wrong with others."""
    from ocicat.settings.reading import file_layer, path_of, variable_layer  # a command that is given all reads no file
    from ocicat.settings.resolve import resolve

    for said in (variable_layer, lambda: file_layer(path_of())):
        layer = said()
        for fault in layer.faults:
            if fault.key == key:
                raise fault.error()
        found = resolve([layer])
        if found.is_local(key):
            return found.text(key)
    return default_text(key)


def shared(key: str, *, otherwise: str = "") -> str:
    """The default of such an option, for its help."""
    return f"{setting(key).variable}, {key} of {DEFAULT_FILE}, or {otherwise or default_text(key)}"


master_option = click.option(
    "--master",
    envvar="OCICAT_MASTER",
    default=mesos_master,
    show_default=shared("mesos.master", otherwise=LOCAL_MASTER),
    help="The Mesos master.",
)
