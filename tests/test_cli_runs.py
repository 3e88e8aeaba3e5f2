"""Runs from the command line: the folder they leave, and what the other commands make of it."""

import json
import os
import re
import shutil
import sys
import tomllib

import numpy as np
import pytest
from safetensors.numpy import load_file
from test_cli import refused, same_weights

import convnet
from convnet.cli import main

PIL = pytest.importorskip("PIL.Image")

SMALL = ["--model", "resnet20", "--model-option", "width=4", "--batch-size", "8", "--quiet"]
COLOURS = {"blue": (40, 60, 200), "green": (30, 180, 60), "red": (200, 40, 50)}


def paint(folder, count=8, size=(12, 12), classes=tuple(COLOURS)):
    """Noisy images of one colour a class."""
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            noise = rng.integers(-40, 40, (*size, 3))
            pixels = np.clip(np.array(COLOURS.get(name, (99, 99, 99))) + noise, 0, 255).astype(np.uint8)
            PIL.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def finished(capsys, *arguments):
    """The lines of a command that must succeed."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out.splitlines()


def contents(folder):
    """Every file below a folder, with its bytes."""
    return {path.relative_to(folder): path.is_file() and path.read_bytes() for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def finished_run(photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "colours"
    assert main(["train", "--data", str(photos), *SMALL, "--epochs", "3", "--run", str(folder)]) == 0
    return folder


def test_a_run_leaves_all_there_is_to_know(finished_run):
    files = sorted(path.name for path in finished_run.iterdir() if not path.name.startswith("step-"))
    assert [name for name in files if name != "curves.png"] == [
        "best.safetensors",
        "config.toml",
        "log.csv",
        "model.json",
        "report.html",
    ]
    settings = tomllib.loads((finished_run / "config.toml").read_text())
    assert (settings["epochs"], settings["lr"], settings["model_options"]) == (3, 0.006, {"width": 4})
    assert len((finished_run / "log.csv").read_text().splitlines()) == 4


def test_the_report_needs_nothing_but_itself(finished_run):
    page = (finished_run / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert not re.search(r"https?:|src=\"(?!data:)|<script|<link|@import", page)
    for word in (*COLOURS, "<svg", "validation", "resnet20", convnet.__version__):
        assert word in page


def test_names_that_look_like_tags_are_text_in_the_report(tmp_path, capsys):
    paint(tmp_path / "data", 3, classes=("<b>", "red"))
    finished(capsys, "train", "--data", tmp_path / "data", *SMALL, "--epochs", "1", "--run", tmp_path / "run")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "&lt;b&gt;" in page
    assert "<b>," not in page


def test_the_configuration_repeats_the_run(finished_run, tmp_path, capsys):
    config = finished_run / "config.toml"
    finished(capsys, "train", "--config", config, "--quiet", "--run", tmp_path / "again")
    assert same_weights(finished_run / "best.safetensors", tmp_path / "again" / "best.safetensors")
    assert (tmp_path / "again" / "config.toml").read_bytes() == config.read_bytes()
    finished(capsys, "train", "--config", config, "--seed", "1", "--quiet", "--run", tmp_path / "other")
    assert "seed = 1" in (tmp_path / "other" / "config.toml").read_text()
    assert not same_weights(finished_run / "best.safetensors", tmp_path / "other" / "best.safetensors")


def test_evaluate_tells_what_the_training_told(finished_run, capsys):
    told = json.loads("\n".join(finished(capsys, "evaluate", finished_run, "--json")))
    assert told["part"] == "validation"
    assert told["images"] == 6
    assert np.sum(told["confusion_matrix"]) == 6
    lines = finished(capsys, "evaluate", finished_run)
    assert lines[-1] == f"accuracy on 6 images (validation): {100 * told['accuracy']:.2f} %"
    page = (finished_run / "report.html").read_text()
    assert f"{100 * told['accuracy']:.2f} %" in page
    assert [name for name in COLOURS if any(line.startswith(name) for line in lines)] == list(COLOURS)


def test_evaluate_takes_all_of_other_data(finished_run, tmp_path, capsys):
    paint(tmp_path / "other", 5, size=(20, 30), classes=("green", "red"))
    told = json.loads("\n".join(finished(capsys, "evaluate", finished_run, "--data", tmp_path / "other", "--json")))
    assert (told["part"], told["images"]) == ("all", 10)
    assert [each["images"] for each in told["classes"]] == [0, 5, 5]


def test_predict_tells_files_and_folders(finished_run, photos, tmp_path, capsys):
    lines = finished(capsys, "predict", finished_run, photos / "red", photos / "blue" / "0.png", "--top", "2")
    assert len(lines) == 9
    assert re.fullmatch(r".*0\.png: \w+ \d+\.\d\d %, \w+ \d+\.\d\d %", lines[-1])
    finished(capsys, "predict", finished_run, photos / "red", "--top", "3", "--csv", tmp_path / "red.csv")
    rows = [line.split(",") for line in (tmp_path / "red.csv").read_text().splitlines()]
    assert rows[0] == ["file", "rank", "class", "probability"]
    assert len(rows) == 1 + 3 * 8
    assert sum(float(row[3]) for row in rows[1:4]) == pytest.approx(1, abs=1e-5)


def test_predict_passes_over_hidden_files(finished_run, photos, tmp_path, capsys):
    for name in ("a/1.png", "a/.2.png", ".trash/3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(photos / "red" / "1.png", tmp_path / name)
    (line,) = finished(capsys, "predict", finished_run, tmp_path)
    assert line.startswith(str(tmp_path / "a" / "1.png"))


def test_predict_names_what_it_cannot_read(finished_run, photos, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes((photos / "red" / "0.png").read_bytes()[:100])
    (tmp_path / "empty").mkdir()
    arguments = [photos / "red" / "0.png", tmp_path / "broken.png", tmp_path / "missing.png", tmp_path / "empty"]
    assert main(["predict", str(finished_run), *map(str, arguments), "--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert len(told["images"]) == 1
    assert {each["file"] for each in told["broken"]} == set(map(str, arguments[1:]))
    assert sorted(line.partition(": ")[0] for line in err.splitlines()) == ["convnet predict"] * 3


@pytest.mark.parametrize("method", ["grad-cam", "saliency", "occlusion"])
def test_explain_draws_a_picture(method, finished_run, photos, tmp_path, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(tmp_path)
    lines = finished(capsys, "explain", finished_run, photos / "red" / "1.png", "--method", method, "--class", "blue")
    assert re.match(r".*1\.png: blue \d", lines[0])
    told = json.loads("\n".join(finished(capsys, "explain", finished_run, photos / "red" / "1.png", "--json")))
    assert {**told, "probability": 0} == {
        "image": str(photos / "red" / "1.png"),
        "class": "red",
        "probability": 0,
        "method": "grad-cam",
        "output": "1-grad-cam.png",
    }
    assert told["probability"] > 1 / 3
    with PIL.open(tmp_path / f"1-{method}.png") as picture:
        assert picture.format == "PNG"


def test_weights_alone_do_too(tmp_path, capsys, monkeypatch):
    convnet.save(convnet.models.lenet(5, rng=0), tmp_path / "lenet.safetensors")
    PIL.new("L", (28, 28), 200).save(tmp_path / "x.png")
    monkeypatch.chdir(tmp_path)
    assert re.fullmatch(r"x\.png: [0-4] \d+\.\d\d %", finished(capsys, "predict", "lenet.safetensors", "x.png")[0])
    (tmp_path / "lenet.safetensors").rename("other.safetensors")
    assert "convnet predict: --model: expected the name" in refused(capsys, "predict", "other.safetensors", "x.png")
    assert finished(capsys, "predict", "other.safetensors", "x.png", "--model", "lenet")


def test_transfer_keeps_what_is_frozen_and_changes_the_rest(finished_run, tmp_path, capsys):
    paint(tmp_path / "two", 4, classes=("green", "other"))
    arguments = ["train", "--data", tmp_path / "two", *SMALL, "--epochs", "1", "--run", tmp_path / "run"]
    arguments += ["--pretrained", finished_run / "best.safetensors", "--freeze-until", "linear"]
    finished(capsys, *arguments)
    before, after = load_file(finished_run / "best.safetensors"), load_file(tmp_path / "run" / "best.safetensors")
    assert after["linear.weight"].shape[0] == 2
    assert all(np.array_equal(before[name], after[name]) for name in before if not name.startswith("linear"))
    finished(capsys, "evaluate", tmp_path / "run")


def test_own_validation_and_test_folders_are_used(tmp_path, capsys):
    for part, count in (("train", 4), ("val", 2), ("test", 3)):
        paint(tmp_path / "data" / part, count)
    lines = finished(capsys, "train", "--data", tmp_path / "data", *SMALL, "--epochs", "1", "--run", tmp_path / "run")
    assert re.fullmatch(r"accuracy on 9 held-out images: \d+\.\d\d %", lines[0])
    told = json.loads("\n".join(finished(capsys, "evaluate", tmp_path / "run", "--part", "validation", "--json")))
    assert told["images"] == 6
    assert "expected test, validation, train" not in lines[0]


@pytest.mark.parametrize(
    "options",
    [
        [
            "--optimizer",
            "sgd",
            "--schedule",
            "cosine",
            "--warmup",
            "0.5",
            "--clip-norm",
            "1",
            "--label-smoothing",
            "0.1",
        ],
        ["--optimizer", "adamw", "--schedule", "step", "--step-epochs", "1", "--average", "0.9", "--accumulate", "2"],
        ["--optimizer", "rmsprop", "--schedule", "constant", "--balance", "--patience", "1", "--monitor", "val_loss"],
        ["--augment", "photo", "--weight-decay", "0.01", "--workers", "0", "--image-size", "10,8", "--fit", "stretch"],
        ["--augment", "shift", "--channels", "1"],
        ["--augment", "flip-crop", "--validation", "0"],
        ["--augment", "none"],
    ],
)
def test_every_setting_trains(options, photos, tmp_path, capsys):
    arguments = ["train", "--data", photos, *SMALL, "--epochs", "1", *options]
    lines = finished(capsys, *arguments, "--output", tmp_path / "a.safetensors")
    assert re.fullmatch(r"accuracy on \d+ (validation|training) images: \d+\.\d\d %", lines[-1])
    assert os.listdir(tmp_path) == ["a.safetensors"]


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (["evaluate", "RUN", "--data", "digits"], "expected images of the 3 classes of the model, got 10"),
        (["evaluate", "RUN", "--part", "test"], "--part: expected validation, train, which the data have, got test"),
        (["evaluate", "RUN", "--model", "lenet"], "--model: expected a file of weights, got a run that has it"),
        (["evaluate", "missing"], "missing: No such file"),
        (["evaluate", "PHOTOS"], "expected the folder of a run"),
        (["predict", "RUN", "x.png", "--top", "0"], "argument --top: expected an integer of at least 1"),
        (["predict", "RUN", "PHOTOS", "--csv", "no/such/x.csv"], "--csv: expected a folder that can be written"),
        (["explain", "RUN", "PHOTOS/red/1.png", "--class", "pink"], "--class: expected one of blue, green, red, got"),
        (["explain", "RUN", "missing.png"], "missing.png"),
        (["explain", "RUN", "PHOTOS/red/1.png", "--output", "PHOTOS/red/1.png"], "--output: expected another file"),
        (["bench", "lenet", "--input-shape", "3,28,28"], "convnet bench: "),
        (
            ["bench", "lenet", "--model-option", "depth=3"],
            "--model-option: lenet has no setting 'depth'; it has classes",
        ),
        (["summary", "resnet18", "--model-option", "width"], "expected NAME=VALUE as in width=0.5, got 'width'"),
    ],
)
def test_bad_input_of_the_other_commands(command, text, finished_run, photos, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = contents(finished_run), contents(photos)
    words = [word.replace("RUN", str(finished_run)).replace("PHOTOS", str(photos)) for word in command]
    assert text in refused(capsys, *words)
    assert (contents(finished_run), contents(photos)) == before
    assert os.listdir(tmp_path) == []


def test_json_of_the_commands_that_need_no_training(capsys):
    summary = json.loads("\n".join(finished(capsys, "summary", "lenet", "--json")))
    assert (summary["parameters"], len(summary["layers"])) == (44426, 12)
    assert json.loads("\n".join(finished(capsys, "info", "--json")))["convnet"] == convnet.__version__
    timed = json.loads(
        "\n".join(finished(capsys, "bench", "lenet", "--seconds", "0.01", "--batch-size", "4", "--json"))
    )
    assert timed["training_images_per_second"] > 0
    assert finished(capsys, "bench", "lenet", "--seconds", "0.01", "--batch-size", "4")[-1].startswith("one image")


def test_a_run_needs_nothing_optional(tmp_path, capsys, monkeypatch):
    for name in ("PIL", "PIL.Image", "matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    finished(capsys, "train", "--model", "simple_cnn", "--epochs", "1", "--quiet", "--run", tmp_path / "run")
    assert not (tmp_path / "run" / "curves.png").exists()
    assert "The pictures need Pillow" in (tmp_path / "run" / "report.html").read_text()
    line = refused(capsys, "predict", tmp_path / "run", "x.png")
    assert line.startswith("convnet predict: read_image: expected the package Pillow")
    assert "Pillow" in refused(capsys, "train", "--data", tmp_path, "--output", tmp_path / "x")
