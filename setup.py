"""The compiled extensions; everything else about the package stands in pyproject.toml."""

import sys
import sysconfig
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

# A free-threaded interpreter has no stable ABI (before 3.15), so there the wheel is for one version only.
LIMITED_API = not sysconfig.get_config_var("Py_GIL_DISABLED")
MACROS = [("Py_LIMITED_API", "0x030B0000"), ("CYTHON_LIMITED_API", "1")] if LIMITED_API else []

if sys.platform == "win32":
    FAST, SMALL = "/O2", "/O1"
    COMPILE, LINK = ["/std:c11", "/Zc:preprocessor"], []
else:
    FAST, SMALL = "-O3", "-Os"
    # No contraction by the compiler: a * b + c is fused exactly where csrc says so. No -ffast-math: NaN must pass.
    # -g0: the debug information that Python's own flags ask for takes a quarter of the time and is stripped again.
    COMPILE = ["-g0", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-fvisibility=hidden"]
    LINK = ["-pthread"] + (["-Wl,-s"] if sys.platform.startswith("linux") else [])

# The module that owns the process-wide state links all of csrc; the others reach it through runtime.pxd. They hold no
# inner loops, so they are compiled to be small: 0.4 instead of 0.6 MB of the wheel, at the same speed.
SOURCES = {"runtime": sorted(glob("csrc/*.c"))}
MODULES = [
    "runtime",
    "activation",
    "conv",
    "conv_weights",
    "dense",
    "depthwise",
    "elementwise",
    "group_norm",
    "norm",
    "plan",
    "pool",
    "resample",
    "response",
    "winograd",
    "winograd_weights",
]


def extension(name: str, sources: list[str]) -> Extension:
    """One compiled module."""
    return Extension(
        name,
        sources,
        include_dirs=["csrc"],
        depends=sorted(glob("csrc/*.h")),
        define_macros=MACROS,
        extra_compile_args=[FAST if SOURCES.get(name.rpartition(".")[2]) else SMALL, *COMPILE],
        extra_link_args=LINK,
        py_limited_api=LIMITED_API,
    )


extensions = [
    extension(f"convnet.kernels.{name}", [f"convnet/kernels/{name}.pyx", *SOURCES.get(name, [])]) for name in MODULES
]
# Cython's own code for memoryviews, which it generates; once instead of in every module: 470 of 2,320 KB of the wheel.
shared = extension("convnet.kernels._shared", ["convnet/kernels/_shared.c"])

setup(
    ext_modules=cythonize([*extensions, shared], shared_utility_qualified_name=shared.name),
    options={"bdist_wheel": {"py_limited_api": "cp311"}} if LIMITED_API else {},
)
