"""The deeper networks as somebody would write them in PyTorch, with the names that torchvision gives their weights."""

from torch import nn


class AlexNet(nn.Module):
    def __init__(self, classes, in_channels, hidden):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d(6)
        self.classifier = nn.Sequential(
            nn.Dropout(0), nn.Linear(9216, hidden), nn.ReLU(),
            nn.Dropout(0), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


class VGG(nn.Module):
    def __init__(self, plan, classes, in_channels, hidden, batch_norm):
        super().__init__()
        layers = []
        for step in plan.split():
            if step == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers.append(nn.Conv2d(in_channels, int(step), 3, padding=1))
            layers += [nn.BatchNorm2d(int(step))] * batch_norm
            layers.append(nn.ReLU())
            in_channels = int(step)
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(25088, hidden), nn.ReLU(), nn.Dropout(0),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0), nn.Linear(hidden, classes),
        )  # fmt: skip

    forward = AlexNet.forward


class Block(nn.Module):
    """Two 3x3 convolutions, or with ``expand`` a 1x1, a 3x3 and a 1x1 one."""

    def __init__(self, inputs, width, stride, expand):
        super().__init__()
        sizes, outputs = ((1, 3, 1), 4 * width) if expand else ((3, 3), width)
        strides = (1, stride, 1) if expand else (stride, 1)
        channels = [inputs, *[width] * (len(sizes) - 1), outputs]
        for i, (size, step) in enumerate(zip(sizes, strides, strict=True)):
            conv = nn.Conv2d(channels[i], channels[i + 1], size, step, size // 2, bias=False)
            setattr(self, f"conv{i + 1}", conv)
            setattr(self, f"bn{i + 1}", nn.BatchNorm2d(channels[i + 1]))
        self.depth, self.downsample = len(sizes), None
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < self.depth else y
        return (y + (self.downsample(x) if self.downsample else x)).relu()


class ResNet(nn.Module):
    def __init__(self, depths, expand, classes, in_channels, width):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                blocks.append(Block(channels, width * 2**i, 2 if i and not j else 1, expand))
                channels = width * 2**i * (4 if expand else 1)
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        y = self.maxpool(self.bn1(self.conv1(x)).relu())
        y = self.layer4(self.layer3(self.layer2(self.layer1(y))))
        return self.fc(y.mean(dim=(2, 3)))


def twin(name, classes, in_channels, size, batch_norm=False):
    """The network ``name``; ``size`` is its number of hidden units or, for a residual network, its width."""
    plans = {
        "vgg11": "64 M 128 M 256 256 M 512 512 M 512 512 M",
        "vgg13": "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
        "vgg16": "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
        "vgg19": "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
    }
    depths = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
    if name == "alexnet":
        return AlexNet(classes, in_channels, size)
    if name in plans:
        return VGG(plans[name], classes, in_channels, size, batch_norm)
    return ResNet(depths[name], name == "resnet50", classes, in_channels, size)
