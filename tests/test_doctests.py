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


@pytest.mark.parametrize("name", ["convnet", *MODULES])
def test_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, extraglobs={"np": np})
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    docstrings = [docstring for name in MODULES for docstring in finder.find(importlib.import_module(name))]
    assert sum(len(docstring.examples) for docstring in docstrings) > 50
