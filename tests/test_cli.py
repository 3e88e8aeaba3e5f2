"""The command line: what it prints, what it refuses, and its exit codes."""

import dataclasses
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

import convnet
from convnet.cli import main
from convnet.cli._settings import Settings

LAST_LINE = r"accuracy on 1000 held-out digits: (\d+\.\d\d) %"


def run(*arguments, **settings):
    """Run the command in a process of its own."""
    command = [sys.executable, "-m", "convnet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **settings)


def refused(capsys, *arguments):
    """The one line of a command that ends with exit code 2."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as exit:
        code = exit.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def same_weights(path, other_path):
    weights, others = load_file(path), load_file(other_path)
    return weights.keys() == others.keys() and all(np.array_equal(weights[name], others[name]) for name in weights)


def test_the_main_job(tmp_path):
    finished = run("train", cwd=tmp_path)
    assert finished.returncode == 0
    accuracy = float(re.fullmatch(LAST_LINE, finished.stdout.splitlines()[-1])[1])
    assert accuracy >= 97.5
    assert os.listdir(tmp_path) == ["lenet.safetensors"]
    model = convnet.load(convnet.models.lenet(), tmp_path / "lenet.safetensors")
    trainer = convnet.Trainer(model, convnet.SoftmaxCrossEntropy(), convnet.optim.SGD(0.1))
    _, test = convnet.data.digits()
    assert f"{100 * trainer.evaluate(test)['accuracy']:.2f}" == f"{accuracy:.2f}"
    epochs = [line.split(":")[0] for line in finished.stderr.splitlines()]
    assert epochs == [f"epoch {number}" for number in range(1, len(epochs) + 1)]


def test_options(tmp_path, capsys):
    arguments = ["train", "--model", "simple_cnn", "--epochs", "1", "--batch-size", "200", "--optimizer", "sgd"]
    for name, seed in (("a", "3"), ("b", "3"), ("c", "4")):
        assert main([*arguments, "--lr", "0.05", "--seed", seed, "--quiet", "--output", str(tmp_path / name)]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert re.fullmatch(LAST_LINE, out.splitlines()[0])
    assert err == ""
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_threads_change_nothing_but_the_time(tmp_path, set_num_threads):
    for threads in "12":
        output = str(tmp_path / threads)
        assert main(["train", "--epochs", "1", "--threads", threads, "--quiet", "--output", output]) == 0
        assert convnet.get_num_threads() == int(threads)
    assert same_weights(tmp_path / "1", tmp_path / "2")


def test_summary(capsys):
    assert main(["summary", "simple_cnn"]) == 0
    out = capsys.readouterr().out
    assert out == f"{convnet.summary(convnet.models.simple_cnn())}\n"
    assert main(["summary", "lenet", "--input-shape", "1,28,28"]) == 0
    assert main(["summary", "resnet18", "--input-shape", "3,64,64"]) == 0
    assert "44,426" in capsys.readouterr().out


def test_info_and_version(capsys):
    assert main(["info"]) == 0
    assert capsys.readouterr().out == f"{convnet.show_versions()}\n"
    with pytest.raises(SystemExit) as exit:
        main(["--version"])
    assert exit.value.code == 0
    assert capsys.readouterr().out == f"convnet {convnet.__version__}\n"


@pytest.mark.parametrize(
    "command", [[], ["train"], ["evaluate"], ["predict"], ["export"], ["summary"], ["explain"], ["bench"], ["info"]]
)
def test_help(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([*command, "--help"])
    assert exit.value.code == 0
    page = capsys.readouterr().out
    assert page.startswith("usage: convnet")
    assert "examples:" in page
    assert max(map(len, page.splitlines())) <= 120


def test_every_setting_is_an_option(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    page = capsys.readouterr().out
    for setting in dataclasses.fields(Settings):
        assert f"\n  --{setting.name.replace('_', '-').replace('options', 'option')} " in page


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ([], "convnet: the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly' (choose from "),
        (["train", "--model", "lanet"], "convnet train: argument --model: invalid choice: 'lanet' (choose from "),
        (["train", "--data", "cats"], "convnet train: argument --data: invalid choice: 'cats' (choose from "),
        (["train", "--epochs", "0"], "argument --epochs: expected an integer of at least 1, got '0'"),
        (["train", "--batch-size", "2.5"], "argument --batch-size: expected an integer of at least 1, got '2.5'"),
        (["train", "--threads", "5000"], "convnet train: --threads: expected 1 to 4096 threads, got 5000"),
        (["train", "--mixup", "-1"], "argument --mixup: expected a number of at least 0, got '-1'"),
        (["train", "--normalize", "1/0"], "argument --normalize: expected none, imagenet, cifar10, dataset, or means/"),
        (["train", "--threads", "no"], "argument --threads: expected an integer of at least 1, got 'no'"),
        (["train", "--seed", "-1"], "argument --seed: expected an integer of at least 0, got '-1'"),
        (["train", "--lr", "nan"], "argument --lr: expected a number above 0, got 'nan'"),
        (["train", "--lr", "inf"], "argument --lr: expected a number above 0, got 'inf'"),
        (["train", "--lr", "fast"], "argument --lr: expected a number above 0, got 'fast'"),
        (["train", "--epoch", "3"], "unrecognized arguments: --epoch 3"),
        (["summary", "lanet"], "convnet summary: argument MODEL: invalid choice: 'lanet' (choose from "),
        (["summary", "lenet", "--input-shape", "1,x"], "expected positive integers as in 1,28,28, got '1,x'"),
        (["summary", "lenet", "--input-shape", "3,28,28"], "convnet summary: "),
        (["summary", "lenet", "--input-shape", "1,2,2"], "convnet summary: "),
    ],
)
def test_bad_input(arguments, text, capsys):
    assert text in refused(capsys, *arguments)


@pytest.mark.parametrize("name", ["lenet", "resnet20", "digits", "cifar10"])
def test_the_choices_are_named(name, capsys):
    option = "--model" if name in convnet.models.MODELS else "--data"
    assert name in refused(capsys, "train", option, "?")


def test_missing_data(tmp_path, monkeypatch, capsys):
    (tmp_path / "mnist").mkdir()
    monkeypatch.setenv("CONVNET_DATA", str(tmp_path))
    assert "convnet train: mnist: expected" in refused(capsys, "train", "--data", "mnist", "--output", tmp_path / "x")


@pytest.mark.parametrize("output", ["missing/x", ".", "folder"])
def test_a_bad_output_is_found_before_the_training(output, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(convnet.Trainer, "iter_fit", None)
    assert "convnet train: --output: expected " in refused(capsys, "train", "--output", output)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full")
def test_a_device_is_no_file_to_replace(capsys):
    assert "which is something else" in refused(capsys, "train", "--output", "/dev/full")


def test_a_rate_that_diverges_is_one_line(tmp_path, capsys):
    arguments = ["train", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "1", "--quiet", "--output", tmp_path / "x"]
    with np.errstate(all="ignore"):
        line = refused(capsys, *arguments)
    says = r"convnet train: epoch 1, step \d+: expected a finite loss, got (nan|inf); try a --lr below 1e\+30\n"
    assert re.fullmatch(says, line)
    assert list(tmp_path.iterdir()) == []
