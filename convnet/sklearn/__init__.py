"""Networks as scikit-learn knows estimators: for pipelines, grid searches, cross-validation.

Needs the extra ``sklearn``: ``pip install convnet-cpu[sklearn]``.
"""

try:
    from sklearn.utils.validation import validate_data as validate_data  # there since 1.6
except ImportError:
    raise ImportError(
        "convnet.sklearn: expected scikit-learn of version 1.6 or later, got none: pip install convnet-cpu[sklearn]"
    ) from None

from convnet.sklearn._classifier import ConvNetClassifier as ConvNetClassifier
from convnet.sklearn._regressor import ConvNetRegressor as ConvNetRegressor

__all__ = ["ConvNetClassifier", "ConvNetRegressor"]
