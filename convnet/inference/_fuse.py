"""Rewriting a model so that neighbouring layers share a pass over memory."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from convnet.layers import (
    Add,
    AuxiliaryHead,
    BatchNorm2d,
    Conv2d,
    Dense,
    Frozen,
    Graph,
    Layer,
    MaxPool2d,
    Node,
    Parallel,
    ReLU,
    ReLU6,
    Sequential,
)
from convnet.layers.fused import AddReLU, BatchNormAddReLU, BatchNormReLU, ConvReLU, DenseReLU, lies_side_by_side


class _Pattern(NamedTuple):
    """Types of layers, a condition on their nodes, and what makes one layer of theirs."""

    layers: tuple[type[Layer], ...]
    applies: Callable[..., bool]
    make: Callable[..., Layer]


# The first that fits wins, so longer ones stand first. Types must match exactly: a subclass may do anything.
_PATTERNS = (
    _Pattern((Conv2d, ReLU, MaxPool2d), lambda c, r, p: lies_side_by_side(p.layer), lambda c, r, p: ConvReLU(c, p)),
    _Pattern((Conv2d, ReLU), lambda c, r: True, lambda c, r: ConvReLU(c)),
    _Pattern((BatchNorm2d, Add, ReLU), lambda n, a, r: len(a.sources) == 2, lambda n, a, r: BatchNormAddReLU(n)),
    _Pattern(
        (BatchNorm2d, ReLU, MaxPool2d), lambda n, r, p: lies_side_by_side(p.layer), lambda n, r, p: BatchNormReLU(n, p)
    ),
    _Pattern((BatchNorm2d, ReLU), lambda n, r: True, lambda n, r: BatchNormReLU(n)),
    _Pattern((BatchNorm2d, ReLU6), lambda n, r: True, lambda n, r: BatchNormReLU(n, ceiling=r._ceiling)),
    _Pattern((Add, ReLU), lambda a, r: True, lambda a, r: AddReLU()),
    _Pattern((Parallel, ReLU), lambda p, r: _ends_in_sum(p.layer), lambda p, r: fuse(_followed(p, r))),
    _Pattern((Dense, ReLU), lambda d, r: True, lambda d, r: DenseReLU(d)),
    _Pattern((Frozen,), lambda f: True, lambda f: Frozen(fuse(f.layer))),
    _Pattern((AuxiliaryHead,), lambda h: True, lambda h: AuxiliaryHead(fuse(h.head), h.weight, h.least_size)),
)


class _Run(NamedTuple):
    """Nodes that become one: their names, and the layer that stands for them."""

    names: tuple[str, ...]
    layer: Layer


def fuse(model: Layer) -> Layer:
    """Return a model that computes the same with fewer passes over memory.

    Runs of layers that one of ``convnet.layers.fused`` can replace (convolution, ReLU and max pool; batch
    normalisation, ReLU and max pool; batch normalisation, addition and ReLU; each two of them that end in ReLU; batch
    normalisation and ReLU6; dense and ReLU) are replaced in every `Sequential`, `Parallel` and `Graph`, also in nested
    ones, where nobody else reads the arrays between them. Nothing is copied: both models share their parameters and
    running averages, and ``model`` stays as it is. `Trainer` does this by itself.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    Layer
        ``model`` itself if it is none of these containers.

    Examples
    --------
    >>> fuse(Sequential(Conv2d(1, 8, 3, rng=0), ReLU(), MaxPool2d(2), ReLU()))
    Sequential(
      (0): ConvReLU(
        (conv): Conv2d(1, 8, kernel_size=3)
        (pool): MaxPool2d(kernel_size=2)
      )
      (3): ReLU()
    )
    """
    if type(model) not in (Sequential, Parallel, Graph):
        return model
    assert isinstance(model, Graph)
    runs = {run.names[-1]: run for run in _runs(model)}
    renamed = {last: run.names[0] for last, run in runs.items()}
    fused = {renamed[last]: _joined(run, model.nodes, renamed) for last, run in runs.items()}
    return model.rewired(fused, renamed.get(model.output, model.output))


def _ends_in_sum(graph: Graph) -> bool:
    return type(graph.nodes[graph.output].layer) is Add


def _followed(graph: Graph, layer: Layer) -> Graph:
    """Take in a layer that follows."""
    name = f"{graph.output}.after"
    return graph.rewired({**graph.nodes, name: Node(layer, graph.output)}, name)


def _joined(run: _Run, nodes: Mapping[str, Node], renamed: Mapping[str, str]) -> Node:
    """One node for a run: it reads what the run reads from outside."""
    outside = [source for name in run.names for source in nodes[name].sources if source not in run.names]
    return Node(run.layer, tuple(renamed.get(source, source) for source in outside))


def _runs(model: Graph) -> Iterator[_Run]:
    """Cut the nodes into runs, each in the place of its last node, before which everything it reads has been."""
    nodes, following = model.nodes, _only_readers(model)
    runs: dict[str, _Run] = {}
    taken: set[str] = set()
    for name in nodes:
        if name not in taken:
            run = _first(nodes, list(_chain(name, following, taken)))
            taken.update(run.names)
            runs[run.names[-1]] = run
    return (runs[name] for name in nodes if name in runs)


def _only_readers(model: Graph) -> dict[str, str]:
    """For each array that is read once, by whom; nobody reads the output."""
    readers: dict[str, list[str]] = {}
    for name, node in model.nodes.items():
        for source in node.sources:
            readers.setdefault(source, []).append(name)
    return {source: names[0] for source, names in readers.items() if len(names) == 1}


def _chain(name: str, following: Mapping[str, str], taken: set[str]) -> Iterator[str]:
    """Follow the nodes from ``name`` on, each the only reader of the one before, and not part of another run."""
    yield name
    while name in following and following[name] not in taken:
        name = following[name]
        yield name


def _first(nodes: Mapping[str, Node], chain: list[str]) -> _Run:
    """The longest run at the beginning of a chain that one layer can stand for."""
    layers = [nodes[name].layer for name in chain]
    for pattern in _PATTERNS:
        count = len(pattern.layers)
        fits = tuple(map(type, layers[:count])) == pattern.layers
        if fits and pattern.applies(*(nodes[name] for name in chain[:count])):
            return _Run(tuple(chain[:count]), pattern.make(*layers[:count]))
    return _Run((chain[0],), fuse(layers[0]))
