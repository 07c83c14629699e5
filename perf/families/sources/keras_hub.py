"""The image classifiers of keras-hub, built from their configurations: the smallest of each family.

keras-hub publishes some families only in sizes of 86 million parameters and more; of these the tiny configuration of
the family's paper is taken where there is one (DeiT's for plain ViT), and a reduced one where there is none.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from perf.families.sources.network import CLASSES, Network

__all__ = ["NETWORKS"]

SIZE = 96
TINY = {"num_layers": 12, "num_heads": 3, "hidden_dim": 192, "image_shape": (SIZE, SIZE, 3)}
"""Touvron et al. 2021, arXiv:2012.12877."""


def _classify(name: str, backbone: Any, **head: Any) -> Any:
    """The family's own classifier over a backbone; by default it ends in logits."""
    import keras_hub

    return getattr(keras_hub.models, f"{name}ImageClassifier")(backbone=backbone, num_classes=CLASSES, **head)


def _own(name: str, config: dict[str, Any], head: dict[str, Any] | None = None, size: int = SIZE) -> Any:
    """A family's classifier over its backbone of this configuration."""
    import keras_hub

    arguments = {"image_shape": (size, size, 3)} | config
    return _classify(name, getattr(keras_hub.models, f"{name}Backbone")(**arguments), **(head or {}))


def _ported(module: str, name: str, architecture: str, size: int = SIZE, **head: Any) -> Any:
    """One of the configurations that keras-hub knows by the name they have in timm."""
    import keras_hub

    convert = import_module(f"keras_hub.src.utils.timm.convert_{module}").convert_backbone_config
    config = convert({"architecture": architecture, "pretrained_cfg": {}})
    shape = "input_shape" if name == "EfficientNet" else "image_shape"
    return _classify(name, getattr(keras_hub.models, f"{name}Backbone")(**config, **{shape: (size, size, 3)}), **head)


def _general(backbone: Callable[[], Any]) -> Any:
    """The classifier for any backbone that ends in a map of features."""
    return _classify("", backbone())


def _on_token(backbone: Callable[[], Any], key: str, size: int = SIZE) -> Any:
    """A linear classifier on the first token of a backbone that takes a dictionary, as its users write it."""
    import keras

    image = keras.Input((size, size, 3))
    tokens = backbone()({key: image})
    return keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(tokens[:, 0]))


def _on_pooled(backbone: Callable[[], Any], key: str) -> Any:
    """The same on an encoder that pools its tokens itself."""
    import keras

    image = keras.Input((SIZE, SIZE, 3))
    return keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(backbone()({key: image})))


def _backbone(name: str, **config: Any) -> Any:
    import keras_hub

    return getattr(keras_hub.models, f"{name}Backbone")(**config)


def _encoder(module: str, name: str, **config: Any) -> Any:
    """An image encoder that keras-hub does not export by name."""
    return getattr(import_module(f"keras_hub.src.models.{module}"), name)(**config)


def _mobilenet_v5() -> Any:
    """Blocks of each kind that MobileNetV5 has, at a tenth of its only published size."""
    module = import_module("keras_hub.src.models.mobilenetv5.mobilenetv5_builder")
    stages = module.convert_arch_def_to_stackwise(
        [
            ["er_r1_k3_s2_e4_c32", "er_r1_k3_s1_e4_c32"],
            ["uir_r1_a3_k5_s2_e6_c64", "uir_r1_a5_k0_s1_e4_c64"],
            ["uir_r1_a5_k5_s2_e6_c96", "mqa_r1_k3_h4_s1_v2_d32_c96", "uir_r1_a0_k0_s1_e2_c96"],
            ["uir_r1_a5_k5_s2_e6_c128", "mqa_r1_k3_h4_s1_d32_c128", "uir_r1_a0_k0_s1_e2_c128"],
        ]
    )
    config = {"stem_size": 32, "num_features": 256, "layer_scale_init_value": 1e-5, "msfa_output_resolution": 6}
    return _own("MobileNetV5", stages | config)


RESNET = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 128, 256, 512],
    "stackwise_num_strides": [1, 2, 2, 2],
}
RESNET_VD = RESNET | {"input_conv_filters": [32, 32, 64], "input_conv_kernel_sizes": [3, 3, 3]}
MIT_B0 = {
    "layerwise_depths": [2, 2, 2, 2],
    "num_layers": 4,
    "layerwise_num_heads": [1, 2, 5, 8],
    "layerwise_sr_ratios": [8, 4, 2, 1],
    "max_drop_path_rate": 0.1,
    "layerwise_patch_sizes": [7, 3, 3, 3],
    "layerwise_strides": [4, 2, 2, 2],
    "hidden_dims": [32, 64, 160, 256],
}
SWIN_TINY = {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24), "window_size": 3}
XCEPTION_41 = {
    "stackwise_conv_filters": [
        *([32, 64], [128, 128], [256, 256], [728, 728]),
        *[[728, 728, 728]] * 8,
        *([728, 1024], [1536, 1536, 2048]),
    ],
    "stackwise_pooling": [False, True, True, True, *[False] * 8, True, False],
}
DINO = {"num_layers": 12, "hidden_dim": 384, "num_heads": 6, "intermediate_dim": 1536}
VGG_SIZE = 224
"""Its classifier begins with a window of seven times seven."""

DINO_V2_SIZE = 98
"""Seven patches of 14 pixels."""
CLIP = {"patch_size": 16, "intermediate_dim": 768, **TINY}


def _dino(version: int, **config: Any) -> Callable[[], Any]:
    size, patch = (SIZE, 16) if version == 3 else (DINO_V2_SIZE, 14)
    return partial(_backbone, f"DINOV{version}", patch_size=patch, image_shape=(size, size, 3), **DINO, **config)


BUILDERS: dict[str, Callable[[], Any]] = {
    "CSPDarkNet53": partial(_ported, "cspnet", "CSPNet", "cspdarknet53"),
    "CSPResNet50": partial(_ported, "cspnet", "CSPNet", "cspresnet50"),
    "CSPResNeXt50": partial(_ported, "cspnet", "CSPNet", "cspresnext50"),
    "DarkNet53": partial(_ported, "cspnet", "CSPNet", "darknet53"),
    "DeiT-Ti": partial(_own, "DeiT", TINY | {"patch_size": 16, "intermediate_dim": 768}),
    "DenseNet121": partial(_own, "DenseNet", {"stackwise_num_repeats": [6, 12, 24, 16]}),
    "EfficientNetB0": partial(_ported, "efficientnet", "EfficientNet", "efficientnet_b0"),
    "EfficientNet-ES": partial(_ported, "efficientnet", "EfficientNet", "efficientnet_es"),
    "EfficientNet-Lite0": partial(_ported, "efficientnet", "EfficientNet", "efficientnet_lite0"),
    "EfficientNetV2-RW-T": partial(_ported, "efficientnet", "EfficientNet", "efficientnetv2_rw_t"),
    "HGNetV2-B0": partial(_ported, "hgnetv2", "HGNetV2", "hgnetv2_b0", preprocessor=None),
    "MiT-B0": partial(_own, "MiT", MIT_B0),
    "MobileNetV3Large": partial(_ported, "mobilenet", "MobileNet", "mobilenetv3_large_100"),
    "MobileNetV3Small050": partial(_ported, "mobilenet", "MobileNet", "mobilenetv3_small_050"),
    "MobileNetV5 (reduced)": _mobilenet_v5,
    "ResNet18": partial(_own, "ResNet", RESNET | {"stackwise_num_blocks": [2, 2, 2, 2], "block_type": "basic_block"}),
    "ResNet50": partial(
        _own, "ResNet", RESNET | {"stackwise_num_blocks": [3, 4, 6, 3], "block_type": "bottleneck_block"}
    ),
    "ResNetV2-50": partial(
        _own,
        "ResNet",
        RESNET | {"stackwise_num_blocks": [3, 4, 6, 3], "block_type": "bottleneck_block", "use_pre_activation": True},
    ),
    "ResNet-vd18": partial(
        _own, "ResNet", RESNET_VD | {"stackwise_num_blocks": [2, 2, 2, 2], "block_type": "basic_block_vd"}
    ),
    "SwinTransformer-T (window 3)": partial(_own, "SwinTransformer", SWIN_TINY),
    "VGG11": partial(_ported, "vgg", "VGG", "vgg11", VGG_SIZE, pooling_hidden_dim=512),
    "ViT-Ti": partial(_own, "ViT", TINY | {"patch_size": 16, "mlp_dim": 768}),
    "Xception41": partial(_own, "Xception", XCEPTION_41),
    "DINOv2-S": partial(_on_token, _dino(2), "images", DINO_V2_SIZE),
    "DINOv2-S with registers": partial(_on_token, _dino(2, num_register_tokens=4), "images", DINO_V2_SIZE),
    "DINOv3-S": partial(_on_token, _dino(3), "pixel_values"),
    "CLIP vision (reduced)": partial(
        _on_token, partial(_encoder, "clip.clip_vision_encoder", "CLIPVisionEncoder", **CLIP), "images"
    ),
    "SigLIP vision (reduced)": partial(
        _on_pooled, partial(_encoder, "siglip.siglip_vision_encoder", "SigLIPVisionEncoder", **CLIP), "images"
    ),
    "ViTDet (reduced)": partial(
        _general,
        partial(
            _backbone,
            "ViTDet",
            hidden_size=192,
            num_layers=4,
            intermediate_dim=768,
            num_heads=3,
            global_attention_layer_indices=[3],
            image_shape=(SIZE, SIZE, 3),
            window_size=3,
        ),
    ),
}

SIZES = {"VGG11": VGG_SIZE, "DINOv2-S": DINO_V2_SIZE, "DINOv2-S with registers": DINO_V2_SIZE}

NETWORKS = {
    name: Network(build, SIZES.get(name, SIZE), options=("--import", "keras_hub")) for name, build in BUILDERS.items()
}
