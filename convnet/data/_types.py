"""The types of a data set."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Split: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64]]
DataSet: TypeAlias = tuple[Split, Split]
