"""What is installed and in use here: the first thing to put into a bug report."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from convnet.functional import cpu_features, get_algorithm, get_num_threads

__all__ = ["Versions", "__version__", "show_versions"]

try:
    __version__ = version("convnet-cpu")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "unknown"


class Versions(dict[str, str]):
    """A dictionary whose text is an aligned report."""

    def __str__(self) -> str:
        width = max(map(len, self), default=0)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self.items())

    __repr__ = __str__


def show_versions() -> Versions:
    """Tell versions, platform, the CPU kernels in use, threads, and the environment variables convnet listens to.

    Returns
    -------
    Versions
        A dictionary of texts; the interactive prompt and ``print`` show it as a report.

    Examples
    --------
    >>> show_versions()["python"] == platform.python_version()
    True
    """
    described = {
        "convnet": __version__,
        "python": platform.python_version(),
        "python build": f"{platform.python_implementation()}, {_locking()}",
        "numpy": np.__version__,
        "platform": platform.platform(),
        "machine": platform.machine(),
        **{name: _text(value) for name, value in cpu_features().items()},
        "convolutions": get_algorithm(),
        "threads": str(get_num_threads()),
        "CPUs": str(os.cpu_count()),
    }
    variables = {name: os.environ[name] for name in sorted(os.environ) if name.startswith("CONVNET_")}
    return Versions(described | variables)


def _locking() -> str:
    free = not getattr(sys, "_is_gil_enabled", lambda: True)()
    return "free-threaded" if free else "with the global interpreter lock"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
