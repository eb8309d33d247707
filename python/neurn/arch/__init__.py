"""Architectures: any model as a sequence of layers, known ones by name, and how alike they are."""

from neurn.arch import zoo
from neurn.arch.layers import Layer, LayerSequence
from neurn.arch.read import TraceError, sequence
from neurn.arch.similarity import Clusters, Similarity, diversity, similarity
from neurn.arch.vocabulary import CANONICAL, FINE, PUBLISHED, VOCABULARIES, Vocabulary

__all__ = [
    "CANONICAL",
    "FINE",
    "PUBLISHED",
    "VOCABULARIES",
    "Clusters",
    "Layer",
    "LayerSequence",
    "Similarity",
    "TraceError",
    "Vocabulary",
    "diversity",
    "sequence",
    "similarity",
    "zoo",
]
