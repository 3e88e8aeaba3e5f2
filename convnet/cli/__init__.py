"""The command ``convnet``: train, evaluate, predict, export, summary, explain, bench, info."""

import argparse
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from convnet.cli import _bench, _evaluate, _explain, _export, _info, _predict, _summary, _train
from convnet.cli._options import BAD_INPUT, Parser
from convnet.errors import ConvnetError

__all__ = ["main"]

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
NO_READER = 141  # 128 + SIGPIPE, likewise

COMMANDS = (_train, _evaluate, _predict, _export, _summary, _explain, _bench, _info)

DESCRIPTION = "Train convolutional networks on the CPU, use them, and look into them."

EXAMPLES = """examples:
  convnet train                             train lenet on the digits that come with convnet
  convnet train --data photos/ --model resnet20 --image-size 32 --run runs/photos
                                            ... a network on a folder of images, with a report
  convnet evaluate runs/photos              loss, accuracy, and a table of the classes
  convnet predict runs/photos holiday/      what is in each picture
  convnet export runs/photos                the trained model as an ONNX file
  convnet summary lenet                     output shape, parameters and multiply-adds of each layer
  convnet info                              versions, CPU kernels and threads, for a bug report

"convnet COMMAND --help" tells more.

exit codes: 0 done, 1 partly (some files could not be read), 2 bad input or a file that cannot be written,
130 interrupted, 141 nobody reads the output."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        Exit code: 0 done, 1 partly, 2 bad input or a file that cannot be written, 130 interrupted, 141 nobody reads the
        output.
    """
    options = _parser().parse_args(arguments)
    try:
        code = _run(options)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C must not print a traceback
        _complain(options.name, str(interrupt) or "interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # as in "convnet info | head -1"
        return NO_READER
    except MemoryError as error:
        _complain(options.name, f"expected enough memory, got too little: {error}")
        return BAD_INPUT
    except (ConvnetError, OSError) as error:
        _complain(options.name, _one_line(error))
        return BAD_INPUT
    return code


def _run(options: argparse.Namespace) -> int:
    """The command; warnings, as of broken files, take one line each."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = lambda message, *_: _complain(options.name, " ".join(str(message).split()))
        return options.run(options) or 0


class _Version(argparse.Action):
    """As the action "version", but what tells the version is imported only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from convnet.versions import __version__

        print(f"convnet {__version__}")
        parser.exit()


def _parser() -> Parser:
    parser = Parser("convnet", description=DESCRIPTION, epilog=EXAMPLES)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="name")
    for command in COMMANDS:
        name = command.__name__.rpartition("._")[2]
        page = commands.add_parser(name, help=command.HELP, description=command.DESCRIPTION, epilog=command.EXAMPLES)
        command.add_options(page)
        page.set_defaults(run=command.run)
    return parser


def _complain(command: str, text: str) -> None:
    print(f"convnet {command}: {text}", file=sys.stderr)


def _one_line(error: Exception) -> str:
    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    return " ".join(text.split())
