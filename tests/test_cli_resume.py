"""Runs that go on: with the settings they began with, and no others."""

import os
import shutil

import pytest
from test_cli import same_weights
from test_cli_bad_input import refused_and_nothing_changed
from test_cli_runs import PIL, SMALL, finished, paint

from convnet.cli import main

KEPT = ["--epochs", "1", "--schedule", "constant", "--mixup", "0.3", "--normalize", "dataset", "--seed", "2"]
FREE = "; only --epochs, --workers, --threads and --tensorboard may change\n"


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A folder with images, and with a run of one epoch on them."""
    folder = tmp_path_factory.mktemp("begun")
    paint(folder / "photos")
    before = os.getcwd()
    os.chdir(folder)
    try:
        assert main(["train", "--data", "photos", *SMALL, *KEPT, "--run", "run"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def folder(begun, tmp_path, monkeypatch):
    """A copy of it to work in."""
    shutil.copytree(begun, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_a_run_goes_on_with_the_settings_it_has(folder, capsys):
    finished(
        capsys, "train", "--run", "run", "--resume", "--quiet", "--epochs", "2", "--workers", "2", "--threads", "1"
    )
    finished(capsys, "train", "--data", "photos", *SMALL, *KEPT, "--epochs", "2", "--run", "whole")
    assert [line.split(",")[0] for line in (folder / "run" / "log.csv").read_text().splitlines()[1:]] == ["1", "2"]
    assert same_weights(*(max(folder.glob(f"{name}/step-*")) for name in ("run", "whole")))
    assert "epochs = 2\n" in (folder / "run" / "config.toml").read_text()


def test_the_same_settings_may_be_given_again(folder, capsys):
    arguments = ["train", *SMALL, *KEPT, "--run", "run", "--resume", "--config", "run/config.toml"]
    assert finished(capsys, *arguments, "--data", folder / "photos")


@pytest.mark.parametrize(
    ("given", "text", "says"),
    [
        (["--seed", "3"], "", "--seed 3 (the run has seed = 2)"),
        (["--patience", "2"], "", "--patience 2 (the run has patience = 0)"),
        (["--balance"], "", "--balance (the run has balance = false)"),
        (["--image-size", "10"], "", "--image-size 10,10 (the run has no image_size)"),
        (["--model", "lenet"], "", '--model lenet (the run has model = "resnet20")'),
        (["--model-option", "width=8"], "", "--model-option width=8 (the run has model_options = { width = 4 })"),
        (
            ["--optimizer", "sgd", "--lr", "1"],
            "",
            '--optimizer sgd (the run has optimizer = "adam"), --lr 1.0 (the run ',
        ),
        ([], "seed = 3", "seed = 3 in x.toml (the run has seed = 2)"),
        ([], "[model_options]\nwidth = 8", "model_options = { width = 8 } in x.toml (the run has model_options = { "),
        (["--seed", "4"], "seed = 2", "--seed 4 (the run has seed = 2)"),
    ],
)
def test_a_run_goes_on_with_no_other_settings(given, text, says, folder, capsys):
    (folder / "x.toml").write_text(text)
    arguments = ["train", "--run", "run", "--resume", "--config", "x.toml", "--epochs", "2", *given]
    line = refused_and_nothing_changed(capsys, folder, *arguments)
    assert line.startswith(f"convnet train: --resume: expected the settings of run, got {says}")
    assert line.endswith(FREE)


def test_a_run_goes_on_with_no_other_images(folder, capsys):
    arguments = ["train", "--run", "run", "--resume", "--epochs", "2"]
    PIL.new("RGB", (12, 12)).save(folder / "photos" / "red" / "more.png")
    line = refused_and_nothing_changed(capsys, folder, *arguments)
    assert line.startswith("convnet train: --resume: expected the data of the checkpoint, with ")
    (folder / "photos" / "red").rename("photos/rot")
    line = refused_and_nothing_changed(capsys, folder, *arguments)
    assert line == "convnet train: expected subfolders blue, green, red in photos, got also rot\n"


def test_a_run_goes_on_without_the_file_it_began_from(folder, capsys):
    (folder / "run" / "best.safetensors").rename("known")
    arguments = ["train", "--data", "photos", *SMALL, *KEPT, "--pretrained", "known", "--freeze-until", "layer3"]
    for name, epochs in (("whole", "2"), ("other", "1")):
        finished(capsys, *arguments, "--epochs", epochs, "--run", name)
    (folder / "known").unlink()
    finished(capsys, "train", "--run", "other", "--resume", "--epochs", "2", "--quiet")
    assert same_weights(*(max(folder.glob(f"{name}/step-*")) for name in ("other", "whole")))


def test_a_run_that_was_killed_in_its_first_epoch_begins_with_its_settings(folder, capsys):
    for path in folder.glob("run/step-*"):
        path.unlink()
    finished(capsys, "train", "--run", "run", "--resume", "--quiet")
    finished(capsys, "train", "--data", "photos", *SMALL, *KEPT, "--run", "whole")
    assert same_weights(*(max(folder.glob(f"{name}/step-*")) for name in ("run", "whole")))


def test_it_is_told_that_there_is_nothing_to_go_on_from(folder, capsys):
    arguments = ["train", "--data", "photos", *SMALL, "--epochs", "1", "--run", "new", "--resume"]
    assert main([each for each in arguments if each != "--quiet"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("convnet train: --resume: there is no run in new yet, it begins now\n")


def test_figures_for_tensorboard_may_be_added(folder, capsys):
    pytest.importorskip("tensorboardX")
    finished(capsys, "train", "--run", "run", "--resume", "--quiet", "--epochs", "2", "--tensorboard")
    assert list(folder.glob("run/tensorboard/events*"))
