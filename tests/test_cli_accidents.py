"""The command line when something goes wrong outside: Ctrl-C, kill, a full disk, nobody who reads."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest

from convnet import load, models, save

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and resource limits as POSIX has them")

COMMAND = [sys.executable, "-m", "convnet"]
TRAIN = [*COMMAND, "train", "--epochs", "500", "--batch-size", "500", "--quiet"]


def started(folder):
    """A training in ``folder`` that has saved its weights at least once."""
    process = subprocess.Popen(TRAIN, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (folder / "lenet.safetensors").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    time.sleep(random.uniform(0, 0.5))
    return process


@pytest.mark.parametrize("presses", [1, 2, 3])
def test_ctrl_c_keeps_the_last_saved_weights(tmp_path, presses):
    process = started(tmp_path)
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("convnet train: interrupted")
    assert os.listdir(tmp_path) == ["lenet.safetensors"]
    load(models.lenet(), tmp_path / "lenet.safetensors")


def test_a_kill_keeps_the_last_saved_weights(tmp_path):
    process = started(tmp_path)
    process.kill()
    process.communicate(timeout=60)
    load(models.lenet(), tmp_path / "lenet.safetensors")


def test_a_full_disk_keeps_the_old_file(tmp_path):
    resource = pytest.importorskip("resource")
    save(models.lenet(rng=7), tmp_path / "lenet.safetensors")
    before = (tmp_path / "lenet.safetensors").read_bytes()

    def no_large_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    finished = subprocess.run(
        TRAIN, cwd=tmp_path, capture_output=True, text=True, timeout=60, preexec_fn=no_large_files, check=False
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith("convnet train: ")
    assert finished.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == ["lenet.safetensors"]
    assert (tmp_path / "lenet.safetensors").read_bytes() == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs the device /dev/full")
def test_full_standard_output_is_one_line():
    with open("/dev/full", "w") as full:
        finished = subprocess.run(
            [*COMMAND, "summary", "lenet"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert finished.returncode == 2
    assert finished.stderr.startswith("convnet summary: ")
    assert finished.stderr.count("\n") == 1


def test_nobody_reads_the_output():
    reader, writer = os.pipe()
    os.close(reader)
    finished = subprocess.run(
        [*COMMAND, "summary", "lenet"], stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(writer)
    assert finished.returncode == 141
    assert finished.stderr == b""
