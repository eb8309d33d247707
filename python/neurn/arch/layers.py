"""What a model is once it is read: its layers in order, and a token for each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from neurn.arch.vocabulary import Vocabulary, find


@dataclass(frozen=True)
class Layer:
    """One layer of a model.

    Attributes
    ----------
    name : str
        Qualified name, ``"layer1.0.conv1"``; of a function, that of the module that called it.
    kind : str
        What vocabularies look up: a class (``"Conv2d"``) or a function (``"conv2d"``).
    module : str
        Class of the module; "" where there is none.
    parameters : mapping
        Those that matter: ``kernel`` and ``stride`` (tuples), ``groups``, ``channels`` (into and
        out of the layer), ``function`` (of an activation).
    shape : tuple of int, optional
        Shape of the output, batch first, where it is known.

    Examples
    --------
    >>> from neurn import arch
    >>> first = arch.zoo.sequence("VGG16").layers[0]
    >>> first.kind, first.parameters["kernel"], first.shape
    ('Conv2D', (3, 3), (1, 224, 224, 64))
    """

    name: str
    kind: str
    module: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True, eq=False)
class LayerSequence:
    """A model as a sequence of tokens. `neurn.arch.sequence` makes it.

    Attributes
    ----------
    tokens : tuple of str
        `neurn.align` takes them as they are.
    layers : tuple of Layer, as long as `tokens`
    source : str
        How it was read, for example ``"trace on meta"``.
    vocabulary : Vocabulary
        What named the layers.
    dropped : dict of str to int
        How often the vocabulary left out each kind that it does not know.

    Examples
    --------
    >>> from neurn import arch
    >>> "".join(arch.zoo.sequence("VGG16", vocabulary="published"))
    'CCMCCMCCCMCCCMCCCMLLL'
    """

    tokens: tuple[str, ...]
    layers: tuple[Layer, ...]
    source: str
    vocabulary: Vocabulary
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.tokens) != len(self.layers):
            raise ValueError(
                "tokens must be as many as layers, "
                f"got {len(self.tokens)} tokens and {len(self.layers)} layers"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __getitem__(self, place: Any) -> Any:
        return self.tokens[place]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LayerSequence):
            return NotImplemented
        return self.tokens == other.tokens and self.layers == other.layers

    def __hash__(self) -> int:
        return hash(self.tokens)

    def __str__(self) -> str:
        compact = all(len(token) == 1 for token in self.tokens)
        return ("" if compact else " ").join(self.tokens)

    def __repr__(self) -> str:
        return (
            f"<LayerSequence of {len(self)} tokens: {self.source}, "
            f"vocabulary {self.vocabulary.name!r}>"
        )

    def counts(self) -> dict[str, int]:
        """Return how often each token occurs, the most frequent first."""
        found: dict[str, int] = {}
        for token in self.tokens:
            found[token] = found.get(token, 0) + 1
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def tokenize(
    layers: tuple[Layer, ...],
    vocabulary: str | Vocabulary,
    unknown: str | None,
    source: str,
) -> LayerSequence:
    """Name layers by a vocabulary.

    Parameters
    ----------
    layers : tuple of Layer
    vocabulary : str or Vocabulary
    unknown : {"keep", "drop", "error"}, optional
        In place of the vocabulary's own.
    source : str

    Raises
    ------
    ValueError
        If the vocabulary is unknown, or lacks a kind and `unknown` is ``"error"``.
    """
    vocabulary = find(vocabulary)
    if unknown is not None:
        vocabulary = replace(vocabulary, unknown=unknown)
    kept: list[Layer] = []
    tokens: list[str] = []
    dropped: dict[str, int] = {}
    for layer in layers:
        known, token = vocabulary.token(layer.kind, layer.parameters)
        if not known:
            if vocabulary.unknown == "error":
                raise ValueError(
                    f"vocabulary {vocabulary.name!r} must hold every kind of layer, and lacks "
                    f"{layer.kind!r} (layer {layer.name!r}); or give unknown='keep' or 'drop'"
                )
            token = layer.kind if vocabulary.unknown == "keep" else None
            if token is None:
                dropped[layer.kind] = dropped.get(layer.kind, 0) + 1
        if token is not None:
            tokens.append(token)
            kept.append(layer)
    if dropped and not tokens:
        warnings.warn(
            f"vocabulary {vocabulary.name!r} knows no layer of this model, which is empty "
            f"therefore: {', '.join(map(repr, [*dropped][:3]))} ... are left out; unknown='keep' "
            "keeps them.",
            stacklevel=3,
        )
    return LayerSequence(tuple(tokens), tuple(kept), source, vocabulary, dropped)
