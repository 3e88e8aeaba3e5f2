"""Changes of training images that leave the label true, or change it too.

A transform is called with a batch of images (n, c, h, w) and a random generator, and returns a new batch; any function
of that kind will do. A mix (`Mixup`, `CutMix`) is called with images, targets and a generator, and returns both.

Images stay uint8 until `Normalize` makes floats of them, which is therefore the last of a `Compose`; `Mixup` and
`CutMix` come after it.
"""

from convnet.data.transforms._affine import RandomAffine
from convnet.data.transforms._color import ColorJitter
from convnet.data.transforms._compose import Compose
from convnet.data.transforms._crop import CenterCrop, RandomCrop
from convnet.data.transforms._cutout import Cutout
from convnet.data.transforms._flip import RandomHorizontalFlip, RandomVerticalFlip
from convnet.data.transforms._images import Transform
from convnet.data.transforms._mix import CutMix, Mix, Mixup
from convnet.data.transforms._normalize import Normalize
from convnet.data.transforms._resize import RandomResizedCrop, Resize

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "CutMix",
    "Cutout",
    "Mix",
    "Mixup",
    "Normalize",
    "RandomAffine",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomVerticalFlip",
    "Resize",
    "Transform",
]
