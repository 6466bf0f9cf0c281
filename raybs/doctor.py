"""Check a cluster before sweeps do: python -m raybs.doctor --address auto."""

from raybs import interrupts

if __name__ == "__main__":  # before all other imports, which take a while
    interrupts.install("python -m raybs.doctor")

import sys
from collections.abc import Iterator

import click

from raybs.beside import check_workers_import_raybs
from raybs.cli.errors import quoted, said_politely
from raybs.cli.groups import SETTINGS
from raybs.config.units import size
from raybs.datasets.dataset import Arrays, load_arrays
from raybs.launch.ray.health import CHECKS, Cluster, Node, faults
from raybs.launch.resources import Resources, find_address
from raybs.store.opening import open_store

EXAMPLES = """
\b
Examples:
  python -m raybs.doctor                                        # this machine alone
  python -m raybs.doctor --address auto --results s3://bucket/path      # a cluster
  ray job submit --address http://127.0.0.1:8265 -- \\
      python -m raybs.doctor --results s3://bucket/path         # ... as a job on it

Exit status: 0; 1 if a sweep would fail there, or others can come in; 2 for a wrong
request.
"""


def report(cluster: Cluster) -> Iterator[str]:
    """Yield in words what was seen: each check, then each fault with its remedy."""
    driver, *nodes = cluster.nodes
    yield f"{len(nodes)} node{'s' if len(nodes) != 1 else ''}; this driver has " + (
        ", ".join(f"{name} {version}" for name, version in driver.versions.items())
    )
    yield from map(_words, nodes)
    messages = faults(cluster)
    for check, remedy in CHECKS.items():
        wrong = [message for other, message in messages if other == check]
        yield f"{'FAULT' if wrong else 'ok':>7}  {check}"
        yield from (f"         {message}." for message in wrong)
        if wrong:
            yield f"         -> {remedy}"


def _words(node: Node) -> str:
    if node.error:
        return f"  {node.name}: not reached"
    space = f"{size(node.free_disk or 0)} of disk free"
    store = f"object store of {size(int(node.object_store or 0))}"
    return f"  {node.name}: {node.seen_gpus or 0} GPUs, {space}, {store}"


def examine(store_uri: str, arrays: Arrays, resources: Resources) -> Cluster:
    """Start or join Ray as a sweep does, and look at every node.

    Raises:
        ValueError: Ray cannot be started or reached, or the results folder not used.
    """
    from raybs.launch.ray.nodes import ask_nodes, lets_in
    from raybs.launch.ray.session import ray_session

    check_workers_import_raybs()
    store = open_store(store_uri, create=True)
    num_bytes = arrays.x_train.nbytes + arrays.x_test.nbytes
    with ray_session(resources, num_bytes) as dashboard:
        return Cluster(
            nodes=ask_nodes(store, arrays),
            dashboard=dashboard,
            lets_in=lets_in(dashboard),
            num_bytes=num_bytes,
        )


@click.command("doctor", epilog=EXAMPLES, context_settings=SETTINGS)
@click.option(
    "--address",
    metavar="ADDRESS",
    help="A running Ray cluster: 'auto', or HOST:PORT.  [default: RAY_ADDRESS, or a "
    "Ray of its own on this machine]",
)
@click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="URI",
    help="Results folder that sweeps will use: a path, s3://... or gs://...",
)
@click.option(
    "--dataset",
    default="mnist",
    show_default=True,
    metavar="NAME",
    help="Dataset that sweeps will use.",
)
def main(address: str | None, results: str, dataset: str) -> None:
    """See whether sweeps can run on a cluster, and whether others can come in.

    On every node: the same versions and code, GPUs, results readable and writable,
    the dataset arriving, disk and shared memory; of the cluster: whether it asks for a
    token, and whether its dashboard is exposed.
    """
    with said_politely():
        resources = Resources(address=find_address(address))
        arrays = load_arrays(dataset)
        try:
            cluster = examine(results, arrays, resources)
        except ValueError as error:  # so would a sweep
            click.echo(f"  FAULT  {quoted(error)}", err=True)
            sys.exit(1)
        for line in report(cluster):
            click.echo(line)
        if faults(cluster):
            sys.exit(1)


if __name__ == "__main__":
    interrupts.run(main)
