"""Commands of commands: one with named ones beside it, and ones imported late."""

import difflib
import importlib
from collections.abc import Sequence
from typing import Any

import click

from raybs.beside import import_beside

SETTINGS: dict[str, Any] = {
    "max_content_width": 88,
    "help_option_names": ["--help", "-h"],
}
"""Of all commands."""

results_option = click.option(
    "--results",
    default="results",
    show_default=True,
    metavar="URI",
    help="Results folder: a path, s3://... or gs://...",
)
"""Of all commands that read or write one."""


class Branching(click.Group):
    """A command that its first word may turn into another: `sweep`, `sweep grid`.

    Where the first word names none of `others`, all words are those of `usual`.
    """

    def __init__(self, usual: click.Command, others: Sequence[click.Command]) -> None:
        """Hold the usual command, and the others by their names."""
        super().__init__(usual.name, commands=others, help=usual.help)
        self.usual = usual

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the words as those of a named command, or of the usual one."""
        if args and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        return self.usual.make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command whose words were parsed."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


class Late(click.Command):
    """Stands for a command that is imported once it is used; its help is here."""

    def __init__(self, name: str, place: str, help: str) -> None:
        """Hold where the command is, "module:name", and the first line of its help."""
        super().__init__(name, help=help)
        self.place = place

    def load(self) -> click.Command:
        """Import the command."""
        module, _, name = self.place.partition(":")
        package = module.partition(".")[0]
        if package != "raybs":
            import_beside(package)
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Parse the words as those of the command."""
        return self.load().make_context(info_name, args, parent, **extra)


class Commands(click.Group):
    """A group that knows what a word was meant to be that names no command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which they were added."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the first word names, and the words after it."""
        word = args[0]
        if word not in self.commands and not ctx.resilient_parsing:
            ctx.fail(f"No command {word!r}. {self._meant(ctx, word)}")
        return super().resolve_command(ctx, args)

    def _meant(self, ctx: click.Context, word: str) -> str:
        from raybs.config.catalog import sweep_names  # only for a word that is wrong

        if word in sweep_names() or word.endswith(".py"):
            return f"To run this sweep: {ctx.command_path} sweep {word}"
        near = difflib.get_close_matches(word, self.commands, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return f"{hint}Known: {', '.join(self.commands)}."
