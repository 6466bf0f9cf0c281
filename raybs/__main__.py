"""The command `raybs`, also as python -m raybs."""

import sys

from raybs import interrupts


def main() -> None:
    """Answer signals before all imports that take a while; then run the command."""
    interrupts.install("python -m raybs" if __name__ == "__main__" else "raybs")
    # As with python -m, sweeps in files may import what is in the current folder; but
    # last, so that nothing there hides anything.
    sys.path.append("")
    from raybs.cli.main import main as commands

    interrupts.run(commands)


if __name__ == "__main__":
    main()
