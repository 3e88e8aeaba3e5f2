"""show_versions: complete, readable, and true."""

import platform

import numpy as np

from convnet import functional
from convnet.versions import Versions, show_versions


def test_what_is_in_use(set_num_threads, set_algorithm):
    set_num_threads(3)
    set_algorithm("winograd")
    versions = show_versions()
    assert versions["threads"] == "3"
    assert versions["convolutions"] == "winograd"
    assert versions["numpy"] == np.__version__
    assert versions["python"] == platform.python_version()
    assert versions["kernels"] == functional.cpu_features()["kernels"]
    assert versions["kernels"] in versions["available"].split(", ")
    assert {"convnet", "platform", "machine", "CPUs"} <= set(versions)


def test_environment_variables(monkeypatch):
    monkeypatch.setenv("CONVNET_EXAMPLE", "seven")
    assert show_versions()["CONVNET_EXAMPLE"] == "seven"
    monkeypatch.delenv("CONVNET_EXAMPLE")
    assert "CONVNET_EXAMPLE" not in show_versions()


def test_text_is_an_aligned_report():
    assert str(Versions({"a": "1", "long": "2"})) == "a     1\nlong  2"
    assert repr(show_versions()) == str(show_versions())
