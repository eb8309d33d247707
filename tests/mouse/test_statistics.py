import numpy as np
import pytest
import xarray
from scipy import stats

from neurn import mouse
from neurn.mouse import tables
from tests.mouse.files import SCENES, changed, replace


def table(values, stimulus=None):
    values = np.asarray(values, dtype=float)
    stimulus = np.arange(values.shape[1]) if stimulus is None else stimulus
    return xarray.DataArray(
        values, dims=("neuron", "stimulus", "trial"), coords={"stimulus": stimulus}
    )


@pytest.fixture(scope="module")
def trials():
    random = np.random.default_rng(0)
    signal = random.normal(5, 2, (4, 13, 1))
    values = signal + random.normal(0, 1.5, (4, 13, 7))
    values[:, 3, 5:] = np.nan  # an image that was shown less often
    values[2, 6, 1] = np.nan
    return table(values, np.arange(-1, 12))


def brute_sweeps(recording, before=28, after=35):
    traces = recording.traces("corrected").values.astype(float)
    start = recording.presentations()["start"].values
    result = np.full((len(traces), len(start), before + after), np.nan)
    for c, trace in enumerate(traces):
        for k, s in enumerate(start):
            if s - before >= 0 and s + after <= len(trace):
                part = trace[s - before : s + after]
                result[c, k] = 100 * (part / part[:before].mean() - 1)
    return result


def test_sweeps_are_percent_of_the_mean_before_onset(recording):
    sweeps = mouse.sweeps(recording)
    assert sweeps.dims == ("neuron", "trial", "time")
    assert sweeps.attrs["units"] == "percent dF/F"
    assert sweeps["time"].values[28] == 0
    assert sweeps.values == pytest.approx(brute_sweeps(recording), rel=1e-9, abs=1e-9)
    two = mouse.sweeps(recording, [6, 2])
    xarray.testing.assert_identical(two, sweeps.isel(neuron=[6, 2]))


def test_sweeps_of_dff_are_the_trace_in_percent(recording):
    sweeps = mouse.sweeps(recording, signal="dff", before=3, after=4)
    start = recording.presentations()["start"].values
    trace = recording.traces().values[5].astype(float)
    assert sweeps.values[5, 11] == pytest.approx(100 * trace[start[11] - 3 : start[11] + 4])
    assert sweeps.attrs["units"] == "percent dF/F"
    plain = mouse.sweeps(recording, signal="raw", baseline="none")
    assert plain.attrs["units"] == "a.u."


def test_responses_are_means_of_sweeps(recording, found):
    sweeps = brute_sweeps(recording)
    shown = recording.presentations()
    assert found["stimulus"].values[0] == -1
    for stimulus in (-1, 0, 63, 117):
        of = np.flatnonzero(shown["stimulus"].values == stimulus)
        expected = sweeps[:, of]
        here = found.sel(stimulus=stimulus)
        assert here["trials"].values == pytest.approx(expected[..., 28:42].mean(-1), rel=1e-9)
        assert here["sweep"].values == pytest.approx(expected.mean(1), rel=1e-9, abs=1e-9)
    part = mouse.responses(recording, [3], window=(2, 9))
    expected = sweeps[3, shown["stimulus"].values == 8][:, 30:37].mean(-1)
    assert part["trials"].sel(stimulus=8).values[0] == pytest.approx(expected)


def test_a_recording_that_ends_early_leaves_nan(path, tmp_path):
    def change(file):
        frames = file[f"{SCENES}/frame_duration"][()]
        frames[0] = [5, 12]
        frames[-1] = 10**6
        replace(file, f"{SCENES}/frame_duration", frames)

    recording = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change))
    sweeps = mouse.sweeps(recording)
    assert np.isnan(sweeps.values[:, [0, -1]]).all()
    assert not np.isnan(sweeps.values[:, 1:-1]).any()
    found = mouse.responses(recording)
    assert np.isnan(found["trials"].values).sum() == 2 * 8
    first = int(recording.presentations()["stimulus"][0])
    of = np.flatnonzero(recording.presentations()["stimulus"].values == first)[1:]
    expected = sweeps.values[:, of].mean(1)
    assert found["sweep"].sel(stimulus=first).values == pytest.approx(expected)
    assert not np.isnan(mouse.statistics(found, splits=5)["reliability"]).any()


def test_images_shown_less_often_leave_nan(path, tmp_path):
    def change(file):
        index = file[f"{SCENES}/data"][()]
        index[np.flatnonzero(index == 4)[2:]] = -1
        file[f"{SCENES}/data"][...] = index

    found = mouse.responses(mouse.open_nwb(changed(path, tmp_path / "a.nwb", change)))
    assert found.sizes["trial"] == 10
    assert (np.isnan(found["trials"].sel(stimulus=4)).sum("trial") == 8).all()


def test_peaks(found, recording):
    peaks = mouse.peaks(found)
    assert (peaks["stimulus"] >= 0).all()
    assert peaks["time_to_peak"].attrs["units"] == "s"
    whole = mouse.peaks(recording, window="whole")
    for c in range(8):
        for s in (0, 55, 117):
            sweep = found["sweep"].sel(stimulus=s).values[c]
            one = peaks.sel(stimulus=s).isel(neuron=c)
            assert one["peak"] == sweep[28:].max()
            assert one["time_to_peak"] == pytest.approx(sweep[28:].argmax() / 30)
            one = whole.sel(stimulus=s).isel(neuron=c)
            assert one["peak"] == sweep.max()
            assert one["time_to_peak"] == pytest.approx((sweep.argmax() - 28) / 30)


def test_peaks_of_missing_sweeps_are_missing(found):
    gone = found.copy(deep=True)
    gone["sweep"][0, 5] = np.nan
    peaks = mouse.peaks(gone)
    assert np.isnan(peaks["peak"].values[0, 4]) and np.isnan(peaks["time_to_peak"].values[0, 4])
    assert np.isnan(peaks["peak"].values).sum() == 1


def test_reliability_against_many_plain_halvings(trials):
    random = np.random.default_rng(7)
    values = trials.values[:, 1:]
    result = []
    for c in range(4):
        rs = []
        for _ in range(600):
            a, b = np.full(12, np.nan), np.full(12, np.nan)
            for s in range(12):
                there = random.permutation(np.flatnonzero(~np.isnan(values[0, s])))
                half = len(there) // 2
                a[s] = np.nanmean(values[c, s, there[:half]])
                b[s] = np.nanmean(values[c, s, there[half:]])
            rs.append(np.corrcoef(a, b)[0, 1])
        r = np.mean(rs)
        result.append(2 * r / (1 + r))
    ours = mouse.reliability(trials, splits=600)
    assert ours.values == pytest.approx(result, abs=0.01)


def test_reliability_is_one_without_noise_and_missing_without_variation():
    clean = np.repeat(np.arange(6.0)[None, :, None], 4, axis=2)
    assert mouse.reliability(table(clean)).values == pytest.approx(1)
    assert np.isnan(mouse.reliability(table(np.ones((1, 6, 4)))).values).all()


def test_reliability_is_repeatable_and_a_blank_changes_nothing(trials):
    one = mouse.reliability(trials, seed=4)
    assert (one == mouse.reliability(trials, seed=4)).all()
    assert (one == mouse.reliability(trials.isel(stimulus=slice(1, None)), seed=4)).all()


def test_the_ceiling_is_that_of_halves_and_its_interval_holds_it():
    random = np.random.default_rng(0)
    planted = np.repeat([0.2, 0.6, 0.95], 300)
    signal = random.normal(size=(900, 60, 1))
    noise = np.sqrt(20 * (1 - planted) / planted)[:, None, None]
    trials = table(signal + noise * random.normal(size=(900, 60, 20)))
    found = mouse.ceiling(trials)
    halves = mouse.reliability(trials).values
    # In expectation one and the same; one draw of 60 images differs by the halves' own chance.
    assert found["ceiling"].values ** 2 == pytest.approx(np.maximum(halves, 0), abs=0.09)
    assert abs(np.mean(found["ceiling"].values ** 2 - halves)) < 0.02
    for level in (0.2, 0.6, 0.95):
        here = planted == level
        low, high = (found[name].values[here] for name in ("low", "high"))
        inside = (low <= np.sqrt(level)) & (np.sqrt(level) <= high)
        assert 0.92 <= inside.mean() <= 0.98
    narrow = mouse.ceiling(trials, confidence=0.5)
    assert (narrow["high"] - narrow["low"] <= found["high"] - found["low"]).all()
    assert found.attrs["confidence"] == 0.95


def test_the_ceiling_by_scipys_analysis_of_variance(trials):
    found = mouse.ceiling(trials)
    for c in range(4):
        groups = [v[~np.isnan(v)] for v in trials.values[c, 1:]]
        f = stats.f_oneway(*groups).statistic
        assert found["ceiling"].values[c] == pytest.approx(np.sqrt(max(1 - 1 / f, 0)))
        within = sum(map(len, groups)) - 12
        tail = stats.f(11, within).ppf(0.975)
        assert found["low"].values[c] == pytest.approx(np.sqrt(max(1 - tail / f, 0)))


def test_counts(simulation):
    found = tables.join(
        [mouse.statistics(mouse.open_nwb(path), splits=2) for path in simulation.paths]
    )
    by_area = mouse.counts(found)
    assert by_area.values.tolist() == [["VISp", 16, True], ["VISrl", 16, True]]
    both = mouse.counts(found, ["area", "genotype_group"])
    assert both["neurons"].tolist() == [8] * 4
    assert both["genotype_group"].tolist() == ["Cux2-1", "Vip"] * 2


def test_p_value_is_that_of_scipy(trials):
    ours = mouse.p_value(trials).values
    for c in range(4):
        groups = [v[~np.isnan(v)] for v in trials.values[c]]
        assert ours[c] == pytest.approx(stats.f_oneway(*groups).pvalue, rel=1e-9)


def test_sparseness_selectivity_and_oracle_by_hand(trials):
    sparse = mouse.lifetime_sparseness(trials).values
    select = mouse.image_selectivity(trials).values
    oracle = mouse.oracle(trials).values
    for c in range(4):
        values = trials.values[c, 1:]
        mean = np.nanmean(values, axis=1)
        expected = (1 - mean.mean() ** 2 / (mean**2).mean()) / (1 - 1 / 12)
        assert sparse[c] == pytest.approx(expected)
        low, high = mean.min(), mean.max()
        shares = [np.mean(mean > low + j * (high - low) / 1000) for j in range(1000)]
        assert select[c] == pytest.approx(1 - 2 * np.mean(shares))
        one, others = [], []
        for v in values:
            v = v[~np.isnan(v)]
            for t in range(len(v)):
                one.append(v[t])
                others.append(np.delete(v, t).mean())
        assert oracle[c] == pytest.approx(np.corrcoef(one, others)[0, 1])


def test_one_image_only_is_sparse_and_selective():
    values = np.zeros((1, 50, 3))
    values[0, 7] = 1
    assert mouse.lifetime_sparseness(table(values)).values == pytest.approx(1)
    assert mouse.image_selectivity(table(values)).values == pytest.approx(0.96)


@pytest.mark.filterwarnings("error")
def test_neurons_without_data_and_without_variation_have_no_statistics(found):
    changed = found.copy(deep=True)
    changed["trials"][2], changed["sweep"][2] = np.nan, np.nan
    changed["trials"][5] = 1.0
    described = mouse.statistics(changed, splits=5)
    assert described["preferred"].values[2] == -1
    numbers = described.drop_vars("preferred")
    assert all(np.isnan(numbers[name].values[2]) for name in numbers)
    for name in ("reliability", "ceiling", "p_value", "image_selectivity", "oracle"):
        assert np.isnan(numbers[name].values[5])
    others = np.delete(np.arange(8), [2, 5])
    plain = mouse.statistics(found, splits=5)
    for name in described:
        assert (described[name].values[others] == plain[name].values[others]).all()


def test_no_neuron_at_all(recording):
    found = mouse.responses(recording, [])
    assert mouse.statistics(found).sizes["neuron"] == mouse.peaks(found).sizes["neuron"] == 0
    assert mouse.representations(found["trials"], recording.images(), size=5).shape == (0, 5, 5)


def test_statistics_of_a_recording(recording, found):
    result = mouse.statistics(recording)
    xarray.testing.assert_identical(result, mouse.statistics(found))
    shown = found["trials"].sel(stimulus=slice(0, None)).mean("trial")
    assert (result["preferred"].values == shown.values.argmax(1)).all()
    assert result["mean_response"].values == pytest.approx(shown.values.max(1))
    at = mouse.peaks(found)["peak"].values[np.arange(8), result["preferred"].values]
    assert (result["peak"].values == at).all()
    assert result["peak"].attrs["units"] == "percent dF/F"
    assert "area" in result.coords and result.attrs["simulated"] == 1


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda r, f: mouse.peaks(f, window="late"), "window must be one of onset, whole, got"),
        (lambda r, f: mouse.peaks(f, before=3), "before: only with a Recording"),
        (lambda r, f: mouse.peaks(f["trials"]), "recording must be a Recording or .* got DataArr"),
        (lambda r, f: mouse.statistics("a.nwb"), "recording must be a Recording or .* got str"),
        (lambda r, f: mouse.reliability(r), "trials must be a DataArray of dims .* got Recording"),
        (lambda r, f: mouse.oracle(f), "trials must be a DataArray of dims .* got Dataset"),
        (lambda r, f: mouse.responses(r, window=(0, 99)), "window must be within -28 and 35"),
        (lambda r, f: mouse.sweeps(r, baseline="mean"), "baseline must be one of trial, none"),
        (lambda r, f: mouse.sweeps(r, signal="dff", baseline="trial"), "give baseline='none'"),
        (lambda r, f: mouse.ceiling(f["trials"], confidence=95), "confidence must be between 0"),
        (lambda r, f: mouse.counts(f, "area"), "by must be a list, got the text 'area'"),
        (lambda r, f: mouse.counts(f, ["stimulus"]), "by must name coordinates of the neurons"),
        (lambda r, f: mouse.sweeps(r, before=0), "before and after must be at least 1 frame"),
        (lambda r, f: mouse.reliability(f["trials"], splits=0), "splits must be at least 1"),
        (
            lambda r, f: mouse.reliability(f["trials"].isel(trial=[0])),
            "trials must hold at least 2 repetitions, got 1",
        ),
    ],
)
def test_wrong_arguments_are_named(recording, found, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(recording, found)


@pytest.mark.parametrize(("region", "median"), [(1, 0.76), (2, 0.63), (3, 0.77)])
def test_reliability_of_real_neurons(real, region, median):
    values = real("antolik2016_v1_validation.npz")[f"trials{region}"].transpose(2, 1, 0)
    found = mouse.reliability(table(values))
    assert float(found.median()) == pytest.approx(median, abs=0.02)
