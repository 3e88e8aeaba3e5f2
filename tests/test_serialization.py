import errno
import json
import os
import pickle
import random
import stat
import struct

import numpy as np
import pytest
import safetensors.numpy

from convnet.errors import WeightsError
from convnet.layers import BatchNorm2d, Context, Dense, Sequential
from convnet.models import lenet
from convnet.serialization import load, save


def model(seed=0):
    return Sequential(Dense(3, 4, rng=seed), Dense(4, 2, rng=seed + 1))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    save(model(), path)
    return path


def test_what_is_saved_is_loaded(tmp_path):
    trained, path = lenet(rng=0), tmp_path / "lenet.safetensors"
    save(trained, str(path))
    fresh = lenet(rng=1)
    assert load(fresh, path) is fresh
    for name, value in trained.state_dict().items():
        np.testing.assert_array_equal(fresh.state_dict()[name], value, strict=True)


def test_running_averages_are_saved_with_their_count(tmp_path, dtype):
    trained, path = Sequential(BatchNorm2d(3, dtype=dtype)), tmp_path / "norm.safetensors"
    for _ in range(2):
        trained.forward(np.arange(12, dtype=dtype).reshape(4, 3, 1, 1), Context())
    save(trained, path)
    fresh = load(Sequential(BatchNorm2d(3, dtype=dtype)), path)
    assert fresh[0].num_batches_tracked == 2
    for name, value in trained.state_dict().items():
        np.testing.assert_array_equal(fresh.state_dict()[name], value, strict=True)


def test_the_file_is_plain_safetensors(path):
    arrays = safetensors.numpy.load_file(path)
    assert sorted(arrays) == ["0.bias", "0.weight", "1.bias", "1.weight"]
    with safetensors.safe_open(path, framework="numpy") as file:
        metadata = file.metadata()
    assert metadata == {"convnet_format": "1"}


def test_equal_models_give_equal_files(tmp_path):
    for name in ("a", "b"):
        save(lenet(rng=0), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_files_of_other_libraries_are_loaded(tmp_path):
    state = {name: value.astype(np.float16) for name, value in model().state_dict().items()}
    safetensors.numpy.save_file(state, tmp_path / "other.safetensors")
    loaded = load(model(5), tmp_path / "other.safetensors")
    np.testing.assert_array_equal(loaded[0].weight.value, state["0.weight"])


def test_an_old_file_is_replaced_and_nothing_else_is_left(path):
    save(model(7), path)
    np.testing.assert_array_equal(load(model(), path)[0].weight.value, model(7)[0].weight.value)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX")
def test_the_file_has_ordinary_permissions(path):
    reference = path.with_name("reference")
    reference.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(reference.stat().st_mode)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(path, monkeypatch, failing):
    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    before = path.read_bytes()
    monkeypatch.setattr(os, failing, full)
    with pytest.raises(OSError, match=r"No space left on device: .*model\.safetensors") as caught:
        save(model(7), path)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is a Linux device")
def test_a_disk_that_is_really_full(path, monkeypatch):
    before = path.read_bytes()
    with monkeypatch.context() as patched, open("/dev/full", "wb", buffering=0) as full:
        patched.setattr("pathlib.Path.open", lambda self, mode: full)
        with pytest.raises(OSError, match="No space left on device"):
            save(model(7), path)
    assert path.read_bytes() == before


def test_an_interrupt_leaves_the_old_file_and_no_other(path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save(model(7), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        save(model(), tmp_path / "missing" / "model.safetensors")
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        load(model(), tmp_path / "nothing.safetensors")


def with_header(header, data=b""):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


DAMAGED = {
    "empty": lambda whole: b"",
    "truncated header": lambda whole: whole[:50],
    "truncated data": lambda whole: whole[:-1],
    "longer": lambda whole: whole + b"\0",
    "pickle": lambda whole: pickle.dumps({"0.weight": 1}),
    "text": lambda whole: b"not weights at all" * 10,
    "bfloat16": lambda whole: with_header({"a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"\0\0"),
    "float8": lambda whole: with_header({"a": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"\0"),
}


@pytest.mark.parametrize("damage", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_or_mislabelled_file_is_refused_and_nothing_is_loaded(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    layer = model(5)
    with pytest.raises(WeightsError, match=r"model\.safetensors: expected a whole safetensors file of arrays"):
        load(layer, path)
    np.testing.assert_array_equal(layer[0].weight.value, model(5)[0].weight.value)


def test_files_changed_at_random_end_in_our_errors_only(path):
    """And are as small as they say: nobody gets memory for what a header promises."""
    whole, rng, texts = path.read_bytes(), random.Random(0), []
    for _ in range(300):
        content = bytearray(whole[: rng.randrange(len(whole))] if rng.random() < 0.2 else whole)
        for _ in range(rng.randrange(1, 4)):
            place, part = rng.randrange(len(content) + 1), rng.randrange(len(whole))
            content[place : place + rng.randrange(3)] = rng.choice(
                [rng.randbytes(2), whole[part : part + 9], b"99999999"]
            )
        path.write_bytes(content)
        try:
            load(model(5), path, strict=False)
        except WeightsError as error:
            texts.append(str(error))
    assert all(str(path) in text for text in texts)
    assert 150 < len(texts) < 300


@pytest.mark.parametrize("start", [pickle.dumps({"0.weight": 1}), b"PK\x03\x04" + b"\0" * 60], ids=["pickle", "zip"])
def test_a_file_of_pytorch_is_refused_with_the_way_to_convert_it(path, start):
    path.write_bytes(start)
    with pytest.raises(
        WeightsError, match=r"; this looks like a file of PyTorch, for which docs/networks\.md tells how"
    ):
        load(model(), path)
    path.write_bytes(b"not weights at all" * 10)
    with pytest.raises(WeightsError) as caught:
        load(model(), path)
    assert "PyTorch" not in str(caught.value)


def test_a_file_of_another_model_is_refused(path):
    with pytest.raises(WeightsError, match=r"model\.safetensors: Sequential: expected exactly the keys of the model"):
        load(lenet(), path)
    with pytest.raises(
        WeightsError, match=r"\.safetensors: Sequential: 1\.weight: expected shape \(3, 4\), got \(2, 4\); 1\.bias"
    ):
        load(Sequential(Dense(3, 4), Dense(4, 3)), path)


# ---- other names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        {"net.encoder": "0", "net.head": "1"},
        {"net.encoder.": "0.", "net.head.": "1."},
        {"net": "", "net.encoder": "0", "net.head.weight": "1.weight", "net.head.bias": "1.bias"},
        lambda name: name.replace("net.encoder", "0").replace("net.head", "1"),
    ],
)
def test_names_are_translated(tmp_path, names):
    trained = model()
    save(Sequential({"net": Sequential({"encoder": trained[0], "head": trained[1]})}), tmp_path / "other")
    loaded = load(model(5), tmp_path / "other", names=names)
    for name, value in trained.state_dict().items():
        np.testing.assert_array_equal(loaded.state_dict()[name], value)


def test_all_names_can_go_below_another_and_some_be_left_out(path):
    larger = Sequential({"net": Sequential(Dense(3, 4, rng=5))})
    load(larger, path, names={"": "net", "1": None})
    np.testing.assert_array_equal(larger.state_dict()["net.0.weight"], model().state_dict()["0.weight"])


def test_a_beginning_ends_at_a_dot(tmp_path):
    save(Sequential({"fc": Dense(3, 4, rng=0), "fc1": Dense(4, 2, rng=1)}), tmp_path / "other")
    load(model(5), tmp_path / "other", names={"fc": "0", "fc1": "1"})


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ({"0": "0", "2": "1"}, "expected what weights of the file are called, got '2'"),
        ({"0.weigh": "1.weight"}, "expected what weights of the file are called, got '0.weigh'"),
        ({"0": "1"}, "expected a name for each weight, got '1.(weight|bias)' for two, '1.(weight|bias)' the second"),
        ({"0": None}, r"got missing keys \['0.weight', '0.bias'\] and unexpected keys \[\]"),
        (lambda name: None, "got missing keys .*'1.bias'"),
    ],
)
def test_names_that_do_not_fit(path, names, text):
    other = model(5)
    with pytest.raises(WeightsError, match=f"model.safetensors: .*{text}"):
        load(other, path, names=names)
    np.testing.assert_array_equal(other[0].weight.value, model(5)[0].weight.value)


def test_a_file_of_a_newer_format_is_refused(path):
    path.write_bytes(with_header({"__metadata__": {"convnet_format": "2"}}))
    with pytest.raises(WeightsError, match="expected format 1, got 2 from a newer convnet"):
        load(model(), path)


def test_without_strict_differences_are_logged(path, caplog):
    larger = Sequential(Dense(3, 4, rng=9), Dense(4, 2), Dense(2, 2))
    with caplog.at_level("INFO", logger="convnet"):
        load(larger, path, strict=False)
    np.testing.assert_array_equal(larger[0].weight.value, model()[0].weight.value)
    assert "missing keys ['2.weight', '2.bias'], unexpected keys []" in caplog.text
