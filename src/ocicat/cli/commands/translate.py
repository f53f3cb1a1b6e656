"""`ocicat translate`: what other frameworks ask Mesos for, so that one sees which networks, groups and labels arrive here."""

from __future__ import annotations

from collections.abc import Callable

import click

from ocicat.cli.files import contents
from ocicat.cli.talk import say
from ocicat.errors import UserError
from ocicat.mesos.frameworks import marathon_pods, marathon_sent, mesos_execute, singularity, spark
from ocicat.mesos.frameworks.sent import Sent
from ocicat.model.codec import decode_json, pretty_json
from ocicat.model.manifest import read

_default_network = click.option(
    "--default-network-name",
    "default_network",
    default="",
    help="As Marathon was started with: for networks without a name.",
)


@click.group()
def command() -> None:
    """Print what other frameworks send to Mesos for what they are given, as Mesos's v1 JSON.

    Every field is translated, or told that it has no part in this, or refused. FILE - is standard input.
    """


@command.command()
@click.argument("file")
@click.option("--release", default=marathon_sent.NEWEST, show_default=True, help="Which Marathon: 0.14 or later.")
@_default_network
def marathon(file: str, release: str, default_network: str) -> None:
    """An application of Marathon, as that release sends each of its tasks.

    \b
    Example:
      ocicat translate marathon app.json --release 0.14
    """
    parsed = marathon_sent.parse_release(release)
    _each(file, lambda raw, where: marathon_sent.sent(raw, where, parsed, default_network))


@command.command()
@click.argument("file")
@_default_network
def pod(file: str, default_network: str) -> None:
    """A pod of Marathon: a group of tasks, and the container of their executor.

    \b
    Example:
      ocicat translate pod pod.json
    """
    _each(file, lambda raw, where: marathon_pods.sent(raw, where, default_network))


@command.command("singularity")
@click.argument("file")
def singularity_deploy(file: str) -> None:
    """A deploy of Singularity.

    \b
    Example:
      ocicat translate singularity deploy.json
    """
    _each(file, singularity.sent)


@command.command("spark")
@click.argument("file")
def spark_settings(file: str) -> None:
    """Spark's settings (spark-defaults.conf, or JSON): an executor's task, and the driver's in cluster mode.

    \b
    Example:
      ocicat translate spark spark-defaults.conf
    """
    for source, data in contents(file, recursive=False):
        text = _text(data, source)
        given = decode_json(dict[str, str], text, what=source) if text.lstrip()[:1] == "{" else spark.properties(text)
        _print(*spark.sent(given, source))


@command.command("mesos-execute", context_settings={"ignore_unknown_options": True})
@click.argument("flags", nargs=-1, type=click.UNPROCESSED, required=True, metavar="-- FLAGS...")
def execute(flags: tuple[str, ...]) -> None:
    """The flags of mesos-execute.

    \b
    Example:
      ocicat translate mesos-execute -- --name=web --command='sleep 60' --networks=ocicat
    """
    _print(*mesos_execute.sent(flags, _load))


def _each(file: str, translated: Callable[[object, str], tuple[Sent, list[str]]]) -> None:
    for source, data in contents(file, recursive=False):
        manifests = read(data, source=source)
        if not manifests:
            raise UserError(f"{source}: is empty")
        for manifest in manifests:
            _print(*translated(manifest.raw, manifest.where))


def _print(found: Sent, remarks: list[str]) -> None:
    for remark in remarks:
        say(remark)
    click.echo(pretty_json(found), nl=False)


def _load(path: str) -> str:
    return "".join(_text(data, source) for source, data in contents(path, recursive=False))


def _text(data: bytes, source: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{source}: is not UTF-8") from error
