"""What a training can do beside training: normalise, mix, tell programs, look for a learning rate."""

import json
import re
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file
from test_cli import refused, same_weights
from test_cli_runs import SMALL, contents, finished, paint

import convnet
from convnet.cli import main
from convnet.cli._normalize import Normalization, normalization_of

DIGITS = ["--model", "simple_cnn", "--batch-size", "300", "--epochs", "1", "--quiet"]
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return paint(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def imagenet(photos, tmp_path_factory):
    """A run on images that are normalised as those of ImageNet."""
    folder = tmp_path_factory.mktemp("runs") / "imagenet"
    arguments = ["train", "--data", str(photos), *SMALL, "--epochs", "1", "--normalize", "imagenet"]
    assert main([*arguments, "--average", "0.5", "--run", str(folder)]) == 0
    return folder


def told(lines):
    return json.loads("\n".join(lines))


def test_normalisation_is_part_of_the_model(imagenet):
    weights = load_file(imagenet / "best.safetensors")
    assert weights["normalize.running_mean"] == pytest.approx(IMAGENET.mean)
    assert np.sqrt(weights["normalize.running_var"]) == pytest.approx(IMAGENET.std)
    described = json.loads((imagenet / "model.json").read_text())
    assert described["normalization"] == {"mean": list(IMAGENET.mean), "std": list(IMAGENET.std)}
    assert 'normalize = "imagenet"' in (imagenet / "config.toml").read_text()


def test_the_normalised_model_computes_what_the_formula_says(imagenet, photos, rng):
    x = rng.integers(0, 256, (2, 3, 12, 12), np.uint8)
    plain, first = convnet.models.resnet20(3, width=4), convnet.BatchNorm2d(3, eps=0, affine=False)
    layers = dict(plain.named_children())
    model = convnet.load(convnet.Sequential({"normalize": first, **layers}), imagenet / "best.safetensors")
    by_hand = convnet.data.transforms.Normalize(IMAGENET.mean, IMAGENET.std)(x)
    # The layer and the table round each number twice at most, one after another, about zero: 4 units of 2^-23 of 3.
    assert first(x.astype(np.float32) / 255) == pytest.approx(by_hand, abs=4 * 3 * 2**-23)
    assert model(x.astype(np.float32) / 255).argmax(1).tolist() == plain(by_hand).argmax(1).tolist()


def test_the_other_commands_normalise_too(imagenet, photos, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figures = told(finished(capsys, "evaluate", imagenet, "--json"))
    assert f"{100 * figures['accuracy']:.2f} %" in (imagenet / "report.html").read_text()
    finished(capsys, "evaluate", max(imagenet.glob("step-*")))
    image = photos / "red" / "0.png"
    (tmp_path / "resnet20.safetensors").write_bytes((imagenet / "best.safetensors").read_bytes())
    of_run = told(finished(capsys, "predict", imagenet, image, "--top", "3", "--json"))
    options = ["--model-option", "width=4", "--image-size", "12", "--top", "3", "--json"]
    of_file = told(finished(capsys, "predict", "resnet20.safetensors", image, *options))
    probabilities = [
        sorted(each["probability"] for each in one["images"][0]["predictions"]) for one in (of_run, of_file)
    ]
    assert probabilities[0] == probabilities[1]
    pytest.importorskip("matplotlib")
    for method in ("grad-cam", "saliency"):
        assert finished(capsys, "explain", imagenet, image, "--method", method)


def test_pretrained_weights_go_on_with_their_normalisation(imagenet, photos, tmp_path, capsys):
    arguments = ["train", "--data", photos, *SMALL, "--epochs", "1", "--pretrained", imagenet / "best.safetensors"]
    finished(capsys, *arguments, "--freeze-until", "linear", "--output", tmp_path / "a")
    before, after = load_file(imagenet / "best.safetensors"), load_file(tmp_path / "a")
    assert before.keys() == after.keys()
    close = [np.allclose(before[name], after[name], rtol=1e-5) for name in before if name.startswith("normalize.r")]
    assert close == [True, True]
    finished(capsys, *arguments, "--normalize", "none", "--output", tmp_path / "b")
    assert not any(name.startswith("normalize") for name in load_file(tmp_path / "b"))


def test_a_layer_to_freeze_until_that_is_not_there(imagenet, photos, tmp_path, capsys):
    arguments = ["train", "--data", photos, *SMALL, "--pretrained", imagenet / "best.safetensors"]
    line = refused(capsys, *arguments, "--freeze-until", "head", "--output", tmp_path / "x")
    assert line.startswith("convnet train: --freeze-until: expected the name of a layer among conv1, bn1, ")
    assert list(tmp_path.iterdir()) == []


def test_the_normalisation_of_the_data_is_that_of_the_training_images(rng, tmp_path, capsys):
    x = rng.integers(0, 256, (70, 2, 5, 4), np.uint8)
    x[:, 1] = 255
    found = normalization_of((x, np.zeros(70, int)), workers=0)
    assert found.mean == pytest.approx((x[:, 0].mean() / 255, 1))
    assert found.std == pytest.approx((x[:, 0].std() / 255, 1 / 255))
    finished(capsys, "train", *DIGITS, "--normalize", "dataset", "--output", tmp_path / "x")
    (images, _), _ = convnet.data.digits()
    assert load_file(tmp_path / "x")["normalize.running_mean"] == pytest.approx([images.mean() / 255])


@pytest.mark.parametrize(("given", "mean"), [("0.5/0.25", [0.5] * 3), ("0.1,0.2,0.3/1,1,1", [0.1, 0.2, 0.3])])
def test_normalisation_in_numbers(given, mean, photos, tmp_path, capsys):
    arguments = ["train", "--data", photos, *SMALL, "--epochs", "1", "--normalize", given]
    finished(capsys, *arguments, "--output", tmp_path / "x")
    assert load_file(tmp_path / "x")["normalize.running_mean"] == pytest.approx(mean)


def test_normalisation_of_other_channels(photos, tmp_path, capsys):
    arguments = ["train", "--data", photos, *SMALL, "--normalize", "0.5,0.5/0.2,0.2", "--output", tmp_path / "x"]
    line = refused(capsys, *arguments)
    says = "--normalize: expected one for images with 3 channels, got 0.5,0.5/0.2,0.2, which has 2"
    assert line == f"convnet train: {says}\n"


def test_mixed_images_train_another_model_the_same_each_time(tmp_path, capsys):
    for name, alpha, workers in (("a", "0.5", "1"), ("b", "0.5", "2"), ("c", "0", "1")):
        arguments = ["train", *DIGITS, "--mixup", alpha, "--workers", workers, "--output", tmp_path / name]
        finished(capsys, *arguments)
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_photos_are_mixed_too(photos, tmp_path, capsys):
    arguments = ["train", "--data", photos, *SMALL, "--epochs", "1", "--mixup", "0.2", "--balance"]
    finished(capsys, *arguments, "--label-smoothing", "0.1", "--accumulate", "2", "--output", tmp_path / "x")


@pytest.mark.parametrize("place", ["--run", "--output"])
def test_a_training_tells_programs_all_they_need(place, tmp_path, capsys):
    path = tmp_path / "x"
    figures = told(finished(capsys, "train", *DIGITS, "--json", place, path))
    assert (figures["model"], figures["data"], figures["part"], figures["epochs"]) == (
        "simple_cnn",
        "digits",
        "test",
        1,
    )
    assert figures["run"] == (str(path) if place == "--run" else None)
    assert figures["weights"] == str(path / "best.safetensors" if place == "--run" else path)
    assert figures["best_epoch"] == len(figures["history"]) == 1
    assert figures["seconds"] > figures["history"][0]["seconds"] > 0
    assert figures["images"] == np.sum(figures["confusion_matrix"]) == 1000
    subject = [path] if place == "--run" else [path, "--model", "simple_cnn"]
    assert told(finished(capsys, "evaluate", *subject, "--json"))["accuracy"] == figures["accuracy"]


def test_the_progress_of_json_goes_to_standard_error(tmp_path, capsys):
    assert main(["train", *DIGITS[:-1], "--json", "--output", str(tmp_path / "x")]) == 0
    out, err = capsys.readouterr()
    json.loads(out)
    assert err.startswith("epoch 1: ")


def test_figures_for_tensorboard(tmp_path, capsys):
    pytest.importorskip("tensorboardX")
    finished(capsys, "train", *DIGITS, "--tensorboard", "--run", tmp_path / "run")
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert b"val_accuracy" in events.read_bytes()


def test_a_training_that_comes_to_nothing_leaves_no_figures(tmp_path, capsys, monkeypatch):
    arguments = ["train", *DIGITS, "--tensorboard", "--run", tmp_path / "run"]
    with np.errstate(all="ignore"):
        refused(capsys, *arguments, "--optimizer", "sgd", "--lr", "1e30")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert "convnet-cpu[tensorboard]" in refused(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_learning_rate_is_found_before_a_run(tmp_path, capsys):
    arguments = ["train", *DIGITS, "--optimizer", "sgd", "--run", tmp_path / "run"]
    (line,) = finished(capsys, *arguments, "--find-learning-rate")
    rate = float(re.fullmatch(r"suggested for sgd: --lr (\S+)", line)[1])
    files = {str(name) for name in contents(tmp_path / "run")}
    assert files - {"learning_rates.png"} == {"learning_rates.json"}
    found = json.loads((tmp_path / "run" / "learning_rates.json").read_text())
    assert found["suggestion"] == pytest.approx(rate, rel=0.05)
    assert len(found["rates"]) == len(found["losses"]) > 10
    assert told(finished(capsys, *arguments, "--find-learning-rate", "--json"))["suggestion"] == found["suggestion"]
    finished(capsys, *arguments, "--lr", rate)
    assert (tmp_path / "run" / "learning_rates.json").is_file()
    assert "or --resume" in refused(capsys, *arguments, "--find-learning-rate")


def test_all_of_it_can_stand_in_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.toml").write_text('mixup = 0.2\nnormalize = "0.5/0.25"\nfind_learning_rate = true\n')
    lines = finished(capsys, "train", *DIGITS, "--config", "x.toml", "--json")
    assert told(lines)["run"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["x.toml"]


def test_the_report_counts_frozen_parameters(imagenet, photos, tmp_path, capsys):
    arguments = ["train", "--data", photos, *SMALL, "--epochs", "1", "--run", tmp_path / "run"]
    finished(capsys, *arguments, "--pretrained", imagenet / "best.safetensors", "--freeze-until", "linear")
    model = convnet.models.resnet20(3, width=4)
    number = sum(parameter.size for parameter in model.parameters())
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"<b>{number:,}</b><span>parameters, {16 * 3 + 3} of them trained</span>" in page
    assert f"<b>{number:,}</b><span>parameters</span>" in (imagenet / "report.html").read_text()
