"""Networks that are not the built-in MLP: tried before a plan, known to it by then."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from raybs.config.gradient_sweep import Cell
from raybs.config.keys import fingerprint_of, is_closed_form
from raybs.datasets.dataset import load_arrays
from raybs.plan.requests import Request
from raybs.plan.resolve import Asked
from raybs.store.networks import Network, network_from_json, network_key
from raybs.store.store import Store


def with_networks(asked: Sequence[Asked], store: Store) -> list[Asked]:
    """Try all networks but the built-in MLP, and add what planning needs of them.

    Raises:
        ValueError: One cannot be trained; or it is not the one that `store` has rows
            of, though its code is the same.
    """
    groups: dict[str, list[Request]] = {}
    cells: dict[str, list[Cell]] = {}
    for item in asked:
        for request in item.requests:
            if not is_closed_form(request.config):
                key = network_key(request.config, request.fingerprint)
                groups.setdefault(key, []).append(request)
        for wanted in item.wanted:
            key = _cell_network(wanted.cell, item)
            cells.setdefault(key, []).append(wanted.cell)
    if not groups:
        return list(asked)
    from raybs.models.inspection import inspect_network  # imports torch

    known = store.read_records("networks", network_from_json)
    networks: dict[str, Network] = {}
    for key, requests in groups.items():
        configs = [request.config for request in requests]
        arrays = load_arrays(configs[0].dataset)
        network = inspect_network(configs, arrays, cells.get(key, ()))
        if key in known and (what := known[key].differs(network)):
            raise ValueError(
                f"{configs[0].model} is not the network that {store.uri} has rows of, "
                f"though its files are the same: {what}. It depends on something "
                "outside its code, such as a data file or a global; undo that change, "
                "or give another --results."
            )
        networks[key] = network
    return [_with_networks(item, networks) for item in asked]


def _with_networks(item: Asked, networks: Mapping[str, Network]) -> Asked:
    requests = [
        replace(r, network=networks.get(network_key(r.config, r.fingerprint)))
        for r in item.requests
    ]
    wanted = [
        replace(w, network=networks.get(_cell_network(w.cell, item)))
        for w in item.wanted
    ]
    return replace(item, requests=requests, wanted=wanted)


def _cell_network(cell: Cell, item: Asked) -> str:
    """Return the key of the network that draws of `item` are of."""
    prints = {
        n: f for request in item.requests for n, f in request.fingerprints.items()
    }
    return network_key(cell.config, fingerprint_of(cell.config, prints))


def record_networks(asked: Sequence[Asked], store: Store) -> None:
    """Write down what rows will be of, unless it is known."""
    known = store.read_records("networks", network_from_json)
    for request in (request for item in asked for request in item.requests):
        if request.network:
            key = network_key(request.config, request.fingerprint)
            if key not in known:
                store.write_record("networks", key, asdict(request.network))
