"""What the tests of loading share."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _nothing_stays_lent() -> Iterator[None]:
    """Take back the names that lambdas were given: the next test's are to lack them."""
    unpackers = ("keras.src.utils.python_utils", "tf_keras.src.layers.core.lambda_layer")
    before = {name: set(vars(sys.modules[name])) for name in unpackers if name in sys.modules}
    yield
    for name, names in before.items():
        for lent in set(vars(sys.modules[name])) - names:
            delattr(sys.modules[name], lent)
