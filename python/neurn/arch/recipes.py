"""How each architecture of the zoo is built, without weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from neurn._optional import import_optional
from neurn.arch.keras import import_keras


@dataclass(frozen=True)
class Recipe:
    """One architecture.

    Attributes
    ----------
    name : str
    package : str
        What defines it; ``"neurn"`` where no package does so as it was published.
    target : str
        ``"module:callable"``.
    arguments : mapping
        Of the callable.
    shape : tuple of int
        Of an input, batch first; torch's order of axes.
    shown_as : str
        Architecture whose sequence the published heatmap shows in its place; "" for its own.
    """

    name: str
    package: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (1, 3, 224, 224)
    shown_as: str = ""

    def build(self) -> Any:
        """Import the package and make the model, with random weights."""
        module, _, name = self.target.partition(":")
        find = import_keras if self.package == "keras" else import_optional
        return getattr(find(module, "zoo"), name)(**self.arguments)


def _keras(name: str, shown_as: str = "") -> Recipe:
    return Recipe(name, "keras", f"keras.applications:{name}", {"weights": None}, shown_as=shown_as)


def _torchvision(name: str, call: str, shown_as: str = "", **arguments: Any) -> Recipe:
    module = "torchvision.models"
    if call.endswith("_resnet101"):
        module += ".segmentation"
    return Recipe(name, "torchvision", f"{module}:{call}", arguments, shown_as=shown_as)


def _own(name: str, call: str, package: str = "neurn", size: int = 224) -> Recipe:
    return Recipe(name, package, f"neurn.arch.definitions:{call}", shape=(1, 3, size, size))


def _timm(model: str, size: int = 224) -> Recipe:
    arguments = {"model_name": model}
    return Recipe(f"timm/{model}", "timm", "timm:create_model", arguments, (1, 3, size, size))


_SEGMENTATION: dict[str, Any] = {"aux_loss": True, "weights_backbone": None}
_PLAIN: dict[str, Any] = {"init_weights": False}

# In the order of the published figure.
PUBLISHED = (
    *map(_keras, ["MobileNet", "MobileNetV2", "ResNet50", "ResNet101", "ResNet152"]),
    *map(_keras, ["ResNet50V2", "ResNet101V2", "ResNet152V2", "Xception", "InceptionV3"]),
    *map(_keras, ["InceptionResNetV2", "VGG16", "VGG19"]),
    _torchvision("VGG11", "vgg11"),
    *map(_keras, ["DenseNet121", "DenseNet169", "DenseNet201", "NASNetMobile", "NASNetLarge"]),
    *map(_keras, ["EfficientNetB0", "EfficientNetB1"]),
    *(_keras(f"EfficientNetB{size}", "EfficientNetB1") for size in range(2, 8)),
    _torchvision("SqueezeNet", "squeezenet1_0"),
    _torchvision("ShuffleNetV2", "shufflenet_v2_x1_0"),
    _torchvision("WideResNet50", "wide_resnet50_2"),
    _torchvision("GoogLeNet", "googlenet", **_PLAIN),
    _torchvision("inception_V3", "inception_v3", "InceptionV3", **_PLAIN),
    _torchvision("resnet_ssl_facebook", "resnet18"),
    Recipe("ProxylessNAS", "pytorchcv", "pytorchcv.models.proxylessnas:proxylessnas_cpu"),
    _torchvision("FCN", "fcn_resnet101", **_SEGMENTATION),
    _own("IBN-ResNet50", "ibn_resnet50", "torchvision"),
    _own("U-Net", "UNet"),
    _own("ResNeSt50", "ResNeSt50"),
    _own("GhostNet", "GhostNet"),
    _torchvision("ResNeXt101", "resnext101_32x8d"),
    _own("MiDaS", "DPTLarge", "timm", 384),
    _torchvision("DeepLabV3", "deeplabv3_resnet101", **_SEGMENTATION),
    _own("ViT-B", "vit_b", "transformers"),
    _own("CORnet-S", "CORnetS"),
)

_TORCHVISION = """
    alexnet convnext_tiny convnext_small convnext_base convnext_large densenet161 efficientnet_b0
    efficientnet_v2_s efficientnet_v2_m efficientnet_v2_l maxvit_t mnasnet1_0 mobilenet_v2
    mobilenet_v3_small mobilenet_v3_large regnet_x_400mf regnet_x_8gf regnet_y_400mf regnet_y_8gf
    regnet_y_32gf resnet34 resnet50 resnet101 resnext50_32x4d swin_t swin_s swin_b swin_v2_t
    swin_v2_b vgg13 vgg16 vgg16_bn vgg19 vit_b_16 vit_b_32 vit_l_16 wide_resnet101_2
""".split()

_TIMM = """
    beit_base_patch16_224 cait_s24_224 coatnet_0_rw_224 convmixer_768_32 convnextv2_tiny
    convnextv2_base crossvit_9_240 cspdarknet53 deit_tiny_patch16_224 deit_small_patch16_224
    deit3_base_patch16_224 dla34 dpn68 edgenext_small efficientformer_l1 eva02_tiny_patch14_224
    fastvit_t8 fbnetc_100 focalnet_tiny_srf gcvit_tiny ghostnetv2_100 gmlp_s16_224 hrnet_w18
    inception_next_tiny levit_128 maxvit_tiny_tf_224 mixer_b16_224 mobilenetv4_conv_small
    mobileone_s0 mobilevit_s mobilevitv2_100 mvitv2_tiny nfnet_f0 pit_s_224 poolformer_s12
    pvt_v2_b0 repvgg_a0 res2net50_26w_4s resmlp_12_224 resnet50 resnetv2_50 rexnet_100 selecsls42b
    seresnet50 skresnet50 starnet_s1 tinynet_a tiny_vit_5m_224 tnt_s_patch16_224 twins_pcpvt_small
    vit_small_patch16_224 vit_base_patch16_224 vovnet39a xcit_nano_12_p16_224
""".split()

_SIZES = {"crossvit_9_240": 240, "fastvit_t8": 256, "mobilevit_s": 256, "mobilevitv2_100": 256}

CURRENT = (
    *(_torchvision(f"torchvision/{name}", name) for name in _TORCHVISION),
    *(_timm(name, _SIZES.get(name, 224)) for name in _TIMM),
)

RECIPES = {recipe.name: recipe for recipe in (*PUBLISHED, *CURRENT)}
