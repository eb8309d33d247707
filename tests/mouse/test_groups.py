import numpy as np
import pytest

from neurn import mouse
from neurn.mouse.groups import DRIVERS, EXCITATORY, GENOTYPES, INHIBITORY, class_of_group


def test_there_are_13_drivers_and_22_groups():
    assert (len(EXCITATORY), len(INHIBITORY), len(DRIVERS)) == (10, 3, 13)
    groups = [mouse.describe(g).group for known in GENOTYPES.values() for g in known]
    assert len(groups) == len(set(groups)) == 22
    assert {"Cux2-1", "Cux2-3", "Slc17a7-2", "Vip", "Tlx3"} <= set(groups)
    for known in GENOTYPES.values():
        assert list(known) == sorted(known)


@pytest.mark.parametrize(
    ("genotype", "expected"),
    [
        ("Vip-IRES-Cre/wt;Ai148(TIT2L-GC6f-ICL-tTA2)/wt", ("Vip-IRES-Cre", "inhibitory", "Vip")),
        (
            "Cux2-CreERT2/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/wt",
            ("Cux2-CreERT2", "excitatory", "Cux2-3"),
        ),
        (
            "Rbp4-Cre_KL100/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)/Ai93(TITL-GCaMP6f)-STOPdel",
            ("Rbp4-Cre_KL100", "excitatory", "Rbp4-1"),
        ),
        (
            "Rbp4-Cre; Camk2a-tTA; Ai93(TITL-GCaMP6f)",
            ("Rbp4-Cre_KL100", "excitatory", "Rbp4-other"),
        ),
        ("wt", ("unknown", "unknown", "unknown")),
        ("", ("unknown", "unknown", "unknown")),
    ],
)
def test_genotypes(genotype, expected):
    assert mouse.describe(genotype) == expected


def test_a_mapping_of_ones_own():
    genotype = "Vip-IRES-Cre/wt;Ai148(TIT2L-GC6f-ICL-tTA2)/wt"
    assert mouse.describe(genotype, {genotype: "mine"}).group == "mine"
    assert mouse.describe(genotype, {"other": "mine"}).group == "Vip"


def test_zygosity_is_no_part_of_a_driver():
    assert mouse.driver("Scnn1a-Tg3-Cre/wt") == mouse.driver("scnn1a-tg3-cre") == "Scnn1a-Tg3-Cre"
    assert mouse.cell_class("Sst-IRES-Cre/wt") == "inhibitory"


def test_layers():
    depths = [100, 175, 249, 250, 275, 349, 350, 375, 499, 500, 625]
    expected = ["L2/3"] * 3 + ["L4"] * 3 + ["L5"] * 3 + ["L6"] * 2
    assert [mouse.layer(depth) for depth in depths] == expected
    assert mouse.layer(np.nan) == mouse.layer(0) == "unknown"


def test_genotypes_of_real_mice(real):
    import json
    from pathlib import Path

    folder = Path(real("allen_scenes_118x31x31.npz").fid.name).parent
    pairs = json.loads((folder / "allen_specimen_genotype_272.json").read_text())
    kinds = [mouse.describe(genotype) for _, genotype in pairs]
    assert {kind.cre_line for kind in kinds} == set(DRIVERS)
    named = {kind.group for kind in kinds if not kind.group.endswith("-other")}
    assert len(named) == 22
    # Early mice whose zygosity nobody wrote down.
    assert sum(kind.group.endswith("-other") for kind in kinds) == 5


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        *[("Cux2-2", "excitatory"), ("Vip", "inhibitory"), ("Sst-IRES-Cre", "inhibitory")],
        *[("Slc17a7-other", "excitatory"), ("unknown", "unknown"), ("Mine-1", "unknown")],
    ],
)
def test_class_of_a_group(group, expected):
    assert class_of_group(group) == expected
