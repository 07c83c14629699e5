"""Arrays that a model cannot take: one line says what they are and ends in the numpy that makes them right."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from bctoolkit.data.sources.synthetic import draw
from bctoolkit.errors import InputMismatch
from bctoolkit.runtime import Classifier, InputContract, StubBackend, prepare
from tests.support.mending import code_of

BATCH = np.random.default_rng(3).integers(0, 256, (3, 10, 12, 3), dtype=np.uint8)
RGB, FLOAT, GREY = (
    InputContract(height=10, width=12),
    InputContract(height=10, width=12, dtype="float32"),
    InputContract(height=10, width=12, channels=1),
)
Form = Callable[[NDArray[np.uint8]], Any]


class Last(StubBackend):
    """Keeps what the engine was given last."""

    def __init__(self) -> None:
        super().__init__([0.5, 0.5])

    def run(self, batch: NDArray[Any]) -> NDArray[np.float32]:
        self.batch = batch
        return super().run(batch)


def mended(images: Any, contract: InputContract) -> tuple[str, NDArray[Any]]:
    """What a refusal says, and what the engine gets once its code was carried out."""
    backend = Last()
    classifier = Classifier(backend, contract, ("dark", "light"))
    with pytest.raises(InputMismatch) as caught:
        classifier.predict(images)
    right = eval(code_of(caught.value), {"np": np, "images": images, "classifier": classifier, "prepare": prepare})
    classifier.predict(right)
    return str(caught.value), backend.batch


WRONG: dict[str, Form] = {
    "0-1": lambda x: x.astype(np.float32) / 255,
    "0-1 float64": lambda x: x / 255,
    "0-1 float16": lambda x: (x / 255).astype(np.float16),
    "-1-1": lambda x: x.astype(np.float32) / 127.5 - 1,
    "int64": lambda x: x.astype(np.int64),
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "uint16": lambda x: x.astype(np.uint16),
    "12 bits": lambda x: np.ceil(x * (4095 / 255)).astype(np.uint16),
    "int8": lambda x: (x.astype(int) - 128).astype(np.int8),
    "channels first": lambda x: x.transpose(0, 3, 1, 2),
    "channels first, 0-1": lambda x: x.transpose(0, 3, 1, 2) / 255,
    "list of floats": lambda x: list(x / 255),
    "list, channels first": lambda x: list(x.transpose(0, 3, 1, 2)),
    "alpha": lambda x: np.concatenate([x, x[..., :1]], 3),
    "a batch in a batch": lambda x: x[:, None],
}


@pytest.mark.parametrize("contract", [RGB, FLOAT], ids=["uint8", "float32"])
@pytest.mark.parametrize("form", WRONG.values(), ids=WRONG)
def test_the_line_of_numpy_makes_the_very_batch(form: Form, contract: InputContract) -> None:
    message, batch = mended(form(BATCH), contract)
    assert f"the model wants {contract}" in message
    np.testing.assert_allclose(batch, BATCH, atol=1e-4 if contract is FLOAT else 0)


FIRST_GREY = BATCH[0, ..., :1]
ONE: dict[str, tuple[NDArray[Any], InputContract, NDArray[Any]]] = {
    "channels first": (BATCH[0].transpose(2, 0, 1), RGB, BATCH[0]),
    "0-1": (BATCH[0] / 255, RGB, BATCH[0]),
    "alpha": (np.dstack([BATCH[0], BATCH[1, ..., 0]]), RGB, BATCH[0]),
    "grey": (FIRST_GREY[..., 0], GREY, FIRST_GREY),
    "grey 0-1": (FIRST_GREY[..., 0] / 255, GREY, FIRST_GREY),
    "grey with an axis": (FIRST_GREY / 255, GREY, FIRST_GREY),
    "grey for RGB": (FIRST_GREY[..., 0], RGB, np.repeat(FIRST_GREY, 3, 2)),
    "grey with an axis for RGB": (FIRST_GREY, RGB, np.repeat(FIRST_GREY, 3, 2)),
    "RGB for grey": (BATCH[0], GREY, prepare(BATCH[0], GREY)),
}


@pytest.mark.parametrize(("image", "contract", "wanted"), ONE.values(), ids=ONE)
def test_one_image_is_mended_too(image: NDArray[Any], contract: InputContract, wanted: NDArray[Any]) -> None:
    _, batch = mended(image, contract)
    assert np.array_equal(batch[0], wanted)


@pytest.mark.parametrize("images", [np.repeat(BATCH, 2, 1), np.repeat(BATCH[0], 3, 1), BATCH[..., 0][..., None]])
def test_pictures_of_another_size_are_prepared(images: NDArray[np.uint8]) -> None:
    message, batch = mended(images, GREY if images.shape[-1] == 3 else RGB)
    assert batch.shape[1:3] == (10, 12)
    assert "crop and resize as in training" in message or "repeat the grey channel" in message


def test_what_no_line_of_numpy_mends_says_what_was_found_alone() -> None:
    classifier = Classifier(StubBackend([1.0]), RGB, ("only",))
    for images in (BATCH.astype(object), BATCH.astype("U3"), np.full(BATCH.shape, np.nan), np.zeros(3)):
        with pytest.raises(InputMismatch) as caught:
            classifier.predict(images)
        assert str(caught.value).endswith("values 0–255")


@pytest.fixture(scope="module")
def cells() -> NDArray[np.uint8]:
    return draw(per_class=2, seed=0, size=64)[0]


CELL, CELL_FLOAT = InputContract(height=64, width=64), InputContract(height=64, width=64, dtype="float32")


@pytest.mark.parametrize("contract", [CELL, CELL_FLOAT], ids=["uint8", "float32"])
def test_0_and_1_alone_are_no_picture_where_they_show_something(
    cells: NDArray[np.uint8], contract: InputContract
) -> None:
    """Fractions cast to whole numbers, and masks; each image for itself, so that its neighbours do not matter."""
    classifier = Classifier(StubBackend([0.5, 0.5]), contract, ("dark", "light"))
    bright = (np.minimum(cells / cells.max((1, 2, 3), keepdims=True) * 1.15, 1)).astype(contract.dtype)
    bright = np.floor(bright) if contract is CELL_FLOAT else bright
    masks = (cells > 128).astype(contract.dtype)
    for wrong in (bright, masks):
        for images in (wrong[:1], np.concatenate([cells[:1].astype(contract.dtype), wrong[:1]]), list(wrong[:1])):
            with pytest.raises(InputMismatch, match=r"holds 0 and 1 alone, as fractions cast") as caught:
                classifier.predict(images)
    whole = cells / cells.max()
    right = eval(code_of(caught.value), {"np": np, "images": whole})
    assert right.dtype == contract.dtype
    classifier.predict(right)


@given(share=st.floats(0, 0.4), seed=st.integers(0, 2**16), dtype=st.sampled_from(["uint8", "float32"]))
def test_dark_frames_with_the_noise_of_a_camera_are_pictures(share: float, seed: int, dtype: str) -> None:
    """Single values are lifted to 1, by chance: the cap is on, or the lamp is off."""
    noise = (np.random.default_rng(seed).random((2, 64, 64, 3)) < share).astype(dtype)
    contract = CELL if dtype == "uint8" else CELL_FLOAT
    assert len(Classifier(StubBackend([0.5, 0.5]), contract, ("dark", "light")).predict(noise).labels) == 2


@pytest.mark.parametrize("value", [0, 1, 2, 255])
def test_a_single_level_is_a_picture(value: int) -> None:
    classifier = Classifier(StubBackend([0.5, 0.5]), CELL, ("dark", "light"))
    classifier.predict(np.full((64, 64, 3), value, np.uint8))


def test_a_picture_of_one_bit_is_0_and_255_and_stays_a_picture(cells: NDArray[np.uint8], tmp_path: Any) -> None:
    Image.fromarray(cells[0, ..., 0] > 128).save(tmp_path / "bits.png")
    classifier = Classifier(StubBackend([0.5, 0.5]), CELL, ("dark", "light"))
    prepared = prepare(tmp_path / "bits.png", CELL)
    assert set(np.unique(prepared)) == {0, 255}
    for image in (tmp_path / "bits.png", prepared, Image.open(tmp_path / "bits.png")):
        classifier.predict(image)


@pytest.mark.parametrize(
    "image", [BATCH[0] / 255, BATCH[0].transpose(2, 0, 1), BATCH[0].astype(np.int64), BATCH[0].astype(np.uint16) * 16]
)
def test_what_prepare_refuses_it_mends_too(image: NDArray[Any]) -> None:
    with pytest.raises(InputMismatch) as caught:
        prepare(image, RGB)
    right = eval(code_of(caught.value), {"np": np, "image": image})
    assert prepare(right, RGB).shape == (10, 12, 3)
