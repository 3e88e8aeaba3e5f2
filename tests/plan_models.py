"""Models that between them have every operation of a plan, by name: of a dtype, with the shape of an input."""

import convnet
from convnet import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    Add,
    AvgPool2d,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Graph,
    GroupNorm,
    HardSigmoid,
    HardSwish,
    Identity,
    LeakyReLU,
    LocalResponseNorm,
    MaxPool2d,
    Multiply,
    Pad2d,
    PadChannels,
    Parallel,
    PReLU,
    ReLU,
    ReLU6,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    Upsample2d,
)

MODELS = {
    "lenet": lambda d: (convnet.models.lenet(rng=0), (1, 28, 28)),
    "simple_cnn": lambda d: (convnet.models.simple_cnn(rng=0), (1, 28, 28)),
    "convolution": lambda d: (Sequential(Conv2d(3, 5, 3, stride=2, padding=1, dtype=d)), (3, 9, 8)),
    "folded": lambda d: (Sequential(Conv2d(2, 4, (2, 3), padding="same", dtype=d)), (2, 9, 16)),
    "grouped": lambda d: (Sequential(Conv2d(6, 9, 3, groups=3, dilation=2, bias=False, dtype=d), ReLU()), (6, 9, 9)),
    "depthwise": lambda d: (
        Sequential(
            Conv2d(5, 5, 3, 2, padding=1, groups=5, dtype=d), ReLU(), Conv2d(5, 5, 2, groups=5, bias=False, dtype=d)
        ),
        (5, 9, 8),
    ),
    "pooling": lambda d: (
        Sequential(MaxPool2d(3, 2, padding=1), Conv2d(4, 6, 1, dtype=d), AvgPool2d(2, ceil_mode=True), ReLU()),
        (4, 13, 13),
    ),
    "overlapping": lambda d: (Sequential(Conv2d(4, 6, 3, dtype=d), ReLU(), MaxPool2d(3, 2)), (4, 13, 13)),
    "not rectified": lambda d: (Sequential(Conv2d(4, 6, 3, dtype=d), MaxPool2d(2)), (4, 13, 13)),
    "cut off": lambda d: (Sequential(Conv2d(4, 6, 3, dtype=d), ReLU6(), Conv2d(6, 2, 1, dtype=d), ReLU6()), (4, 7, 8)),
    "cut off in groups": lambda d: (
        Sequential(
            Conv2d(6, 6, 3, groups=6, dtype=d),
            ReLU6(),
            Conv2d(6, 4, 3, 2, padding=1, groups=2, dtype=d),
            ReLU6(),
            ReLU(),
            Conv2d(4, 40, 1, groups=2, dtype=d),
            ReLU(),
            ReLU6(),
        ),
        (6, 7, 8),
    ),
    "cut off, transposed": lambda d: (
        Sequential(ConvTranspose2d(4, 20, 3, 2, dtype=d), ReLU6(), ConvTranspose2d(20, 2, 3, 2, dtype=d), ReLU6()),
        (4, 3, 4),
    ),
    "cut off and pooled": lambda d: (
        Sequential(
            Conv2d(3, 4, 3, dtype=d), ReLU6(), MaxPool2d(2), Conv2d(4, 4, 3, dtype=d), ReLU(), MaxPool2d(2), ReLU6()
        ),
        (3, 14, 14),
    ),
    "cut off rows": lambda d: (Sequential(Dense(7, 70, dtype=d), ReLU6(), Dense(70, 3, dtype=d), ReLU6()), (7,)),
    "a sum cut off": lambda d: (
        Sequential(Parallel(Conv2d(2, 2, 1, dtype=d), Identity()), ReLU6(), Conv2d(2, 2, 1, dtype=d)),
        (2, 3, 3),
    ),
    "two pools": lambda d: (Sequential(Conv2d(4, 6, 3, dtype=d), ReLU(), MaxPool2d(2), MaxPool2d(2)), (4, 14, 14)),
    "flattened maps": lambda d: (Sequential(Conv2d(3, 4, 3, dtype=d), Flatten()), (3, 6, 7)),
    "flattened twice": lambda d: (Sequential(Flatten(), ReLU(), Dense(24, 7, dtype=d)), (2, 3, 4)),
    "rows": lambda d: (Sequential(Dense(12, 300, dtype=d), ReLU(), ReLU(), Dense(300, 3, bias=False, dtype=d)), (12,)),
    "nested": lambda d: (Sequential(Sequential(Conv2d(1, 2, 3, dtype=d)), Sequential(ReLU(), Dropout(0.5))), (1, 5, 5)),
    "adaptive": lambda d: (
        Sequential(AdaptiveAvgPool2d((2, 4)), AdaptiveMaxPool2d((1, 2)), AdaptiveAvgPool2d((1, 2)), GlobalAvgPool2d()),
        (5, 4, 8),
    ),
    "residual": lambda d: (
        Sequential(Parallel(Conv2d(3, 3, 3, padding=1, dtype=d), Identity()), ReLU(), Conv2d(3, 2, 1, dtype=d)),
        (3, 5, 6),
    ),
    "three summands": lambda d: (
        Parallel(Conv2d(2, 2, 1, dtype=d), Identity(), Conv2d(2, 2, 1, dtype=d), merge=Add()),
        (2, 3, 3),
    ),
    "inception": lambda d: (
        Sequential(
            Parallel(
                Conv2d(3, 4, 1, dtype=d), Sequential(Conv2d(3, 5, 1, dtype=d), ReLU()), Identity(), merge=Concat()
            ),
            MaxPool2d(2),
        ),
        (3, 6, 6),
    ),
    "padded channels": lambda d: (
        Sequential(
            Conv2d(3, 4, 1, dtype=d),
            ReLU(),
            Parallel(Conv2d(4, 9, 1, stride=2, dtype=d), Sequential(AvgPool2d(1, 2), PadChannels(2, 3))),
        ),
        (3, 7, 6),
    ),
    "rows joined": lambda d: (Parallel(Dense(5, 3, dtype=d), Dense(5, 4, dtype=d), merge=Concat()), (5,)),
    "gate": lambda d: (
        Parallel(Sequential(AdaptiveAvgPool2d(1), Conv2d(4, 4, 1, dtype=d)), Identity(), merge=Multiply()),
        (4, 2, 4),
    ),
    "squared": lambda d: (
        Graph({"a": (Conv2d(2, 3, 1, dtype=d), "x"), "b": (Multiply(), ("a", "a")), "c": (Add(), ("b", "a"))}),
        (2, 5, 4),
    ),
    "read twice": lambda d: (
        Graph({"a": (Conv2d(2, 3, 1, dtype=d), "x"), "r": (ReLU(), "a"), "c": (Add(), ("r", "a"))}),
        (2, 5, 4),
    ),
    "activations": lambda d: (
        Sequential(Conv2d(3, 4, 3, dtype=d), LeakyReLU(0.5), ELU(), HardSwish(), PReLU(4, dtype=d), SiLU(), Softmax()),
        (3, 9, 8),
    ),
    "activations of rows": lambda d: (
        Sequential(
            Dense(7, 21, dtype=d), GELU(), GELU("tanh"), PReLU(dtype=d), Tanh(), HardSigmoid(), Sigmoid(), Softmax()
        ),
        (7,),
    ),
    "normalised": lambda d: (
        Sequential(
            Conv2d(3, 4, 1, dtype=d),
            GroupNorm(2, 4, dtype=d),
            LocalResponseNorm(3, 0.5),
            GroupNorm(1, 4, affine=False, dtype=d),
        ),
        (3, 9, 8),
    ),
    "transposed": lambda d: (
        Sequential(
            ConvTranspose2d(3, 4, 3, 2, 1, 1, dtype=d),
            ReLU(),
            ConvTranspose2d(4, 6, (2, 3), padding=(2, 1), groups=2, bias=False, dtype=d),
            ConvTranspose2d(6, 2, 3, padding=1, dilation=(1, 2), dtype=d),
        ),
        (3, 4, 5),
    ),
    "transposed in groups": lambda d: (
        Sequential(
            ConvTranspose2d(6, 6, 3, 2, 1, groups=6, dtype=d),
            ReLU(),
            ConvTranspose2d(6, 4, 3, 2, groups=2, bias=False, dtype=d),
            ReLU(),
            ConvTranspose2d(4, 60, (2, 1), (1, 3), groups=2, dilation=(3, 2), output_padding=(2, 1), dtype=d),
        ),
        (6, 3, 4),
    ),
    "transposed to few channels": lambda d: (
        Sequential(
            ConvTranspose2d(12, 3, 4, 2, 1, dtype=d),
            ReLU(),
            ConvTranspose2d(3, 2, (2, 3), 3, bias=False, dtype=d),
            ConvTranspose2d(2, 1, 1, padding=(1, 2), dtype=d),
        ),
        (12, 4, 5),
    ),
    "transposed to many": lambda d: (
        Sequential(
            ConvTranspose2d(5, 70, 3, (2, 4), 1, dtype=d),  # no tap leads to some columns
            ReLU(),
            ConvTranspose2d(70, 20, 2, 2, dtype=d),
            ReLU(),
            ConvTranspose2d(20, 17, 2, 3, bias=False, dilation=2, dtype=d),
            ReLU(),
        ),
        (5, 4, 3),
    ),
    "resized": lambda d: (
        Sequential(
            Conv2d(3, 5, 1, dtype=d),
            Pad2d(((1, 0), (2, 1)), "reflect"),
            Upsample2d(scale_factor=2),
            Upsample2d(scale_factor=2, mode="bilinear"),
            Pad2d(1),
            Pad2d(1, "replicate"),
            Upsample2d((9, 3)),
        ),
        (3, 4, 6),
    ),
    "nothing": lambda d: (Sequential(Dropout(0.5)), (2, 3, 4)),
    "empty": lambda d: (Sequential(), (7,)),
}
