"""The benchmark programs run, compare what they say they do, and refuse wrong numbers; nothing here depends on time."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the benchmarks are not here")

TINY = ["--threads", "1", "--seconds", "0.01"]


def _run(program, *arguments):
    """What a program prints; its own folder comes first on its path, as for everybody who runs a script."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    command = [sys.executable, "-X", "utf8", str(FOLDER / program), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    """The tables of a tiny comparison, and the file with its figures."""
    pytest.importorskip("torch")
    file = tmp_path_factory.mktemp("comparison") / "run.json"
    chosen = ["--networks", "simple_cnn", "--shapes", "100x1x28", "--sides", "torch channels_last"]
    return _run("compare.py", *chosen, *TINY, "--json", str(file)), file


def test_every_kind_of_work_is_compared(comparison):
    cases = json.loads(comparison[1].read_text("utf-8"))["cases"]
    convolutions = [(which, 100) for which in ("forward", "data gradient", "weight gradient")]
    kinds = [("step", 100), ("inference", 1), ("inference", 100), *convolutions]
    assert [(case["kind"], case["batch"]) for case in cases] == kinds
    for case in cases:
        assert list(case["sides"]) == ["convnet", "torch channels_last"]
        assert all(times["ms"] > 0 for times in case["sides"].values())
        assert not case["skipped"]


def test_a_step_of_simple_cnn_counts_its_operations(comparison):
    first = json.loads(comparison[1].read_text("utf-8"))["cases"][0]
    convolution, dense = 8 * 28 * 28 * 9, 1568 * 64 + 64 * 10
    assert first["flops"] == 2 * 100 * (2 * convolution + 3 * dense)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its peak")
def test_memory_of_a_step(comparison):
    memory = json.loads(comparison[1].read_text("utf-8"))["cases"][0]["memory"]
    assert list(memory) == ["convnet", "torch channels_last"]
    weights, images = 3 * 4 * 101_146, 4 * 100 * 784  # with gradients and momentum
    assert all(weights + images < peak < 1e9 for peak in memory.values())


def test_figures_are_shown_again(comparison):
    tables, file = comparison
    assert _run("compare.py", "--read", str(file)) == tables
    assert "### Training step, milliseconds" in tables
    assert "| simple_cnn |" in tables


def test_the_same_figures_give_the_same_chart(comparison, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("one.svg", "two.svg", "three.png"):
        _run("compare.py", "--read", str(comparison[1]), "--chart", str(tmp_path / name))
    text = (tmp_path / "one.svg").read_bytes()
    assert text == (tmp_path / "two.svg").read_bytes()
    assert b">times faster than the best of the others</text>" in text
    assert (tmp_path / "three.png").read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def roofline(tmp_path_factory):
    """The tables of a tiny roofline, and the file with its figures."""
    from peak import peak_gflops

    if peak_gflops(1) is None:
        pytest.skip("no C compiler")
    file = tmp_path_factory.mktemp("roofline") / "run.json"
    return _run("roofline.py", "--network", "simple_cnn", "--batch", "2", *TINY, "--json", str(file)), file


def test_a_roofline_counts_each_pass(roofline):
    run = json.loads(roofline[1].read_text("utf-8"))
    rows = {row["name"]: row["passes"] for row in run["rows"]}
    assert list(rows) == ["0", "3", "4", "6", "loss", "update"]  # of the fused model, no sums of gradients
    convolution, dense = 8 * 28 * 28 * 9, 1568 * 64
    assert [rows["0"][which]["flops"] for which in ("forward", "backward")] == [4 * convolution] * 2
    assert [rows["4"][which]["flops"] for which in ("forward", "backward")] == [4 * dense, 8 * dense]
    images, pooled, weights = 2 * 784, 2 * 8 * 14 * 14, 8 * 9 + 8
    assert rows["0"]["forward"]["bytes"] == 4 * (images + pooled + weights) + pooled  # a byte of code a pooled output
    assert rows["0"]["backward"]["bytes"] == 4 * (images + pooled + 2 * weights) + pooled  # and no dx
    assert rows["update"]["update"]["bytes"] == 6 * 4 * 101_146


def test_the_rows_of_a_roofline_fill_the_step(roofline):
    from roofline import rest_ms

    run = json.loads(roofline[1].read_text("utf-8"))
    assert all(figures["ms"] > 0 for row in run["rows"] for figures in row["passes"].values())
    assert 0 < rest_ms(run) < run["step_ms"]
    assert _run("roofline.py", "--read", str(roofline[1])) == roofline[0]


def test_sums_of_gradients_are_seen_where_paths_part():
    from roofline import SUMS, Clock, Wired

    import convnet
    from convnet.layers import graph

    rng = np.random.default_rng(0)
    branches = [convnet.Sequential(convnet.Dense(4, 4, rng=rng), convnet.ReLU()) for _ in range(2)]
    model = convnet.Sequential(convnet.Dense(4, 4, rng=rng), convnet.Parallel(*branches))
    add, clock = graph.add, Clock()
    clock.counting, wired = True, Wired(model, clock)
    wired.trainer.step(rng.random((3, 4), np.float32), np.array([0, 1, 2]))
    wired.unwire()
    assert graph.add is add
    assert clock.costs[SUMS, "backward"] == (0, 3 * 4 * 3 * 4)  # two arrays of 3 x 4 floats read, one written


def test_the_report_fills_its_parts_of_the_page(comparison, roofline, tmp_path):
    pytest.importorskip("matplotlib")
    names = ("networks", "shapes", "scaling", "mnist", "charts", "rooflines")
    page = tmp_path / "page.md"
    page.write_text("# Title\n" + "".join(f"<!-- {name} -->\nold {name}\n<!-- /{name} -->\n" for name in names))
    for name, (_, file) in {"networks": comparison, "roofline-simple_cnn": roofline}.items():
        (tmp_path / f"{name}.json").write_bytes(file.read_bytes())
    _run("report.py", str(tmp_path), "--page", str(page))
    text = page.read_text("utf-8")
    assert comparison[0].strip() in text
    assert roofline[0].strip() in text
    assert [name for name in names if f"old {name}" in text] == ["shapes", "scaling", "mnist"]
    assert re.findall(r"\((page/.*)\)", text) == ["page/networks.svg", "page/roofline-simple_cnn.svg"]
    assert all((tmp_path / path).exists() for path in re.findall(r"\((page/.*)\)", text))


def test_the_page_has_the_parts_of_the_report():
    text = (FOLDER.parent / "docs" / "performance.md").read_text("utf-8")
    for name in ("networks", "shapes", "scaling", "mnist", "charts", "rooflines"):
        assert f"<!-- {name} -->\n" in text
        assert f"<!-- /{name} -->\n" in text


@pytest.mark.skipif(not os.environ.get("CONVNET_DATA"), reason="CONVNET_DATA names no folder")
def test_an_epoch_of_mnist(tmp_path):
    pytest.importorskip("torch")
    file = tmp_path / "run.json"
    shown = _run("mnist_epoch.py", "--seeds", "1", "--images", "512", "--threads", "1", "--json", str(file))
    run = json.loads(file.read_text("utf-8"))
    assert list(run["sides"]) == ["convnet", "torch NCHW", "torch channels_last"]
    assert all(0 < side["accuracy"][0] < 1 for side in run["sides"].values())
    assert _run("mnist_epoch.py", "--read", str(file)) == shown


def test_data_loading(tmp_path):
    images = pytest.importorskip("PIL.Image", reason="images need Pillow")
    for name in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        images.new("RGB", (200, 180), "green").save(tmp_path / name)
    file = tmp_path / "run.json"
    chosen = ["--cases", "photographs, four convolutions", "--folder", str(tmp_path)]
    shown = _run("data_loading.py", *chosen, *TINY, "--json", str(file))
    (case,) = json.loads(file.read_text("utf-8"))["cases"]
    assert (case["batch"], case["steps"]) == (3, 1)
    assert list(case["sides"]) == ["prepared", "workers 0", "workers 1", "workers 2"]
    assert all(side["ms"] > 0 for side in case["sides"].values())
    assert _run("data_loading.py", "--read", str(file)) == shown


def test_data_to_load():
    from argparse import Namespace

    from data_loading import cifar_case

    model, loader = cifar_case(Namespace(steps=2))
    x, y = next(iter(loader(1)))
    assert (len(loader(1)), x.shape, model(x[:1]).shape, y.shape) == (2, (128, 3, 32, 32), (1, 10), (128,))


def test_scaling(tmp_path):
    file = tmp_path / "run.json"
    tables = _run("scaling.py", "--largest", "4", *TINY, "--json", str(file))
    sweeps = json.loads(file.read_text("utf-8"))["sweeps"]
    assert list(sweeps) == ["batch", "side", "channels", "depth", "threads"]
    assert [point["x"] for point in sweeps["batch"]["points"]] == [1, 2, 4]
    assert _run("scaling.py", "--read", str(file)) == tables


def test_a_cliff_is_named():
    from scaling import cliffs

    times = [10, 20, 60, 120, 230]
    points = [{"x": 2**i, "work": 2**i, "ms": ms} for i, ms in enumerate(times)]
    assert cliffs(points) == {4: 1.5}


def _cases():
    from cases import convolution_case, inference_case, step_case
    from networks import NETWORKS
    from shapes import PASSES, SHAPES

    yield from [step_case(NETWORKS[0]), inference_case(NETWORKS[0], 1)]
    yield from (convolution_case(SHAPES[0], which) for which in PASSES)


def test_sides_agree_and_a_small_error_is_refused():
    pytest.importorskip("torch")
    from cases import check
    from sides import reference
    from sides.ours import Convnet

    for case in _cases():
        exact, ours = (_results(case, side) for side in (reference(1), Convnet(1)))
        check(case, exact, ours)
        for name, array in ours.items():
            # One filter, logit or image that is off by a tenth of the largest.
            wrong = array.copy()
            wrong[0] += 0.1 * np.abs(array).max()
            with pytest.raises(ArithmeticError, match=name):
                check(case, exact, {**ours, name: wrong})


def test_results_under_other_names_are_refused():
    from cases import check

    case = next(_cases())
    with pytest.raises(ArithmeticError, match="only one side has \\['a', 'b'\\]"):
        check(case, {"a": np.ones(1)}, {"b": np.ones(1)})


def _results(case, side):
    work = case.work(side)
    for _ in range(case.runs):
        work.run()
    return {name: array.copy() for name, array in work.results().items()}


def test_sides_take_turns():
    from turns import alternate

    order = []
    times = alternate({name: lambda name=name: order.append(name) for name in "ab"}, 1e-9, rest=0)
    assert order == list("ab" * 4)  # once to learn how long it takes, then the least number of turns
    assert [len(times[name]) for name in "ab"] == [3, 3]


def test_a_hopeless_side_has_one_turn():
    from turns import alternate

    sides = {"quick": lambda: None, "slow": lambda: sum(range(100_000))}
    times = alternate(sides, 1e-9, rest=0, give_up=20)
    assert {name: len(t) for name, t in times.items()} == {"quick": 3, "slow": 1}


def test_cpus_of_other_cores_come_first(monkeypatch):
    from machine import position_in_core

    siblings = {"cpu0": "0-1", "cpu1": "0-1", "cpu2": "2,6", "cpu6": "2,6\n"}
    monkeypatch.setattr(Path, "read_text", lambda path: siblings[path.parts[5]])
    assert [position_in_core(cpu) for cpu in (0, 1, 2, 6)] == [0, 1, 0, 1]


def test_the_peaks_are_measured():
    from peak import bandwidth_gbytes, peak_gflops

    peak = peak_gflops(1)
    if peak is None:
        pytest.skip("no C compiler")
    assert 1 < peak < 1000
    assert 0.1 < bandwidth_gbytes(1) < 1000
