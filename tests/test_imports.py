"""The layers of the package, proved over its imports: who may import whom, no cycles, nothing optional at start."""

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import convnet

ROOT = Path(convnet.__file__).parent

# From the bottom to the top; a module imports only modules of lower rows, itself or its own subpackage.
LAYERS = [
    {"errors"},
    {"settings"},
    {"shapes", "threads"},
    {"upsampling", "windows"},
    {"kernels"},
    {"functional"},
    {"parameter", "initializers", "context", "versions"},
    {"layers", "losses", "optim", "metrics"},
    {"models", "inference", "summary", "serialization"},
    {"training"},
    {"onnx", "sklearn", "explain", "plot"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
DEPENDENCIES = {"numpy", "safetensors", "tqdm"}
OPTIONAL = {
    "PIL",
    "google",
    "pooch",
    "matplotlib",
    "onnx",
    "sklearn",
    "tensorboardX",
    "mpi4py",
}  # google.protobuf comes with onnx
START_WITHOUT = OPTIONAL | {"torch", "scipy", "pandas", "jax", "tensorflow", "pytest", "hypothesis", "requests"}

MODULES = sorted(ROOT.rglob("*.py")) + sorted(ROOT.rglob("*.pyx"))


def _name(path):
    """The dotted name of a module inside the package; the package itself is the empty name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _python(path):
    """The part of a module that Python's parser reads: of a Cython module its plain imports."""
    source = path.read_text("utf-8")
    if path.suffix == ".py":
        return ast.parse(source)
    lines = [line for line in source.splitlines() if line.startswith(("import ", "from ")) and " cimport " not in line]
    return ast.parse("\n".join(line for line in lines if not line.endswith("(")))


def _imported(node):
    """The full names that one import statement brings in."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    assert node.level == 0, "relative import"
    if node.module == "convnet":
        return [f"convnet.{alias.name}" for alias in node.names]
    return [node.module]


def _all_imported(tree):
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    return [name for node in nodes for name in _imported(node)]


def _imports(path):
    return _all_imported(_python(path))


def _own_imports(path):
    """The imported modules of this package, without its name in front."""
    return [name.removeprefix("convnet.") for name in _imports(path) if name.startswith("convnet.")]


def _row(module):
    return module.split(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_imports_only_what_lies_below_it(path):
    module = _row(_name(path))
    if module == "":
        return  # the package itself gathers the public names
    if module == "data":
        assert {_row(name) for name in _own_imports(path)} <= {"errors", "settings", "data"}
        return
    assert module in RANK, f"convnet.{module} has no place in LAYERS"
    for imported in set(map(_row, _own_imports(path))) - {module}:
        rank = RANK["models"] if imported == "data" else RANK[imported]  # data sets are for those who train
        assert rank < RANK[module], f"{module} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_only_functional_imports_the_kernels(path):
    if _row(_name(path)) not in ("functional", "kernels"):
        assert "kernels" not in map(_row, _own_imports(path))


def _modules_of(path):
    """The modules of this package that the import of one needs, packages resolved to their __init__."""
    names = {_name(module) for module in MODULES}
    for imported in _own_imports(path):
        parts = imported.split(".")
        yield next((".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in names), "")


def test_there_are_no_cycles():
    below = {_name(path): set(_modules_of(path)) - {_name(path)} for path in MODULES}
    while leaves := {name for name, needed in below.items() if not needed & below.keys()}:
        below = {name: needed for name, needed in below.items() if name not in leaves}
    assert not below, f"these import each other: {sorted(below)}"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_names_say_what_a_module_is_for(path):
    assert not {"utils", "util", "helpers", "common", "misc"} & {part.strip("_") for part in _name(path).split(".")}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_functions_import_nothing_but_optional_packages(path):
    """The command line may: its help must not wait for NumPy."""
    if _row(_name(path)) in ("cli", "__main__"):
        return
    for node in ast.walk(_python(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert set(map(_row, _all_imported(node))) <= OPTIONAL, f"{node.name} imports"


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_modules_import_only_dependencies(path):
    known = sys.stdlib_module_names | DEPENDENCIES | OPTIONAL | {"convnet"}
    assert {_row(name) for name in _imports(path)} <= known


def _new_modules(code):
    """The modules that ``code`` brings into a fresh interpreter in which NumPy is already there."""
    code = f"import sys, numpy; old = set(sys.modules); {code}; print(*set(sys.modules) - old)"
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return set(result.stdout.split())


def test_importing_convnet_imports_no_optional_package():
    packages = set(map(_row, _new_modules("import convnet")))
    assert not START_WITHOUT & packages
    assert "convnet" in packages


def test_importing_convnet_leaves_what_is_slow_for_later():
    slow = {"tqdm", "importlib.metadata", "convnet.training", "convnet.metrics", "convnet.explain", "convnet.plot"}
    assert not slow & _new_modules("import convnet")
    assert "convnet.training" in _new_modules("import convnet; convnet.Trainer")


def test_the_help_of_the_command_line_waits_for_nothing_slow():
    slow = {"tqdm", "importlib.metadata", "convnet.training", "convnet.metrics", "convnet.explain", "PIL", "tomllib"}
    assert not slow & _new_modules("import convnet.cli")


def test_what_comes_later_is_there_like_the_rest():
    assert {"Trainer", "show_versions", *convnet.__all__} <= set(dir(convnet))
    assert all(hasattr(convnet, name) for name in convnet.__all__)
    with pytest.raises(AttributeError, match="module 'convnet' has no attribute 'Trainr'"):
        convnet.Trainr  # noqa: B018 - the look-up is what is tested


def test_a_module_that_lacks_its_package_names_the_extra(monkeypatch):
    for name in [*sys.modules]:
        if name.startswith("convnet.sklearn"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.utils.validation", None)
    with pytest.raises(
        ImportError, match=r"^convnet\.sklearn: expected scikit-learn .*: pip install convnet-cpu\[sklearn\]$"
    ):
        importlib.import_module("convnet.sklearn")
