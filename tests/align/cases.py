"""What hypothesis draws for the aligner."""

from hypothesis import strategies as st

from neurn import align

ENDS = ("a_begin", "a_end", "b_begin", "b_end")

halves = st.integers(-12, 12).map(lambda k: k / 2)
costs = st.integers(0, 8).map(lambda k: -k / 2) | st.integers(-5, 0)
tokens = st.lists(st.sampled_from("ABCD"), max_size=24)
free_ends = st.sets(st.sampled_from(ENDS)).map(tuple)
bands = st.none() | st.integers(0, 6)
matrices = st.none() | st.dictionaries(
    st.tuples(st.sampled_from("ABCD"), st.sampled_from("ABCD")), halves, max_size=12
).map(lambda matrix: matrix | {("A", "A"): 1, ("B", "C"): -1, ("D", "D"): 2.5})


@st.composite
def scorings(draw):
    match, mismatch = draw(halves | st.integers(-3, 9)), draw(halves | st.integers(-9, 3))
    return align.Scoring(match, mismatch, draw(costs), draw(costs), draw(matrices))
