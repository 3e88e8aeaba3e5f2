"""The command line when something goes wrong outside: Ctrl-C, kill, a full disk, nobody who reads, the environment."""

import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

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


def script():
    """What the installed command runs."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    module, _, function = project["scripts"]["convnet"].partition(":")
    return [sys.executable, "-c", f"import sys; from {module} import {function}; sys.exit({function}())"]


@pytest.mark.parametrize("command", [COMMAND, script()], ids=["python -m convnet", "convnet"])
@pytest.mark.parametrize("arguments", ["info", "train", "--version"])
@pytest.mark.parametrize(("name", "value"), [("CONVNET_CPU", "sse9"), ("CONVNET_NUM_THREADS", "5000")])
def test_a_bad_variable_is_one_line(command, arguments, name, value, tmp_path):
    environment = {**os.environ, name: value}
    finished = subprocess.run(
        [*command, arguments], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False, env=environment
    )
    assert (finished.returncode, finished.stdout) == (2, "")
    assert finished.stderr.startswith(f"convnet: {name}: expected ")
    assert finished.stderr.endswith(f", got {value!r}\n")
    assert finished.stderr.count("\n") == 1


@pytest.mark.parametrize("code", ["convnet.Conv2d", "from convnet import Conv2d", "import convnet.layers"])
def test_a_bad_variable_is_told_to_programs_too(code):
    environment = {**os.environ, "CONVNET_CPU": "sse9"}
    command = [sys.executable, "-c", f"import convnet; convnet.ConvnetError; {code}"]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert finished.returncode == 1
    last = finished.stderr.splitlines()[-1]
    assert last.startswith("convnet.errors.UnsupportedError: CONVNET_CPU: expected one of ")
