"""The command `raybs`: a name for each of the project's commands."""

import click

from raybs.cli.groups import SETTINGS, Commands, Late

EPILOG = """
\b
Examples:
  raybs sweep recovery --plan          # what it would train, and how long
  raybs sweep lr_compensation          # train, then table and charts
  raybs report                         # the article beside your runs, as one file
  raybs advise results grid            # what batch size, and why?

\b
A shell completes commands, options and sweeps once its start-up file has a line:
  eval "$(_RAYBS_COMPLETE=bash_source raybs)"        # ~/.bashrc
  eval "$(_RAYBS_COMPLETE=zsh_source raybs)"         # ~/.zshrc
  _RAYBS_COMPLETE=fish_source raybs | source         # ~/.config/fish/config.fish
"""

COMMANDS = (
    Late("sweep", "raybs.sweep:main", "Run sweeps, or a grid; end with charts."),
    Late("report", "analysis.__main__:report_command", "Write the report of sweeps."),
    Late("advise", "analysis.__main__:advise_command", "Say which batch size to take."),
    Late("findings", "analysis.__main__:findings_command", "Judge what is claimed."),
    Late("export", "raybs.cli.export:main", "Write tidy frames as Parquet or CSV."),
    Late("export-model", "raybs.export:main", "Write a trained network's weights."),
    Late("doctor", "raybs.doctor:main", "See whether sweeps can run on a cluster."),
)


@click.group(cls=Commands, epilog=EPILOG, context_settings=SETTINGS)
@click.version_option(package_name="raybs")
def main() -> None:
    """Find out what batch size to train with, and why, from real training runs."""


for command in COMMANDS:
    main.add_command(command)
