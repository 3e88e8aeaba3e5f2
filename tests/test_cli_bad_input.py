"""Bad input as a new user meets it: one clear line, exit code 2, nothing lost and nothing half-written."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from test_cli import refused, same_weights
from test_cli_runs import PIL, SMALL, contents, paint

import convnet
from convnet.cli import main

EPOCH = ["--epochs", "1", "--run", "run"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused_and_nothing_changed(capsys, folder, *arguments):
    """The one line of a command that ends with exit code 2 and leaves all files as they were."""
    before = contents(folder)
    line = refused(capsys, *arguments)
    assert contents(folder) == before
    return line


def trained(folder, name="run"):
    """A small run that has ended."""
    paint(folder / "photos")
    assert main(["train", "--data", str(folder / "photos"), *SMALL, "--epochs", "1", "--run", str(folder / name)]) == 0


def test_an_empty_folder(folder, capsys):
    (folder / "photos").mkdir()
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", *SMALL, *EPOCH)
    assert line == "convnet train: expected one subfolder a class in photos, got no subfolder\n"


def test_a_class_without_images(folder, capsys):
    paint(folder / "photos")
    (folder / "photos" / "yellow").mkdir()
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", *SMALL, *EPOCH)
    assert line.startswith("convnet train: expected images in photos/yellow, got none")


def test_one_class_only(folder, capsys):
    paint(folder / "photos", classes=("red",))
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", *SMALL, *EPOCH)
    assert line == "convnet train: expected subfolders of at least two classes in photos, got only red\n"


def test_one_image_a_class_cannot_be_parted(folder, capsys):
    paint(folder / "photos", 1)
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", *SMALL, *EPOCH)
    assert line == "convnet train: --validation: expected a class of two or more images, got 3 labels\n"


def corrupt_jpeg(folder):
    """One file among good ones that is cut off in the middle."""
    paint(folder / "photos")
    file = folder / "photos" / "red" / "cut.jpg"
    PIL.effect_noise((12, 12), 90).convert("RGB").save(file)
    file.write_bytes(file.read_bytes()[:-120])
    return file


def test_a_corrupt_jpeg_is_named(folder, capsys):
    corrupt_jpeg(folder)
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", *SMALL, *EPOCH)
    assert line.startswith("convnet train: ")
    assert "photos/red/cut.jpg" in line
    assert "--broken skip" in line


def test_a_corrupt_jpeg_is_skipped_if_wanted(folder, capsys):
    corrupt_jpeg(folder)
    arguments = ["train", "--data", "photos", *SMALL, *EPOCH, "--broken", "skip", "--validation", "0"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    assert out.startswith("accuracy on 24 training images: ")
    assert err.startswith("convnet train: ")
    assert err.count("\n") == 1
    assert "photos/red/cut.jpg" in err


def test_images_of_different_sizes(folder, capsys):
    paint(folder / "photos")
    PIL.new("RGB", (14, 12)).save(folder / "photos" / "red" / "wide.png")
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", *SMALL, *EPOCH)
    assert "expected images of one size, or --image-size, got 12x12 and 12x14 in photos/red/wide.png" in line
    assert main(["train", "--data", "photos", *SMALL, *EPOCH, "--image-size", "12"]) == 0


def test_images_held_sideways_have_the_size_they_are_seen_in(folder, capsys):
    paint(folder / "photos", size=(10, 12))
    turned = PIL.new("RGB", (10, 12))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(folder / "photos" / "red" / "turned.jpg", exif=exif)
    assert main(["train", "--data", "photos", *SMALL, *EPOCH]) == 0


def test_labels_that_do_not_match(folder, capsys):
    paint(folder / "photos" / "train")
    paint(folder / "photos" / "val", 2, classes=("red", "yellow"))
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", *SMALL, *EPOCH)
    assert line == ("convnet train: expected subfolders blue, green, red in photos/val, got also yellow\n")


def test_labels_that_do_not_match_the_model(folder, capsys):
    trained(folder)
    capsys.readouterr()
    paint(folder / "other", 2, classes=("red", "yellow"))
    line = refused_and_nothing_changed(capsys, folder, "evaluate", "run", "--data", "other")
    assert "expected subfolders blue, green, red in other, got also yellow" in line


def test_images_that_the_model_does_not_take(folder, capsys):
    paint(folder / "photos")
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", "--model", "lenet", *EPOCH)
    assert line.startswith("convnet train: lenet: expected images that it can take, such as 3x28x28, got 3x12x12")


def test_a_checkpoint_of_another_architecture(folder, capsys):
    trained(folder)
    capsys.readouterr()
    step = max(folder.glob("run/step-*"))
    for arguments in (
        ["evaluate", step, "--model", "lenet", "--data", "digits"],
        ["predict", step, "photos/red/0.png", "--model", "lenet"],
        ["train", "--model", "lenet", "--pretrained", step, "--output", "x"],
    ):
        line = refused_and_nothing_changed(capsys, folder, *arguments)
        assert "expected weights of lenet, got those of another model: " in line


def test_files_that_are_no_weights(folder, capsys):
    (folder / "lenet.safetensors").write_bytes(b"not a weight in here" * 9)
    for arguments in (
        ["evaluate", "lenet.safetensors"],
        ["train", "--pretrained", "lenet.safetensors", "--output", "x"],
        ["train", "--pretrained", "missing.safetensors", "--output", "x"],
    ):
        assert ".safetensors: " in refused_and_nothing_changed(capsys, folder, *arguments)


def test_a_damaged_run(folder, capsys):
    trained(folder)
    capsys.readouterr()
    (folder / "run" / "model.json").write_text('{"model": ')
    assert "model.json: expected what a run has written" in refused_and_nothing_changed(
        capsys, folder, "evaluate", "run"
    )
    (folder / "run" / "best.safetensors").unlink()
    (folder / "run" / "model.json").unlink()
    assert "expected the folder of a run, got one without model.json" in refused(capsys, "predict", "run", "x.png")


@pytest.mark.parametrize("place", ["file", "file/run", "/dev/null/run", "full"])
def test_a_run_folder_that_cannot_be_used(place, folder, capsys):
    (folder / "file").write_text("mine")
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine")
    line = refused_and_nothing_changed(capsys, folder, "train", "--epochs", "1", "--run", place)
    assert line.startswith("convnet train: --run: expected a ")
    assert place in line


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="rights as POSIX has them, and root has them all")
def test_a_run_folder_without_the_right_to_write(folder, capsys):
    (folder / "locked").mkdir(mode=0o500)
    line = refused_and_nothing_changed(capsys, folder, "train", "--epochs", "1", "--run", "locked/run")
    assert line == "convnet train: --run: expected a folder that can be written, got locked/run: Permission denied\n"


def test_a_run_is_not_overwritten(folder, capsys):
    trained(folder)
    capsys.readouterr()
    line = refused_and_nothing_changed(capsys, folder, "train", "--data", "photos", *SMALL, *EPOCH)
    assert line == "convnet train: --run: expected a new folder, or --resume, got run, which has a run\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epoch = 3", "x.toml: unknown key 'epoch'; did you mean 'epochs'? known are model, "),
        ("learning_rate = 3", "x.toml: unknown key 'learning_rate'; did you mean 'lr'? known are model, "),
        ("[net]", "x.toml: unknown key 'net'; known are model, model_options, data, "),
        ("epochs = 0", "x.toml: epochs: expected an integer of at least 1, got 0"),
        ("epochs = 2.5", "x.toml: epochs: expected an integer of at least 1, got 2.5"),
        ("lr = true", "x.toml: lr: expected a number above 0, got True"),
        ("balance = 1", "x.toml: balance: expected true or false, got 1"),
        ('model = "lanet"', "x.toml: model: invalid choice: 'lanet' (choose from simple_cnn, lenet, "),
        ("model = 3", "x.toml: model: invalid choice: 3 (choose from "),
        ("data = 3", "x.toml: data: invalid choice: 3 (choose from digits, "),
        ('data = ["cats"]', "x.toml: data: invalid choice: ['cats'] (choose from digits, "),
        ('normalize = "imagenet"', "x.toml: normalize: expected one for images with 1 channel, got imagenet, which"),
        ("channels = 3", "x.toml: channels: expected a folder of images to use it with, got the data set digits"),
        ('monitor = "val_loss"\nvalidation = 0', "x.toml: monitor: expected a figure among loss, accuracy, got"),
        ('data = "cats"', "x.toml: data: invalid choice: 'cats' (choose from digits, "),
        ("model_options = 3", "x.toml: model_options: expected a table of names and values, got 3"),
        ("image_size = [1, 2, 3]", "x.toml: image_size: expected a side as in 32"),
        ("[model_options]\ndepth = 3", "x.toml: model_options: lenet has no setting 'depth'; it has classes"),
        ("epochs 3", "x.toml: expected a TOML file, got one that is not: "),
        ("\x00", "x.toml: expected a TOML file, got one that is not: "),
    ],
)
def test_a_configuration_that_is_wrong(text, says, folder, capsys):
    (folder / "x.toml").write_text(text)
    assert says in refused_and_nothing_changed(capsys, folder, "train", "--config", "x.toml", "--run", "run")


def test_a_configuration_that_is_missing(folder, capsys):
    line = refused_and_nothing_changed(capsys, folder, "train", "--config", "x.toml")
    assert line == "convnet train: x.toml: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--resume"], "--resume: expected --run with the folder to go on in, got none"),
        (["--run", "run", "--output", "x"], "--output: expected no --run, whose folder has the weights, got both"),
        (["--tensorboard"], "--tensorboard: expected --run with the folder for its files, got none"),
        (["--find-learning-rate", "--resume", "--run", "run"], "--find-learning-rate: expected no --resume, which"),
        (["--channels", "3"], "--channels: expected a folder of images to use it with, got the data set digits"),
        (["--freeze-until", "11"], "--freeze-until: expected --pretrained with the weights to keep, got none"),
        (["--monitor", "val_loss", "--validation", "0", "--run", "run"], "train: --monitor: expected a figure among"),
        (["--model-option", "classes=7"], "expected a model with 10 outputs, one a class, got"),
        (["--model", "resnet20", "--model-option", "width=wide"], "--model-option: expected settings that resnet20"),
    ],
)
def test_settings_that_do_not_go_together(arguments, says, folder, capsys):
    assert says in refused_and_nothing_changed(capsys, folder, "train", "--epochs", "1", *arguments)


@pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")
def test_a_run_that_is_broken_off_goes_on_to_the_same_weights(folder):
    settings = ["--model", "simple_cnn", "--batch-size", "200", "--epochs", "6", "--quiet"]
    command = [sys.executable, "-m", "convnet", "train", *settings, "--run", "run"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list(folder.glob("run/step-*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert err == "convnet train: interrupted, go on with convnet train --run run --resume\n"
    assert main(["train", "--run", "run", "--resume", "--quiet"]) == 0
    assert main(["train", *settings, "--run", "whole"]) == 0
    assert same_weights(*(max(folder.glob(f"{name}/step-*")) for name in ("run", "whole")))
    assert same_weights("run/best.safetensors", "whole/best.safetensors")


def test_damaged_checkpoints_are_told_and_the_one_before_is_used(folder, capsys):
    trained(folder)
    shutil.copy(max(folder.glob("run/step-*")), "run/step-000000999.safetensors")
    with open("run/step-000000999.safetensors", "r+b") as file:
        file.truncate(1000)
    capsys.readouterr()
    assert main(["train", "--run", "run", "--resume", "--quiet"]) == 0
    err = capsys.readouterr().err
    assert err.startswith("convnet train: ")
    assert "step-000000999" in err
    assert err.count("\n") == 1
    convnet.load(convnet.models.resnet20(3, width=4), "run/best.safetensors")


def test_a_run_with_damaged_checkpoints_only_stays_as_it_is(folder, capsys):
    trained(folder)
    for path in folder.glob("run/step-*"):
        path.write_bytes(path.read_bytes()[:1000])
    before = {path.name: path.read_bytes() for path in (folder / "run").iterdir()}
    capsys.readouterr()
    for _ in range(2):
        assert main(["train", "--run", "run", "--resume", "--quiet"]) == 2
        err = capsys.readouterr().err
        assert "got damaged ones only" in err
        assert err.count("\n") == 1
    for path in folder.glob("run/step-*"):
        del before[path.name]
        path.unlink()
    assert main(["train", "--run", "run", "--quiet"]) == 2
    assert "expected a new folder, or --resume" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (folder / "run").iterdir()} == before
