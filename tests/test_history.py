"""History: a list of epochs that prints and exports itself."""

import json

import pytest

from convnet.training import Epoch, History

FIRST = Epoch(1, 0.5, 0.84, 0.6, 0.8, 1.25, 0.01)
SECOND = Epoch(2, 0.25, None, None, None, 1.0, 0.005)


def test_reads_like_a_list():
    history = History([FIRST])
    history.append(SECOND)
    assert len(history) == 2
    assert list(history) == [FIRST, SECOND]
    assert history[-1] is SECOND
    assert list(history[:1]) == [FIRST]
    assert isinstance(history[:1], History)
    assert FIRST in history
    assert not History()


def test_exports_plain_numbers():
    columns = History([FIRST, SECOND]).as_dict()
    assert columns == {
        "epoch": [1, 2],
        "loss": [0.5, 0.25],
        "accuracy": [0.84, None],
        "val_loss": [0.6, None],
        "val_accuracy": [0.8, None],
        "seconds": [1.25, 1.0],
        "learning_rate": [0.01, 0.005],
    }
    assert json.loads(json.dumps(columns)) == columns


def test_prints_one_line_an_epoch_and_leaves_out_what_is_unknown():
    assert repr(History([FIRST, SECOND])).splitlines() == [
        "epoch 1: loss 0.5000, accuracy 84.00 %, validation loss 0.6000, validation accuracy 80.00 %, 1.25 s",
        "epoch 2: loss 0.2500, 1.00 s",
    ]
    assert repr(History()) == "History()"


def test_an_epoch_cannot_be_changed():
    with pytest.raises(AttributeError):
        FIRST.loss = 0
