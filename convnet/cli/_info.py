"""``convnet info``."""

import argparse

from convnet.cli._options import add_json, print_json

HELP = "show versions, CPU kernels and threads"
DESCRIPTION = "Show what is installed and in use, for a bug report."
EXAMPLES = """examples:
  convnet info
  convnet info --json | jq .threads"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    add_json(parser)


def run(options: argparse.Namespace) -> None:
    """Print the versions."""
    from convnet.versions import show_versions

    if options.json:
        print_json(dict(show_versions()))
    else:
        print(show_versions())
