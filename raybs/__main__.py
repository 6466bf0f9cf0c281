"""The command `raybs`, also as python -m raybs."""

from raybs import interrupts


def main() -> None:
    """Answer signals before all imports that take a while; then run the command."""
    interrupts.install("python -m raybs" if __name__ == "__main__" else "raybs")
    from raybs.cli.main import main as commands

    interrupts.run(commands)


if __name__ == "__main__":
    main()
