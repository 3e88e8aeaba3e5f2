import copy

import numpy as np
import pytest

from convnet.context import Context


def test_a_child_is_created_once():
    ctx = Context()
    assert ctx.child("0") is ctx.child("0")
    assert ctx.child("0") is not ctx.child("1")


def test_the_input_gradient_is_wanted_unless_said_otherwise():
    assert Context().wants_dx
    assert not Context(wants_dx=False).wants_dx


def test_nbytes_counts_an_array_once_however_often_it_is_held():
    ctx, x = Context(), np.zeros((2, 3), np.float32)
    ctx.x = x
    ctx.child("0").y = x.reshape(3, 2)
    assert ctx.nbytes == 24
    ctx.child("0").child("1").mask = np.zeros(5, bool)
    assert ctx.nbytes == 29


def test_what_was_never_saved_is_named():
    with pytest.raises(AttributeError, match="Context: expected 'x' from a forward pass with this context"):
        _ = Context().x


def test_repr_is_a_tree():
    ctx = Context()
    ctx.x = np.zeros(2, np.float32)
    ctx.child("0").child("1").y = np.zeros(3)
    assert repr(ctx).splitlines() == [
        "Context(32 bytes) x (2,) float32",
        "  0: Context(24 bytes)",
        "    1: Context(24 bytes) y (3,) float64",
    ]


def test_a_context_can_be_copied():
    ctx = Context()
    ctx.child("0").x = np.zeros(2)
    assert copy.deepcopy(ctx).child("0").x is not ctx.child("0").x
