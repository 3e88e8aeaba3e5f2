"""Where in memory the values of a program lie: no two that are alive at the same time overlap."""

import math

from convnet.functional import Plan
from convnet.inference._program import Program

# Elements: places start on cache lines.
ALIGNMENT = 16


# They read an element only to write it, so their result may take the place of what they read.
IN_PLACE = frozenset(("activation", "add", "batch_norm", "multiply", "prelu", "relu"))


def assign(program: Program) -> tuple[dict[int, int], int]:
    """Return the place of each value and how many elements all of them take, for one image.

    Each value gets the lowest free place, in the order of the operations, and frees it after its last reader, or hands
    it over to that one's result. The input and the output lie in the caller's arrays.
    """
    homes = _homes(program)
    places = {homes[program.output]: Plan.OUTPUT, 0: Plan.INPUT}
    last_reader = {homes[value]: i for i, operation in enumerate(program.operations) for value in operation.inputs}
    alive: list[tuple[int, int, int]] = []  # first element, one behind the last, last reader
    total = 0
    for i, operation in enumerate(program.operations):
        alive = sorted(region for region in alive if region[2] >= i)
        home = homes[operation.output]
        if home in places:
            continue
        size = -(-math.prod(program.shapes[home]) // ALIGNMENT) * ALIGNMENT
        start = _lowest_free(alive, size)
        places[home] = start
        alive.append((start, start + size, last_reader[home]))
        total = max(total, start + size)
    return {value: places[home] for value, home in homes.items()}, total


def _homes(program: Program) -> dict[int, int]:
    """The value whose place each one takes: an input that nobody reads later, or its own."""
    last_reader = {value: i for i, operation in enumerate(program.operations) for value in operation.inputs}
    homes = {0: 0}
    for i, operation in enumerate(program.operations):
        left = (value for value in operation.inputs if value != 0 and last_reader[value] == i)
        fits = (value for value in left if program.shapes[value] == program.shapes[operation.output])
        taken = next(fits, operation.output) if operation.name in IN_PLACE else operation.output
        homes[operation.output] = homes.get(taken, taken)
    return homes


def _lowest_free(alive: list[tuple[int, int, int]], size: int) -> int:
    start = 0
    for first, end, _ in alive:
        if first - start >= size:
            break
        start = max(start, end)
    return start
