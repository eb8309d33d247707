"""Architectures: any model as a sequence of layers, known ones by name, and how alike they are."""

from neurn.arch import zoo
from neurn.arch.blocks import BlockAlignment, BlockPair, StagePair, align_blocks
from neurn.arch.graded import Graded
from neurn.arch.layers import Layer, LayerSequence
from neurn.arch.read import TraceError, sequence
from neurn.arch.similarity import Clusters, Similarity, diversity, similarity
from neurn.arch.stage import Stage, stages
from neurn.arch.vocabulary import CANONICAL, FINE, PUBLISHED, VOCABULARIES, Vocabulary
from neurn.arch.zoom import zoom

__all__ = [
    "CANONICAL",
    "FINE",
    "PUBLISHED",
    "VOCABULARIES",
    "BlockAlignment",
    "BlockPair",
    "Clusters",
    "Graded",
    "Layer",
    "LayerSequence",
    "Similarity",
    "Stage",
    "StagePair",
    "TraceError",
    "Vocabulary",
    "align_blocks",
    "diversity",
    "sequence",
    "similarity",
    "stages",
    "zoo",
    "zoom",
]
