"""The page's own decoding, turning, cropping and resizing beside Python's, under contracts other than the zoo's."""

import base64
import io
import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from bctoolkit.app.web import packages
from bctoolkit.contract import InputContract, prepare_bytes
from bctoolkit.errors import InputMismatch
from bctoolkit.files import sha256_bytes
from tests.app.web.conftest import ZOO
from tests.support.chromium import Browser
from tests.support.web_page import served

pytestmark = pytest.mark.slow

PREPARE = """
(async (content, contracts) => {
  const at = (name) => new URL(name, document.baseURI).href;
  const { prepare } = await import(at("prepare.js"));
  const { sha256, fromBase64, Refused } = await import(at("bytes.js"));
  const digests = [];
  for (const contract of contracts) {
    try {
      const { width, height, channels, data } = await prepare(fromBase64(content), contract);
      digests.push(`${height}×${width}×${channels} ${await sha256(data)}`);
    } catch (problem) {
      if (!(problem instanceof Refused)) throw problem;
      digests.push(null);
    }
  }
  return digests;
})
"""

CONTRACTS = (
    InputContract(height=31, width=47, crop="none", resize="bilinear"),
    InputContract(height=64, width=64, crop=48, resize="bicubic", white=4095),
    InputContract(height=40, width=40, channels=1, resize="lanczos", white=65_535),
    InputContract(height=150, width=33, channels=1, crop="none", resize="nearest", white=4000),
    InputContract(height=97, width=101, crop="none", resize="nearest", white=1023),
    InputContract(height=224, width=224),
    InputContract(height=48, width=48, crop=60, picture=100),
)


KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("PNG", {}),
    ("JPEG", {"quality": 60}),
    ("JPEG", {"progressive": True}),
    ("JPEG", {"subsampling": 1}),
)


def by_python(content: bytes, contract: InputContract) -> str | None:
    """Shape and hash of the array; None where the file is refused."""
    try:
        array = prepare_bytes(content, contract, "file")
    except InputMismatch:
        return None
    return f"{'×'.join(map(str, array.shape))} {sha256_bytes(array.tobytes())}"


def by_page(browser: Browser, content: bytes, contracts: tuple[InputContract, ...]) -> list[str | None]:
    raw = json.dumps([msgspec.to_builtins(contract) for contract in contracts])
    told: list[str | None] = browser.evaluate(f"{PREPARE}('{base64.b64encode(content).decode()}', {raw})")
    return told


@pytest.fixture
def opened(browser: Browser, onnx_page: Path) -> Any:
    with served(onnx_page) as (url, _):
        browser.open(url, 900, "light")
        yield browser


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of damaged Exif, as the command line ignores them
def test_every_file_becomes_the_array_that_python_makes_of_it(opened: Browser) -> None:
    files = sorted((ZOO / "vectors" / "images").iterdir())
    assert len(files) == 64
    arrays = 0
    for path in files:
        content = path.read_bytes()
        told = by_page(opened, content, CONTRACTS)
        assert told == [by_python(content, contract) for contract in CONTRACTS], path.name
        arrays += sum(each is not None for each in told)
    assert arrays > 5 * 50


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_drawn_files_of_all_kinds_become_the_same_arrays(opened: Browser, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for width, height in rng.integers(1, 300, (20, 2)).tolist():
        pixels = rng.integers(0, 256, (height, width, 4), dtype=np.uint8)
        smooth = Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX)
        for mode, (kind, options) in itertools.product(("RGB", "L"), KINDS):
            buffer = io.BytesIO()
            smooth.convert(mode).save(buffer, kind, **options)
            content = buffer.getvalue()
            wanted = [by_python(content, contract) for contract in CONTRACTS]
            assert by_page(opened, content, CONTRACTS) == wanted, (width, height, mode, kind, options)


def test_the_check_of_the_jpeg_decoder_holds_what_pillow_decodes() -> None:
    path = Path(packages.__file__).with_name("page") / "decoder-check.json"
    stored = json.loads(path.read_bytes())
    with Image.open(io.BytesIO(base64.b64decode(stored["jpeg"]))) as picture:
        assert np.asarray(picture).tobytes() == base64.b64decode(stored["rgb"])
