"""The engines that run a bundle in a browser: which files of which npm packages, each pinned by its content."""

from typing import NamedTuple

from bctoolkit.documents.formats import QUANTIZATIONS
from bctoolkit.errors import BundleError
from bctoolkit.manifest import Manifest

__all__ = ["ENGINES", "BrowserEngine", "EngineFile", "Package", "engine_of"]


class Package(NamedTuple):
    """A package of the npm registry."""

    name: str
    version: str
    integrity: str
    """Of its archive, as npm states it: SHA-512 in base64."""
    licence: str
    megabytes: int
    """Of the archive, for whoever waits."""


class EngineFile(NamedTuple):
    """One of its files."""

    package: Package
    path: str
    sha256: str

    @property
    def name(self) -> str:
        """What it is called beside the page."""
        return self.path.rpartition("/")[2]


class BrowserEngine(NamedTuple):
    """An engine of a format."""

    files: dict[str, EngineFile]
    """Role, as the page's `engines.js` knows it → file; `utils` is what `code` imports by a package's name."""
    for_webgpu: tuple[str, ...] = ()
    """Roles that only the graphics processor needs."""
    not_in_single_file: tuple[str, ...] = ()
    """Roles that a browser can do without, at the price of some speed."""

    @property
    def package(self) -> Package:
        """The one it is called by."""
        return self.files["code"].package


ONNXRUNTIME_WEB = Package(
    "onnxruntime-web",
    "1.30.0",
    "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ==",
    "MIT, © Microsoft Corporation, https://github.com/microsoft/onnxruntime",
    33,
)
LITERTJS = Package(
    "@litertjs/core",
    "2.5.3",
    "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    "Apache-2.0, © Google LLC, https://github.com/google-ai-edge/LiteRT; one import is replaced by what it imports",
    12,
)
WASM_UTILS = Package(
    "@litertjs/wasm-utils",
    "2.5.3",
    "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
    "Apache-2.0, © Google LLC, https://github.com/google-ai-edge/LiteRT",
    1,
)

ENGINES = {
    "onnx": BrowserEngine(
        {
            "code": EngineFile(
                ONNXRUNTIME_WEB,
                "dist/ort.wasm.bundle.min.mjs",
                "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
            ),
            "wasm": EngineFile(
                ONNXRUNTIME_WEB,
                "dist/ort-wasm-simd-threaded.wasm",
                "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
            ),
            "gpu_code": EngineFile(
                ONNXRUNTIME_WEB,
                "dist/ort.webgpu.bundle.min.mjs",
                "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
            ),
            "gpu_wasm": EngineFile(
                ONNXRUNTIME_WEB,
                "dist/ort-wasm-simd-threaded.asyncify.wasm",
                "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
            ),
        },
        for_webgpu=("gpu_code", "gpu_wasm"),
    ),
    "tflite": BrowserEngine(
        {
            "code": EngineFile(
                LITERTJS, "dist/index.js", "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3"
            ),
            "utils": EngineFile(
                WASM_UTILS, "dist/index.js", "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2"
            ),
            "compatible": EngineFile(
                LITERTJS,
                "wasm/litert_wasm_compat_internal.js",
                "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
            ),
            "compatible_wasm": EngineFile(
                LITERTJS,
                "wasm/litert_wasm_compat_internal.wasm",
                "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
            ),
            "fast": EngineFile(
                LITERTJS,
                "wasm/litert_wasm_internal.js",
                "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
            ),
            "fast_wasm": EngineFile(
                LITERTJS,
                "wasm/litert_wasm_internal.wasm",
                "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
            ),
            "threaded": EngineFile(
                LITERTJS,
                "wasm/litert_wasm_threaded_internal.js",
                "92fe7a720c6deedaa1194c011c79a005ea4f6fc98f533b661cf7900760ab4849",
            ),
            "threaded_wasm": EngineFile(
                LITERTJS,
                "wasm/litert_wasm_threaded_internal.wasm",
                "b5e54eca10f043497edf9a02186332707cae260c550d7ea22b2cae55669596cf",
            ),
        },
        not_in_single_file=("fast", "fast_wasm", "threaded", "threaded_wasm"),
    ),
}
"""Format → what runs it."""


def engine_of(manifest: Manifest) -> BrowserEngine:
    """What runs a bundle in a browser.

    Raises:
        BundleError: nothing does.
    """
    engine = ENGINES.get(manifest.format)
    if engine is None:
        raise BundleError(
            f"{manifest.name}: no engine runs {manifest.format} in a browser; formats: {', '.join(ENGINES)}"
        )
    if manifest.format == "tflite" and QUANTIZATIONS[manifest.quantization].throughout:
        raise BundleError(
            f"{manifest.name}: answers in integers ({manifest.quantization}), and LiteRT.js does not say of which "
            "step; use another form, such as int8-dynamic"
        )
    return engine
