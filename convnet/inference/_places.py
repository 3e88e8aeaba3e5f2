"""Where in memory the values of a program lie: no two that are alive at the same time overlap."""

import math

from convnet.functional import Plan
from convnet.inference._program import Program

# Elements: places start on cache lines.
ALIGNMENT = 16


def assign(program: Program) -> tuple[dict[int, int], int]:
    """Return the place of each value and how many elements all of them take, for one image.

    Each value gets the lowest free place, in the order of the operations, and frees it after its last reader. The input
    and the output lie in the caller's arrays.
    """
    places = {program.output: Plan.OUTPUT, 0: Plan.INPUT}
    last_reader = {value: i for i, operation in enumerate(program.operations) for value in operation.inputs}
    alive: list[tuple[int, int, int]] = []  # first element, one behind the last, last reader
    total = 0
    for i, operation in enumerate(program.operations):
        alive = sorted(region for region in alive if region[2] >= i)
        if operation.output in places:
            continue
        size = -(-math.prod(program.shapes[operation.output]) // ALIGNMENT) * ALIGNMENT
        start = _lowest_free(alive, size)
        places[operation.output] = start
        alive.append((start, start + size, last_reader[operation.output]))
        total = max(total, start + size)
    return places, total


def _lowest_free(alive: list[tuple[int, int, int]], size: int) -> int:
    start = 0
    for first, end, _ in alive:
        if first - start >= size:
            break
        start = max(start, end)
    return start
