"""Cell classes, genotype groups and layers of the Visual Coding mice.

The genotypes are those that the Allen Brain Observatory's two-photon files name; their list agrees
with `unique_specimen_name_and_genotype_pairs.json` of catalystneuro/visual-coding-to-nwb-v2
(MIT, Copyright (c) 2020 CatalystNeuro).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

AREAS = ("VISp", "VISl", "VISal", "VISpm", "VISrl", "VISam")

EXCITATORY = (
    "Cux2-CreERT2",
    "Emx1-IRES-Cre",
    "Slc17a7-IRES2-Cre",
    "Nr5a1-Cre",
    "Rorb-IRES2-Cre",
    "Scnn1a-Tg3-Cre",
    "Rbp4-Cre_KL100",
    "Fezf2-CreER",
    "Tlx3-Cre_PL56",
    "Ntsr1-Cre_GN220",
)
INHIBITORY = ("Sst-IRES-Cre", "Vip-IRES-Cre", "Pvalb-IRES-Cre")
DRIVERS = EXCITATORY + INHIBITORY

_AI93 = "Ai93(TITL-GCaMP6f)"
_CAMK2A = "Camk2a-tTA/wt"
_HETEROZYGOUS = f"{_CAMK2A};{_AI93}/wt"
_HOMOZYGOUS = f"{_CAMK2A};{_AI93}/{_AI93}"
_AI148 = "Ai148(TIT2L-GC6f-ICL-tTA2)/wt"

# Of each driver in lexical order: a group's number is its place here.
GENOTYPES: Mapping[str, tuple[str, ...]] = {
    "Cux2-CreERT2": (
        f"Cux2-CreERT2/Cux2-CreERT2;{_HOMOZYGOUS}",
        f"Cux2-CreERT2/wt;{_HOMOZYGOUS}",
        f"Cux2-CreERT2/wt;{_HETEROZYGOUS}",
    ),
    "Emx1-IRES-Cre": (
        f"Emx1-IRES-Cre/wt;{_CAMK2A};{_AI93}-hyg/wt",
        f"Emx1-IRES-Cre/wt;{_HOMOZYGOUS}",
        f"Emx1-IRES-Cre/wt;{_HETEROZYGOUS}",
    ),
    "Slc17a7-IRES2-Cre": (
        f"Slc17a7-IRES2-Cre/wt;{_HETEROZYGOUS}",
        f"Slc17a7-IRES2-Cre/wt;{_CAMK2A};Ai94(TITL-GCaMP6s)/wt",
    ),
    "Nr5a1-Cre": (f"Nr5a1-Cre/wt;{_HOMOZYGOUS}", f"Nr5a1-Cre/wt;{_HETEROZYGOUS}"),
    "Rorb-IRES2-Cre": (f"Rorb-IRES2-Cre/wt;{_HOMOZYGOUS}", f"Rorb-IRES2-Cre/wt;{_HETEROZYGOUS}"),
    "Scnn1a-Tg3-Cre": (f"Scnn1a-Tg3-Cre/wt;{_HOMOZYGOUS}", f"Scnn1a-Tg3-Cre/wt;{_HETEROZYGOUS}"),
    "Rbp4-Cre_KL100": (f"Rbp4-Cre_KL100/wt;{_HOMOZYGOUS}", f"Rbp4-Cre_KL100/wt;{_HETEROZYGOUS}"),
    "Fezf2-CreER": (f"Fezf2-CreER/wt;{_AI148}",),
    "Tlx3-Cre_PL56": (f"Tlx3-Cre_PL56/wt;{_AI148}",),
    "Ntsr1-Cre_GN220": (f"Ntsr1-Cre_GN220/wt;{_AI148}",),
    "Sst-IRES-Cre": (f"Sst-IRES-Cre/wt;{_AI148}",),
    "Vip-IRES-Cre": (f"Vip-IRES-Cre/wt;{_AI148}",),
    "Pvalb-IRES-Cre": ("Pvalb-IRES-Cre/wt;Ai162(TIT2L-GC6s-ICL-tTA2)/wt",),
}

# Upper bounds of imaging depth in micrometres.
_LAYERS = ((250, "L2/3"), (350, "L4"), (500, "L5"))
_UNKNOWN = "unknown"


class Genotype(NamedTuple):
    """What a genotype says of a mouse.

    Attributes
    ----------
    cre_line : str
        Driver, for example ``"Cux2-CreERT2"``, or ``"unknown"``.
    cell_class : str
        ``"excitatory"``, ``"inhibitory"`` or ``"unknown"``.
    group : str
        ``"Cux2-2"``: the second of the driver's genotypes; ``"Vip"`` where there is one;
        ``"Cux2-other"`` where it is none of them.
    """

    cre_line: str
    cell_class: str
    group: str


def driver(genotype: str) -> str:
    """Return the driver of a genotype or cre line, ``"unknown"`` where it is none of the 13.

    Parameters
    ----------
    genotype : str
        ``"Scnn1a-Tg3-Cre/wt;Camk2a-tTA/wt;..."``, ``"Scnn1a-Tg3-Cre/wt"`` or a bare name.

    Examples
    --------
    >>> from neurn import mouse
    >>> mouse.driver("Vip-IRES-Cre/wt;Ai148(TIT2L-GC6f-ICL-tTA2)/wt")
    'Vip-IRES-Cre'
    >>> mouse.driver("Rbp4-Cre"), mouse.driver("C57BL/6J")
    ('Rbp4-Cre_KL100', 'unknown')
    """
    first = genotype.split(";")[0].split("/")[0].strip()
    # Early mice are listed without the founder line.
    first = {"Rbp4-Cre": "Rbp4-Cre_KL100"}.get(first, first)
    return next((name for name in DRIVERS if name.lower() == first.lower()), _UNKNOWN)


def cell_class(cre_line: str) -> str:
    """Return ``"excitatory"``, ``"inhibitory"`` or ``"unknown"`` for a driver or genotype.

    Examples
    --------
    >>> from neurn import mouse
    >>> [mouse.cell_class(line) for line in ("Cux2-CreERT2", "Sst-IRES-Cre", "Mine-Cre")]
    ['excitatory', 'inhibitory', 'unknown']
    """
    name = driver(cre_line)
    if name in INHIBITORY:
        return "inhibitory"
    return "excitatory" if name in EXCITATORY else _UNKNOWN


def class_of_group(group: str) -> str:
    """Return the cell class of a genotype group, ``"Cux2-2"`` or ``"Vip"``, or of a driver."""
    known = cell_class(group)
    first = group.split("-")[0].lower()
    for drivers, name in ((INHIBITORY, "inhibitory"), (EXCITATORY, "excitatory")):
        if first in (each.split("-")[0].lower() for each in drivers):
            return name
    return known


def describe(genotype: str, mapping: Mapping[str, str] | None = None) -> Genotype:
    """Return driver, cell class and genotype group of a full genotype.

    The published 22 groups are the distinct full genotypes of 13 drivers (zygosity and reporter).
    Which of a driver's genotypes was called "-1" is not known: here they are numbered in lexical
    order of `GENOTYPES`. A recombined reporter allele ("-STOPdel") counts as the allele.

    Parameters
    ----------
    genotype : str
    mapping : mapping of str to str, optional
        Groups of your own: full genotype -> name. Others keep theirs.

    Examples
    --------
    >>> from neurn import mouse
    >>> genotype = "Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/wt"
    >>> mouse.describe(genotype)
    Genotype(cre_line='Cux2-CreERT2', cell_class='excitatory', group='Cux2-3')
    >>> mouse.describe(genotype, {genotype: "Cux2-het"}).group
    'Cux2-het'
    """
    name = driver(genotype)
    text = re.sub(r"\s*;\s*", ";", genotype.strip()).replace("-STOPdel", "")
    short = name.split("-")[0]
    known = GENOTYPES.get(name, ())
    if mapping is not None and genotype in mapping:
        group = mapping[genotype]
    elif name == _UNKNOWN:
        group = _UNKNOWN
    elif text not in known:
        group = f"{short}-other"
    else:
        group = short if len(known) == 1 else f"{short}-{known.index(text) + 1}"
    return Genotype(name, cell_class(name), group)


def layer(depth: float) -> str:
    """Return the cortical layer at an imaging depth in micrometres.

    Below 250: L2/3, below 350: L4, below 500: L5, else L6 (de Vries et al. 2020, Nat. Neurosci.
    23, 138-151). NaN gives ``"unknown"``.

    Examples
    --------
    >>> from neurn import mouse
    >>> [mouse.layer(depth) for depth in (175, 275, 375, 550, float("nan"))]
    ['L2/3', 'L4', 'L5', 'L6', 'unknown']
    """
    if not depth > 0:
        return _UNKNOWN
    return next((name for bound, name in _LAYERS if depth < bound), "L6")
