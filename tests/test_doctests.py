"""The examples in the docstrings of the installed package run and give what they say; np is NumPy in all of them."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import convnet

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(convnet.__path__, "convnet.")
    if not module.name.startswith("convnet.kernels.") and not module.name.endswith("__main__")
)
NEEDED = {"convnet.onnx.exporter._export": "onnx"}
"""What examples need that is not there on every platform."""


def _module(name):
    """The module, or None if it lacks an optional package; it then names the extra."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if "pip install convnet-cpu[" not in str(error):
            raise
        return None


@pytest.mark.parametrize("name", ["convnet", *MODULES])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip(NEEDED.get(name, "numpy"))
    module = _module(name)
    if module is None:
        pytest.skip("the optional package that it is made for is not installed")
    failed, _ = doctest.testmod(module, extraglobs={"np": np})
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    modules = filter(None, map(_module, MODULES))
    docstrings = [docstring for module in modules for docstring in finder.find(module)]
    assert sum(len(docstring.examples) for docstring in docstrings) > 50
