"""The entry point of the command `atrium` and of `python -m atrium_server`."""

from __future__ import annotations

from atrium_server.cli import app


def main() -> None:
    """Run the command that the arguments of this process name."""
    app()


if __name__ == "__main__":
    main()
