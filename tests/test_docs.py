"""README and docs: their Python and commands give what they say, their links lead somewhere."""

import contextlib
import doctest
import importlib
import io
import os
import pkgutil
import re
import shlex
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import convnet
from convnet.cli import main
from convnet.errors import WeightsError
from convnet.models import lenet
from convnet.serialization import load

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
NEEDED = {"onnx.md": "onnxruntime"}  # what code needs that is not there on every platform
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _blocks(page):
    """Language, line number and text of each block of code that runs."""
    text = page.read_text("utf-8")
    for block in re.finditer(r"^ *```(python|console)\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield block[1], text.count("\n", 0, block.start(2)), textwrap.dedent(block[2])


def _python_blocks(page):
    return [(line, block) for language, line, block in _blocks(page) if language == "python"]


def _run_examples(block, names, page, line):
    examples = doctest.DocTestParser().get_doctest(block, {}, page.name, str(page), line)
    examples.globs = names  # not a copy: the next block goes on from here
    report = []
    failed, _ = doctest.DocTestRunner().run(examples, out=report.append, clear_globs=False)
    assert failed == 0, "".join(report)


def _run_commands(block, page, line):
    """Each line that begins with ``$ `` prints what stands below it, on either stream."""
    code = 0
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.replace("\\\n", ""), re.MULTILINE):
        program, *arguments = shlex.split(command)
        if program == "convnet":
            code, printed = _run_convnet(arguments)
        else:  # there is no shell on every system
            printed = {"cat": _content, "ls": _listing, "echo": lambda _, code=code: f"{code}\n"}[program](*arguments)
        printed = printed.replace(os.sep, "/")
        right = doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS)
        assert right, f"{page}, block at line {line}: {command}\nexpected:\n{expected}\ngot:\n{printed}"


def _run_convnet(arguments):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        try:
            code = main(arguments)
        except SystemExit as end:  # wrong options
            code = end.code
    return code, printed.getvalue()


def _content(file):
    return Path(file).read_text("utf-8")


def _listing(folder):
    return "".join(f"{name}\n" for name in sorted(os.listdir(folder)))


@every_page
def test_code_runs_and_gives_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pytest.importorskip(NEEDED.get(page.name, "numpy"))
    names = {"__name__": page.stem}
    for language, line, block in _blocks(page):
        if language == "console":
            _run_commands(block, page, line)
        elif ">>>" in block:
            _run_examples(block, names, page, line)
        else:
            exec(compile("\n" * line + block, str(page), "exec"), names)


def test_there_is_python():
    assert sum(1 for page in PAGES for _ in _python_blocks(page)) >= 10


def test_the_recipe_for_files_of_pytorch(tmp_path, rng):
    torch = pytest.importorskip("torch")
    names = {}
    exec(next(block for _, block in _python_blocks(ROOT / "docs/networks.md") if "def converted" in block), names)
    model = lenet(rng=0)
    torch.save({key: torch.from_numpy(value) for key, value in model.state_dict().items()}, tmp_path / "weights.pth")
    with pytest.raises(WeightsError, match=r"looks like a file of PyTorch"):
        load(lenet(rng=1), tmp_path / "weights.pth")
    x = rng.random((1, 1, 28, 28), np.float32)
    np.testing.assert_array_equal(load(lenet(rng=1), names["converted"](tmp_path / "weights.pth"))(x), model(x))


def _anchors(page):
    """The names that headings get: lower case, hyphens for spaces, no punctuation."""
    headings = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_lead_somewhere(page):
    for path, anchor in re.findall(r"\]\(((?!https?:)[^)#\s]*)(?:#([^)\s]*))?\)", page.read_text("utf-8")):
        target = page.parent / path if path else page
        if target.parent == ROOT / "docs" / "gallery":  # drawn when the pages are built
            continue
        assert target.exists(), path
        assert not anchor or anchor in _anchors(target), f"{path}#{anchor}"


def test_the_readme_starts_with_its_two_commands():
    first = re.search(r"\A# convnet\n\n```bash\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert first is not None
    assert first[1].splitlines() == ["pip install . && convnet train", 'pip install ".[test]" && pytest']


def test_the_commands_of_the_readme_exist(capsys):
    commands = re.findall(r"`convnet (\w[^`]*)`", (ROOT / "README.md").read_text("utf-8"))
    assert {"train --help", "summary lenet", "info"} <= set(commands)
    for command in commands:
        try:
            code = main(command.split())
        except SystemExit as end:  # --help
            code = end.code
        assert code == 0, command
        assert capsys.readouterr().out


@every_page
def test_commands_are_understood(page, capsys):
    for command in re.findall(r"`convnet (\w[^`]*)`", page.read_text("utf-8")):
        with pytest.raises(SystemExit) as end:
            main([*shlex.split(command), "--help"])
        assert end.value.code == 0, command


# Modules that have no page in docs/api/: what is public of them can be imported from convnet.
INTERNAL = {"cli", "context", "kernels", "parameter", "serialization", "settings", "shapes", "summary"}
INTERNAL |= {"threads", "upsampling", "versions", "windows"}


def _documented():
    """The names on the pages in docs/api/."""
    for page in ROOT.glob("docs/api/*.rst"):
        text = page.read_text("utf-8")
        for module in re.findall(r"^.. currentmodule:: (\S+)", text, re.MULTILINE):
            for name in re.findall(r"^(?:   |.. py:data:: )([\w.]+)$", text, re.MULTILINE):
                yield f"{module}.{name}"


def _object(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_every_public_name_is_documented():
    documented = [_object(name) for name in _documented()]
    modules = {name for _, name, _ in pkgutil.iter_modules(convnet.__path__) if name[0] != "_"} - INTERNAL
    for module in ("convnet", "convnet.data.transforms", *(f"convnet.{name}" for name in sorted(modules))):
        public = importlib.import_module(module)
        for name in getattr(public, "__all__", None) or [name for name in vars(public) if name[0] != "_"]:
            thing = _object(f"{module}.{name}")
            known = name == "__version__" or isinstance(thing, type(re)) or any(thing is other for other in documented)
            assert known, f"{module}.{name}: expected it on a page in docs/api/"


def test_the_examples_of_pytest_select_tests():
    commands = re.findall(r"^pytest (.*?) *#", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE)
    commands = [shlex.split(command) for command in commands if command]
    assert commands
    for command in commands:
        collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *command]
        collected = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, check=False)
        assert collected.returncode == 0, collected.stdout
