"""Stream: batches of somebody else, again and again."""

import itertools
import threading
import time

import numpy as np
import pytest

from convnet.data import Stream
from convnet.errors import DataError, SettingError, ShapeError

threaded = pytest.mark.parametrize("in_thread", [True, False])


def batches(count=4):
    for number in range(count):
        yield np.full((2, 1, 2, 2), number, np.uint8), np.full(2, number)


def noisy(x, rng):
    return x + rng.integers(0, 99, x.shape, np.uint8)


def numbers(stream):
    return [int(y[0]) for _, y in stream]


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("convnet-data")]


@threaded
@pytest.mark.parametrize(
    "source", [batches, list(batches()), lambda: iter(list(batches()))], ids=["def", "list", "lambda"]
)
def test_every_pass_gives_all_batches_in_order(source, in_thread):
    stream = Stream(source, in_thread=in_thread)
    for _ in range(3):
        assert numbers(stream) == [0, 1, 2, 3]
    assert not threads()


@threaded
def test_a_generator_gives_one_pass(in_thread):
    stream = Stream(batches(), in_thread=in_thread)
    assert numbers(stream) == [0, 1, 2, 3]
    text = (
        r"^Stream: expected batches for pass 2, got a generator, which gives them only once; give the function .*list$"
    )
    with pytest.raises(DataError, match=text):
        iter(stream)


@threaded
def test_a_function_that_gives_the_same_generator_again(in_thread):
    generator = batches()
    stream = Stream(lambda: generator, in_thread=in_thread)
    list(stream)
    with pytest.raises(DataError, match=r"^Stream: expected at least one batch, got none in pass 2$"):
        list(stream)


@threaded
def test_no_batches(in_thread):
    with pytest.raises(DataError, match=r"^Stream: expected at least one batch, got none in pass 1$"):
        list(Stream([], in_thread=in_thread))


def test_the_thread_changes_nothing_and_the_seed_decides():
    def run(**settings):
        stream = Stream(batches, augment=noisy, mix=lambda x, y, rng: (noisy(x, rng), y * 2), **settings)
        return [(x.tobytes(), y.tolist()) for _ in range(2) for x, y in stream]

    alone = run(in_thread=False)
    assert run() == alone == run(rng=np.random.default_rng(0))
    assert len({x for x, _ in alone}) == 8
    assert [y for _, y in alone] == [[2 * number] * 2 for number in range(4)] * 2
    assert run(rng=1) != alone


@threaded
def test_a_pass_may_begin_at_any_batch(in_thread):
    whole = [x.tobytes() for x, _ in Stream(batches, augment=noisy, in_thread=in_thread)]
    for first in range(5):
        rest = Stream(batches, augment=noisy, in_thread=in_thread).batches(first)
        assert [x.tobytes() for x, _ in rest] == whole[first:]


def test_two_batches_ahead():
    made = []

    def endless():
        for number in itertools.count():
            made.append(number)
            yield next(batches())

    stream = iter(Stream(endless))
    for taken in range(1, 4):
        next(stream)
        due = time.monotonic() + 10  # on a busy machine
        while len(made) < taken + 2 and time.monotonic() < due:
            time.sleep(0.001)
        time.sleep(0.01)
        assert len(made) == taken + 2
    assert threads()
    stream.close()
    assert not threads()


@threaded
def test_an_error_appears_where_its_batch_is_asked_for(in_thread):
    def fails():
        yield from batches(2)
        raise OSError("gone")

    stream = iter(Stream(fails, in_thread=in_thread))
    assert [int(next(stream)[1][0]) for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="gone"):
        next(stream)
    assert not threads()


@threaded
@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (np.zeros((4, 3)), r"pairs \(x, y\), got ndarray as batch 1"),
        (7, r"pairs \(x, y\), got int as batch 1"),
        ((np.zeros((4, 3)), np.zeros(3)), r"x and y of shapes \(n, ...\), n > 0, got \(4, 3\) and \(3,\) as batch 1"),
        ((np.zeros((0, 3)), np.zeros(0)), r"x and y of shapes \(n, ...\), n > 0, got \(0, 3\) and \(0,\) as batch 1"),
        ((1, 2), r"x and y of shapes \(n, ...\), n > 0, got \(\) and \(\) as batch 1"),
    ],
)
def test_batches_that_do_not_fit(batch, text, in_thread):
    with pytest.raises(ShapeError, match=rf"^Stream: expected {text}$"):
        list(Stream([*batches(1), batch], in_thread=in_thread))


def test_what_is_no_stream():
    with pytest.raises(SettingError, match=r"^Stream augment: expected a function of \(x, rng\), got 1$"):
        Stream([], augment=1)
    with pytest.raises(SettingError, match=r"^Stream: expected an iterable or a function that returns one, got 7$"):
        Stream(7)
    assert (Stream(batches).images, Stream(batches).classifies) == (None, None)
