import numpy as np
import pytest
import torch
from torch import nn

from neurn.generalize import Augmentation, AugMix, MixStyle, RandConv
from neurn.generalize.variants import Variant, resolve_variants, title


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_random_convolutions_are_convolutions_of_the_stated_variance():
    x = torch.zeros(1, 3, 15, 15)
    x[0, 1, 7, 7] = 1.0
    augmentation = RandConv(probability=1.0, sizes=(5,), mix=False, centre=0.0)
    draws = torch.cat([augmentation(x, seeded(s)) for s in range(400)])
    inside = draws[:, :, 5:10, 5:10]
    assert int((draws != 0).sum()) == int((inside != 0).sum())
    assert float(inside.std()) == pytest.approx((3 * 25) ** -0.5, rel=0.03)


def test_random_convolutions_mix_with_the_image():
    x = torch.rand(2, 3, 8, 8)
    generator, again = seeded(3), seeded(3)
    mixed = RandConv(1.0, (1,))(x, generator)
    torch.rand((), generator=again)
    torch.randint(1, (), generator=again)
    weight = torch.randn(3, 3, 1, 1, generator=again) / 3**0.5
    share = torch.rand((), generator=again)
    filtered = torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], 2 * x - 1)  # -1 to 1
    expected = share * x + (1 - share) * (filtered + 1) / 2
    torch.testing.assert_close(mixed, expected)


def test_random_convolutions_colour_a_black_ground():
    black = torch.zeros(1, 3, 8, 8)
    grounds = [RandConv(1.0, (3,), False)(black, seeded(s))[0, :, 4, 4] for s in range(50)]
    assert float(torch.stack(grounds).std(dim=0).min()) > 0.2


def test_probability_is_the_share_of_batches():
    x = torch.rand(1, 3, 4, 4)
    assert RandConv(0.0)(x, seeded()) is x
    generator = seeded()
    changed = sum(RandConv(0.5)(x, generator) is not x for _ in range(400))
    assert 160 < changed < 240


def test_augmix_is_fixed_by_the_generator_and_restores_torch(torchvision):
    x = torch.rand(3, 3, 16, 16)
    state = torch.random.get_rng_state()
    first, again, other = (AugMix()(x, seeded(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == x.shape
    assert 0 <= float(first.min()) <= float(first.max()) <= 1
    assert torch.equal(torch.random.get_rng_state(), state)


def test_mixstyle_mixes_statistics_and_nothing_else():
    x = torch.randn(4, 2, 16, 16) * torch.arange(1, 5)[:, None, None, None]
    order = torch.tensor([1, 0, 3, 2])
    full = MixStyle().mix(x, order, torch.zeros(4, 1, 1, 1))
    torch.testing.assert_close(full.std(dim=(2, 3)), x[order].std(dim=(2, 3)), rtol=1e-4, atol=0)
    torch.testing.assert_close(full.mean(dim=(2, 3)), x[order].mean(dim=(2, 3)))
    own = MixStyle().mix(x, order, torch.ones(4, 1, 1, 1))
    torch.testing.assert_close(own, x, rtol=1e-4, atol=1e-5)
    half = MixStyle().mix(x, order, torch.full((4, 1, 1, 1), 0.5))
    flat = np.corrcoef(half[0, 0].flatten(), x[0, 0].flatten())[0, 1]
    assert flat == pytest.approx(1.0)


def test_mixstyle_acts_in_training_only():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    x = torch.rand(6, 3, 8, 8)
    plain = network(x)
    MixStyle(probability=1.0).attach(network)
    assert torch.equal(network.eval()(x), plain)
    assert not torch.equal(network.train()(x), plain)
    with pytest.raises(ValueError, match="with a convolution"):
        MixStyle().attach(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandConv(probability=2), "between 0 and 1"),
        (lambda: RandConv(sizes=(2,)), "odd"),
        (lambda: MixStyle(alpha=0), "alpha must be above 0"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_names_hold_all_settings():
    expected = "RandConv(centre=0.5, mix=True, probability=0.3, sizes=(1, 3, 5, 7))"
    assert repr(RandConv(0.3)) == expected
    assert repr(Augmentation()) == "Augmentation()"


def test_variants_are_front_ends_with_augmentations():
    one, two = resolve_variants(["neurn:5", "sobel+randconv+mixstyle"])
    assert one.front_end().kernel_size == 5
    assert [type(a) for a in two.augmentations] == [RandConv, MixStyle]
    own = Variant("mine", nn.Identity, (RandConv(1.0),))
    assert resolve_variants([own]) == (own,)
    assert resolve_variants({"x": nn.Identity})[0].name == "x"
    assert title("neurn:5+randconv") == "NeuRN (5) + RandConv"
    assert title("none+randconv") == "RandConv"
    assert title("none") == "None"
    with pytest.raises(ValueError, match="unknown augmentation 'mixup'"):
        resolve_variants(["none+mixup"])
    for wrong in ([], ["none", "none"]):
        with pytest.raises(ValueError, match="at least one, each once"):
            resolve_variants(wrong)
