"""The recipes run, are as short as they claim to be, and learn something in a smoke run."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
RECIPES = sorted(path for path in EXAMPLES.glob("*.py") if path.name not in ("from_scratch.py", "gallery.py"))

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples are not here")
every = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def test_the_recipes_are_here():
    assert {path.stem for path in RECIPES} == {"cifar10_fast", "fashion_mnist", "flowers", "mnist_best", "mnist_fast"}


@every
def test_a_recipe_has_at_most_80_lines(recipe):
    assert len(recipe.read_text("utf-8").splitlines()) <= 80


@every
def test_a_smoke_run_learns(recipe, tmp_path):
    assert _smoke(recipe, tmp_path, "0")[0] > 60  # of 100; guessing gives 10


def test_the_mean_and_the_deviation(tmp_path):
    first, second, *summary = _smoke(EXAMPLES / "mnist_fast.py", tmp_path, "0", "1")
    assert summary == pytest.approx([(first + second) / 2, abs(first - second) / 2], abs=0.01)


def test_the_gallery(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    specification = importlib.util.spec_from_file_location("gallery", EXAMPLES / "gallery.py")
    gallery = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(gallery)
    train, test = gallery.digits()
    monkeypatch.setattr(gallery, "digits", lambda: [(x[:200], y[:200]) for x, y in (train, test)])
    monkeypatch.setattr(gallery, "cifar10", None)
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path))
    gallery.main(tmp_path / "pictures", epochs=1)
    names = ["confusion", "explain", "filters", "history", "maps", "mistakes"]
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == [f"digits-{name}.png" for name in names]
    assert "macro average" in capsys.readouterr().out


def _smoke(recipe, folder, *seeds):
    """The accuracies that a smoke run tells, their mean and their standard deviation."""
    command = [sys.executable, "-W", "error", str(recipe), "--smoke", "--seeds", *seeds]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert list(folder.iterdir()) == []
    *lines, last = re.findall(r"^(?:seed|mean) .*", result.stdout, re.MULTILINE)
    assert [re.match(r"seed (\d+): ", line)[1] for line in lines] == list(seeds)
    mean, deviation = re.match(r"mean (\S+) % and \S+ s, deviation (\S+) %", last).groups()
    return [*(float(line.split()[2]) for line in lines), float(mean), float(deviation)]
