"""Every picture that convnet draws, from networks trained in a minute or two.

python examples/gallery.py pictures            # a folder; needs matplotlib: pip install "convnet-cpu[plot]"

Digits come with the package; with CIFAR-10 in $CONVNET_DATA there are photographs too.
"""

import argparse
import os
from pathlib import Path

import numpy as np

import convnet
from convnet import (
    BatchNorm2d,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    MaxPool2d,
    ReLU,
    Sequential,
    explain,
    plot,
)
from convnet.data import cifar10, digits
from convnet.data.transforms import Compose, RandomAffine, RandomCrop, RandomHorizontalFlip

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def network(channels, rng):
    """Five convolutions, of which the first is large enough for its filters to be looked at."""
    layers = [Conv2d(channels, 24, 5, padding=2, bias=False, rng=rng), BatchNorm2d(24), ReLU()]
    for inputs, outputs, pool in (24, 32, True), (32, 64, False), (64, 64, True), (64, 128, False):
        layers += [Conv2d(inputs, outputs, 3, padding=1, bias=False, rng=rng), BatchNorm2d(outputs), ReLU()]
        layers += [MaxPool2d(2)] if pool else []
    return Sequential(*layers, GlobalAvgPool2d(), Flatten(), Dropout(0.2, rng=rng), Dense(128, 10, rng=rng))


def trained(train, test, epochs, augment):
    """A model and its trainer."""
    model = network(train[0].shape[1], np.random.default_rng(0))
    steps = epochs * -(-len(train[0]) // 64)
    optimizer = convnet.optim.Adam(convnet.optim.OneCycle(0.01, steps))
    trainer = convnet.Trainer(model, convnet.SoftmaxCrossEntropy(), optimizer)
    trainer.fit(train, test, epochs=epochs, augment=augment)
    return model, trainer


def heatmaps(model, x, titles):
    """A row for each image: itself, and where three methods see what the answer hangs on."""
    from matplotlib.figure import Figure

    maps = [
        explain.grad_cam(model, x),
        explain.saliency(model, x, samples=25),
        explain.occlusion(model, x, x.shape[2] // 4, 2),
    ]
    figure = Figure(figsize=(7.2, 1.85 * len(x)), layout="constrained", dpi=120)
    rows = figure.subplots(len(x), 4, squeeze=False)
    for axes, title in zip(rows[0], ("image", "Grad-CAM", "SmoothGrad", "occlusion"), strict=True):
        axes.set_title(title)
    for i, (first, *others) in enumerate(rows):
        first.imshow(np.moveaxis(x[i], 0, -1), cmap="gray")
        first.set(xticks=[], yticks=[], ylabel=titles[i])
        for axes, values in zip(others, maps, strict=True):
            plot.heatmap(x[i], values[i], axes)
    return figure


def pictures(name, train, test, classes, epochs, augment):
    """Yield the name of each picture of a data set, and its figure."""
    model, trainer = trained(train, test, epochs, augment)
    (x, y), outputs = test, trainer.predict(test[0])
    print(convnet.metrics.classification_report(outputs, y, classes))
    yield f"{name}-history", plot.history(trainer.history)
    yield f"{name}-confusion", plot.confusion_matrix(convnet.metrics.confusion_matrix(outputs, y), classes)
    yield f"{name}-mistakes", plot.mistakes(x, outputs, y, classes, count=15)
    yield f"{name}-filters", plot.filters(model[0])
    yield f"{name}-maps", plot.feature_maps(model, x[:1], "2")
    told = [np.flatnonzero(outputs.argmax(axis=1) == label) for label in range(10)]
    first = [places[0] for places in told if len(places)][:5]
    yield f"{name}-explain", heatmaps(model, x[first], [classes[outputs[i].argmax()] for i in first])


def main(folder, epochs):
    """Draw all pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    shift = RandomAffine(shift=1, rotation=10, scale=0.1, shear=0.1)
    sets = [("digits", *digits(), list("0123456789"), epochs, shift)]
    if (Path(os.environ.get("CONVNET_DATA", "")) / "cifar10").is_dir():
        (x, y), test = cifar10()
        mirror = Compose(RandomCrop(2), RandomHorizontalFlip())
        sets.append(("cifar10", (x[:10000], y[:10000]), test, CIFAR10, epochs, mirror))
    for settings in sets:
        for name, figure in pictures(*settings):
            figure.savefig(folder / f"{name}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    main(**vars(parser.parse_args()))
