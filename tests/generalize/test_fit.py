"""What `fit` promises beyond learning: resume, precision, accumulation, processes, events."""

import copy
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from neurn.generalize import MixStyle, RandConv, TrainingConfig
from neurn.generalize.models import build
from neurn.generalize.training import fit

threads = torch.get_num_threads


def network():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(144, 3)
    )


CONFIG = TrainingConfig(
    epochs=5, batch_size=7, learning_rate=0.01, schedule="cosine", warmup=0.2, weight_decay=0.01
)


def train(source, config=CONFIG, model=network, seed=3, **options):
    split = source.split(0)
    made = build(model, nn.Identity, 1)
    outcome = fit(made, split.train, split.validation, config, seed, **options)
    return outcome, made.state_dict()


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_resumed_trainings_end_bit_for_bit_where_whole_ones_do(toy_source, tmp_path, optimizer):
    config = TrainingConfig(**{**vars(CONFIG), "optimizer": optimizer})
    options = {"augmentations": (RandConv(), MixStyle(1.0))}
    whole, expected = train(toy_source, config, **options)
    path = tmp_path / "state.checkpoint"

    def interrupt(epoch, _):
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy_source, config, on_epoch=interrupt, checkpoint=path, **options)
    assert path.exists()
    seen = []
    resumed, weights = train(
        toy_source, config, on_epoch=lambda e, _: seen.append(e), checkpoint=path, **options
    )
    assert seen == [4, 5]
    assert equal(weights, expected)
    assert (resumed.epoch, resumed.validation_accuracy) == (whole.epoch, whole.validation_accuracy)
    assert not path.exists()


def wide():
    # Its gradients differ in their last digits between one and two threads.
    return nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 3))


def test_the_number_of_threads_is_a_setting_and_is_given_back(toy_source, restore_threads):
    torch.set_num_threads(2)
    seen = []
    one, weights = train(
        toy_source, changed(threads=1), wide, on_epoch=lambda *_: seen.append(threads())
    )
    assert set(seen) == {1}
    assert threads() == 2
    assert one.threads == 1
    assert train(toy_source, model=wide)[0].threads == 2
    torch.set_num_threads(1)
    assert equal(train(toy_source, model=wide)[1], weights)


def test_a_resumed_training_keeps_the_number_of_threads(toy_source, tmp_path, restore_threads):
    torch.set_num_threads(1)
    _, expected = train(toy_source, model=wide)
    path = tmp_path / "state.checkpoint"

    def interrupt(epoch, _):
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy_source, model=wide, on_epoch=interrupt, checkpoint=path)
    torch.set_num_threads(2)
    resumed, weights = train(toy_source, model=wide, checkpoint=path)
    assert resumed.threads == 1
    assert threads() == 2
    assert equal(weights, expected)


def test_checkpoints_of_other_trainings_are_refused(toy_source, tmp_path):
    path = tmp_path / "state.checkpoint"

    def stop(epoch, _):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy_source, on_epoch=stop, checkpoint=path)
    with pytest.raises(ValueError, match="is of another training"):
        train(toy_source, seed=4, checkpoint=path)


def test_training_does_not_touch_torchs_generator_and_ignores_its_state(toy_source):
    torch.manual_seed(1)
    _, first = train(toy_source)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    _, second = train(toy_source)
    assert equal(first, second)
    assert torch.equal(torch.random.get_rng_state(), state)


def linear():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))


def changed(**settings):
    return TrainingConfig(**{**vars(CONFIG), **settings})


def test_accumulation_gives_the_gradient_of_the_whole_batch(toy_source):
    _, whole = train(toy_source, model=linear)
    for parts in (2, 7):
        _, weights = train(toy_source, changed(accumulate=parts), linear)
        for a, b in zip(weights.values(), whole.values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_mixed_precision_trains_in_bfloat16_and_keeps_float32_weights(toy_source):
    seen = []

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(x.dtype)
            return x

    def watched():
        return nn.Sequential(nn.Conv2d(3, 4, 3), Watch(), nn.Flatten(), nn.Linear(144, 3))

    outcome, weights = train(toy_source, changed(amp="bfloat16"), watched)
    assert set(seen) == {torch.bfloat16}
    assert {value.dtype for value in weights.values()} == {torch.float32}
    assert outcome.validation_accuracy > 0.9


def test_channels_last_and_compiled_forms_learn_the_same(toy_source):
    _, plain = train(toy_source, model=linear)
    for settings in ({"channels_last": True}, {"compile": "aot_eager"}):
        _, weights = train(toy_source, changed(**settings), linear)
        assert list(weights) == list(plain)
        for a, b in zip(weights.values(), plain.values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_adamw_without_decay_is_adam(toy_source):
    split = toy_source.split(0)
    config = TrainingConfig(epochs=1, batch_size=40, learning_rate=0.01)
    made = build(linear, nn.Identity, 1)
    other = copy.deepcopy(made)
    fit(made, split.train, split.validation, config, 0)
    optimizer = torch.optim.Adam(other.parameters(), lr=0.01)
    x = torch.from_numpy(split.train.images).float() / 255
    nn.functional.cross_entropy(other(x), torch.from_numpy(split.train.labels)).backward()
    optimizer.step()
    for a, b in zip(made.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_schedules():
    def factors(**settings):
        config = TrainingConfig(**settings)
        return [round(config.factor(step, 8), 3) for step in range(8)]

    assert factors() == [1.0] * 8
    assert factors(schedule="linear") == [1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    assert factors(schedule="step") == [1.0] * 4 + [0.1] * 2 + [0.01] * 2
    cosine = factors(schedule="cosine", warmup=0.5)
    assert cosine == [0.25, 0.5, 0.75, 1.0, 1.0, 0.854, 0.5, 0.146]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "lion"}, "optimizer must be one of adamw, sgd"),
        ({"schedule": "x"}, "schedule must be one of"),
        ({"amp": "fp8"}, "amp must be one of"),
        ({"accumulate": 51}, "accumulate must lie between 1 and the batch size 50"),
        ({"warmup": 1.0}, "warmup must be at least 0 and below 1"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0"),
        ({"threads": -1}, "threads must lie between 1 and 1024, or be 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainingConfig(**settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_one_sentence():
    assert TrainingConfig(device="auto").place.type == "cpu"
    with pytest.raises(ValueError, match="torch finds no GPU"):
        _ = TrainingConfig(device="cuda").place


def test_diverging_trainings_are_stopped(toy_source):
    class Explodes(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(float("inf")))

        def forward(self, x):
            return x.flatten(1)[:, :3] * self.weight

    with pytest.raises(FloatingPointError, match=r"became nan in epoch 1; a lower learning rate"):
        train(toy_source, model=Explodes)


def test_events_for_tensorboard(toy_source, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c  # noqa: F401

    outcome, _ = train(toy_source, tensorboard=tmp_path / "log")
    (file,) = (tmp_path / "log").iterdir()
    content, found, start = file.read_bytes(), {}, 0
    while start < len(content):  # TFRecord: length, crc, data, crc
        length = int.from_bytes(content[start : start + 8], "little")
        event = Event.FromString(content[start + 12 : start + 12 + length])
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
        start += 16 + length
    assert sorted(found) == ["accuracy/validation", "learning_rate", "loss/train"]
    assert [step for step, _ in found["loss/train"]] == [1, 2, 3, 4, 5]
    assert max(v for _, v in found["accuracy/validation"]) == pytest.approx(
        outcome.validation_accuracy
    )
    assert found["loss/train"][0][1] > found["loss/train"][-1][1]


def test_every_epoch_can_be_kept(toy_source):
    kept = {}
    outcome, weights = train(toy_source, keep=kept.__setitem__)
    assert sorted(kept) == [1, 2, 3, 4, 5]
    assert equal(kept[outcome.epoch], weights)
    assert not equal(kept[1], kept[5])


PROGRAM = """
    import sys
    import numpy as np, torch
    from torch import nn
    from neurn.generalize import Dataset, RandConv, Source, TrainingConfig, evaluate
    from neurn.generalize import distributed
    torch.set_num_threads(1)

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 30)
    images = rng.integers(0, 60, (90, 3, 8, 8), dtype=np.uint8)
    for image, label in zip(images, labels):
        image[:, 3 * label : 3 * label + 2] += 150
    source = Source(Dataset("toy", images, labels), 40, 19, 30)

    def model():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 3))

    kept = {}
    # 40 images in batches of 13: a last batch of one image for two processes.
    config = TrainingConfig(epochs=3, batch_size=13, learning_rate=0.01, accumulate=2)
    results = evaluate(model, source, ["invert"], ("none", "neurn+randconv"), 2, config,
                       out=sys.argv[1], checkpoints=True)
    table = [[r.seed, r.front_end, r.domain, r.accuracy, r.calibration_error] for r in results.runs]
    print(table, flush=True)
"""


def test_two_processes_train_as_one(tmp_path):
    """torchrun with gloo on the CPU: the same results as one process, each line written once."""
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    one = subprocess.run(
        [sys.executable, program, tmp_path / "one"],
        **{"env": environment, "capture_output": True, "text": True, "check": True},
    )
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    two = subprocess.run(
        [*run, program, tmp_path / "two"],
        **{"env": environment, "capture_output": True, "text": True},
    )
    assert two.returncode == 0, two.stderr[-2000:]
    lines = [line for line in two.stdout.splitlines() if line.startswith("[[")]
    assert len(lines) == 2
    assert lines[0] == lines[1]
    single, double = eval(one.stdout), eval(lines[0])
    assert [row[:3] for row in single] == [row[:3] for row in double]
    np.testing.assert_allclose([row[3:] for row in double], [row[3:] for row in single], atol=2e-3)
    assert len((tmp_path / "two" / "runs.jsonl").read_text().splitlines()) == len(double) == 8
