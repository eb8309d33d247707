"""Layers of any torch model as features: extracted, turned into representations, fine-tuned."""

from neurn.features.extract import Features, extract, layer_names
from neurn.features.finetune import Finetuned, finetune
from neurn.features.front_end import WithFrontEnd, with_front_end
from neurn.features.models import PUBLISHED, NamedModel, build, published
from neurn.features.representations import kernels, representations

__all__ = [
    "PUBLISHED",
    "Features",
    "Finetuned",
    "NamedModel",
    "WithFrontEnd",
    "build",
    "extract",
    "finetune",
    "kernels",
    "layer_names",
    "published",
    "representations",
    "with_front_end",
]
