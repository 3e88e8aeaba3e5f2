"""The command ``convnet``, which is also ``python -m convnet``."""

import sys

from convnet.errors import ConvnetError

__all__ = ["main"]

BAD_INPUT = 2


def main() -> int:
    """Run the command line, or tell in one line what in the environment keeps the library from being imported.

    Returns
    -------
    int
        Exit code, as `convnet.cli.main` tells it.
    """
    try:
        from convnet.cli import main as command_line
    except ConvnetError as error:  # CONVNET_CPU, CONVNET_NUM_THREADS
        print(f"convnet: {error}", file=sys.stderr)
        return BAD_INPUT
    return command_line()


if __name__ == "__main__":
    sys.exit(main())
