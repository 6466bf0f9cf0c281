"""python -m raybs.sweep --prune: what would be deleted, and the question whether."""

import sys
from dataclasses import replace

import click

from raybs.config.units import size
from raybs.config.validation import count
from raybs.plan.prune import Pruning, Share, find_prunable
from raybs.store.store import Store


def prune_store(store: Store, *, dry_run: bool, confirmed: bool) -> None:
    """List states that no sweep needs; delete them once that is confirmed.

    Raises:
        ValueError: There is no terminal to ask at, and it was not confirmed.
    """
    prunable = find_prunable(store)
    for share in prunable.shares:
        if share.sweep or share.kept or share.gone:
            click.echo(_line(share))
    if not prunable.paths:
        click.echo(f"Nothing to delete in {store.uri}.")
    elif dry_run:
        click.echo(f"{_files(prunable)}, to delete in {store.uri}; all rows stay.")
    elif confirmed:
        _delete(store, prunable)
    elif _is_agreed(store, prunable):
        # A sweep may have started meanwhile, and go on from some of them.
        still = find_prunable(store).sizes
        sizes = {path: size for path, size in prunable.sizes.items() if path in still}
        _delete(store, replace(prunable, sizes=sizes))
    else:
        click.echo("Nothing was deleted.")


def _line(share: Share) -> str:
    about = "of no sweep recorded here, or unfinished"
    if share.sweep:
        about = f"{share.sweep}, {count(share.num_trials, 'trial')}"
    stays = f"{count(share.kept, 'state')} ({size(share.kept_bytes)}) to keep"
    return f"  {about}: {stays}, {share.gone} ({size(share.gone_bytes)}) to delete"


def _files(prunable: Pruning) -> str:
    return f"{count(len(prunable.sizes), 'file')}, {size(prunable.num_bytes)}"


def _is_agreed(store: Store, prunable: Pruning) -> bool:
    files = _files(prunable)
    if not sys.stdin.isatty():
        raise ValueError(
            f"--prune deletes {files} in {store.uri}; confirm it with --yes."
        )
    try:
        return click.confirm(f"Delete {files} in {store.uri}? All rows stay.")
    except click.Abort:  # the end of the input
        return False


def _delete(store: Store, prunable: Pruning) -> None:
    store.files.delete(prunable.paths)
    click.echo(f"Deleted {_files(prunable)}.")
