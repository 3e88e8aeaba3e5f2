"""The walk-through: its script and its page tell the truth. Both stand in the source tree, not in the package."""

import doctest
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT, PAGE = ROOT / "examples" / "from_scratch.py", ROOT / "docs" / "from_scratch.md"

pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="the examples are not here")


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("from_scratch", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def mnist(convnet_data, script):
    if not (convnet_data / "mnist").is_dir():
        pytest.skip("CONVNET_DATA has no folder mnist")
    (x, y), (x_test, y_test) = script.mnist()
    return (x[:1000], y[:1000]), (x_test[:200], y_test[:200])


@pytest.mark.parametrize("part", ["convolution", "output_sizes", "pooling"])
def test_exact_parts(script, part):
    getattr(script, part)()


@pytest.mark.parametrize("part", ["published", "sensible"])
def test_training_parts(script, part, mnist):
    getattr(script, part)(*mnist)


def test_a_wrong_number_stops_the_script(script):
    with pytest.raises(AssertionError, match="answer: expected 42, got 41"):
        script.check("answer", 41, 42)


def test_without_mnist_the_exact_parts_run(script, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    monkeypatch.setattr("sys.argv", ["from_scratch.py"])
    script.main()
    assert "Parts 4 to 6 need MNIST and are left out: mnist: expected" in capsys.readouterr().out


def test_the_code_on_the_page():
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    test = doctest.DocTestParser().get_doctest("".join(blocks), {}, PAGE.name, str(PAGE), 0)
    assert len(test.examples) > 20
    assert doctest.DocTestRunner().run(test).failed == 0
