// The aligner's part of neurn._core: numpy arrays in and out, the GIL released meanwhile.
#include "bind_align.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <vector>

#include "align/check.h"
#include "align/engine.h"
#include "align/rank.h"
#include "align/threads.h"

namespace py = pybind11;

namespace neurn::align {
namespace {

constexpr auto packed = py::array::c_style;
using Tokens = py::array_t<Token, packed>;
using Integers = py::array_t<int64_t, packed>;
using Table = py::array_t<int32_t, packed>;

// Keeps the array that a scoring points into.
struct OwnedScoring {
  std::optional<Table> table;
  Scoring scoring;
};

OwnedScoring make_scoring(int64_t match, int64_t mismatch, std::optional<Table> table,
                          int64_t gap_open, int64_t gap_extend) {
  OwnedScoring owned{std::move(table), {match, mismatch, nullptr, 0, gap_open, gap_extend}};
  if (owned.table) {
    const Table& t = *owned.table;
    if (t.ndim() != 2 || t.shape(0) != t.shape(1)) {
      throw std::invalid_argument("table must be square");
    }
    owned.scoring.table = t.data();
    owned.scoring.symbols = t.shape(0);
  }
  check_scoring(owned.scoring);
  return owned;
}

Sequence sequence_of(const char* name, const Tokens& tokens, const Scoring& scoring) {
  if (tokens.ndim() != 1) throw std::invalid_argument(std::string(name) + " must have 1 dimension");
  const Sequence sequence{tokens.data(), tokens.size()};
  check_tokens(name, sequence, scoring);
  return sequence;
}

Sequences sequences_of(const char* name, const Tokens& tokens, const Integers& offsets,
                       const Scoring& scoring) {
  const Sequence all = sequence_of("tokens", tokens, scoring);
  if (offsets.ndim() != 1 || offsets.size() == 0) {
    throw std::invalid_argument(std::string(name) + " must have 1 dimension and an entry");
  }
  const Sequences sequences{all.data, offsets.data(), offsets.size() - 1};
  check_offsets(name, sequences.offsets, sequences.count, all.size);
  return sequences;
}

// Asks Python now and then, on the calling thread, whether to go on: signals and progress.
class Watch {
 public:
  Watch(py::object progress, int64_t total) : progress_(std::move(progress)), total_(total) {}

  static bool poll(void* self, int64_t done, int64_t count) {
    return static_cast<Watch*>(self)->ask(done, count);
  }

  bool ask(int64_t done, int64_t count) {
    const auto now = std::chrono::steady_clock::now();
    const bool finished = count > 0 && done == count;
    if (error_ || (now - asked_ < std::chrono::milliseconds(50) && !finished)) return !error_;
    asked_ = now;
    const py::gil_scoped_acquire gil;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (!progress_.is_none() && count > 0 && !finished_) {
        // Items are of about equal work: done of count is the share of pairs too.
        progress_(int64_t(double(total_) * double(done) / double(count)), total_);
      }
      finished_ |= finished;
    } catch (py::error_already_set& error) {
      error_ = std::move(error);
    }
    return !error_;
  }

  void rethrow() {
    if (error_) throw py::error_already_set(std::move(*error_));
  }

 private:
  const py::object progress_;
  const int64_t total_;
  bool finished_ = false;
  std::chrono::steady_clock::time_point asked_ = std::chrono::steady_clock::now();
  std::optional<py::error_already_set> error_;
};

// body(watch) without the GIL; an exception that Python raised meanwhile goes on from here.
template <class Body>
void watched(py::object progress, int64_t total, const Body& body) {
  Watch watch(std::move(progress), total);
  try {
    const py::gil_scoped_release release;
    body(watch);
  } catch (const Stopped&) {
  }
  watch.rethrow();
}

int64_t bound_score(const Tokens& a, const Tokens& b, const OwnedScoring& scoring,
                    const Region& region) {
  const Sequence from = sequence_of("a", a, scoring.scoring);
  const Sequence to = sequence_of("b", b, scoring.scoring);
  int64_t result = 0;
  watched(py::none(), 0, [&](Watch& watch) {
    result = score(from, to, scoring.scoring, region, [&] { return watch.ask(0, 0); });
  });
  return result;
}

py::tuple bound_path(const Tokens& a, const Tokens& b, const OwnedScoring& scoring,
                     const Region& region) {
  const Sequence from = sequence_of("a", a, scoring.scoring);
  const Sequence to = sequence_of("b", b, scoring.scoring);
  int64_t result = 0;
  std::vector<Move> path;
  watched(py::none(), 0, [&](Watch& watch) {
    result = align(from, to, scoring.scoring, region, path, [&] { return watch.ask(0, 0); });
  });
  py::array_t<uint8_t> moves(static_cast<py::ssize_t>(path.size()));
  if (!path.empty()) std::memcpy(moves.mutable_data(), path.data(), path.size());
  return py::make_tuple(result, moves);
}

py::tuple bound_matrix(const Tokens& a, const Tokens& b, const OwnedScoring& scoring,
                       const Region& region) {
  const Sequence from = sequence_of("a", a, scoring.scoring);
  const Sequence to = sequence_of("b", b, scoring.scoring);
  py::array_t<int64_t> scores({from.size + 1, to.size + 1});
  py::array_t<uint8_t> arrows({from.size + 1, to.size + 1});
  int64_t* const out = scores.mutable_data();
  uint8_t* const flags = arrows.mutable_data();
  {
    const py::gil_scoped_release release;
    fill(from, to, scoring.scoring, region, out, flags);
  }
  return py::make_tuple(scores, arrows);
}

Integers bound_cross(const Tokens& a, const Integers& a_offsets, const Tokens& b,
                     const Integers& b_offsets, bool symmetric, const OwnedScoring& scoring,
                     const Region& region, int64_t threads, py::object progress) {
  const Sequences from = sequences_of("a_offsets", a, a_offsets, scoring.scoring);
  const Sequences to = sequences_of("b_offsets", b, b_offsets, scoring.scoring);
  if (symmetric && from.count != to.count) {
    throw std::invalid_argument("symmetric needs one set twice");
  }
  Integers scores({from.count, to.count});
  int64_t* const out = scores.mutable_data();
  const int64_t total = symmetric ? from.count * (from.count + 1) / 2 : from.count * to.count;
  watched(std::move(progress), total, [&](Watch& watch) {
    cross_scores(from, to, symmetric, scoring.scoring, region, out, to.count,
                 on_threads(threads, Watch::poll, &watch));
  });
  return scores;
}

Integers bound_pairs(const Tokens& tokens, const Integers& offsets, const Integers& pairs,
                     const OwnedScoring& scoring, const Region& region, int64_t threads,
                     py::object progress) {
  const Sequences sequences = sequences_of("offsets", tokens, offsets, scoring.scoring);
  if (pairs.ndim() != 2 || pairs.shape(1) != 2) {
    throw std::invalid_argument("pairs must have shape (pairs, 2)");
  }
  const int64_t count = pairs.shape(0);
  check_pairs(pairs.data(), count, sequences.count);
  Integers scores(count);
  const int64_t* const listed = pairs.data();
  int64_t* const out = scores.mutable_data();
  watched(std::move(progress), count, [&](Watch& watch) {
    pair_scores(sequences, listed, count, scoring.scoring, region, out,
                on_threads(threads, Watch::poll, &watch));
  });
  return scores;
}

// Nothing where the values lie further apart than `most`.
py::object bound_rank(const Integers& values, uint64_t most) {
  if (values.size() == 0) return py::none();
  const auto [least, largest] = std::minmax_element(values.data(), values.data() + values.size());
  const uint64_t range = uint64_t(*largest) - uint64_t(*least);
  if (range >= most) return py::none();
  Tokens tokens(values.size());
  Ranks ranks(int64_t(range) + 1, *least);
  ranks.see(values.data(), values.size());
  const std::vector<int64_t> distinct = ranks.ranked<int64_t>();
  ranks.write(values.data(), values.size(), tokens.mutable_data());
  return py::make_tuple(tokens, Integers(py::ssize_t(distinct.size()), distinct.data()));
}

// Calls f with the characters of a string and their count.
template <class F>
void with_characters(const py::handle& string, const F& f) {
  PyObject* const object = string.ptr();
  if (!PyUnicode_Check(object)) throw py::type_error("strings must be of str");
#if PY_VERSION_HEX < 0x030C0000
  if (PyUnicode_READY(object) != 0) throw py::error_already_set();
#endif
  const int64_t count = PyUnicode_GET_LENGTH(object);
  switch (PyUnicode_KIND(object)) {
    case PyUnicode_1BYTE_KIND:
      return f(PyUnicode_1BYTE_DATA(object), count);
    case PyUnicode_2BYTE_KIND:
      return f(PyUnicode_2BYTE_DATA(object), count);
    default:
      return f(PyUnicode_4BYTE_DATA(object), count);
  }
}

py::tuple bound_characters(const py::list& strings) {
  Integers offsets(py::ssize_t(strings.size()) + 1);
  int64_t* const offset = offsets.mutable_data();
  int64_t size = 0, range = 1;
  for (size_t i = 0; i < strings.size(); ++i) {
    offset[i] = size;
    with_characters(strings[i], [&](const auto*, int64_t count) { size += count; });
    range = std::max(range, int64_t(PyUnicode_MAX_CHAR_VALUE(strings[i].ptr())) + 1);
  }
  offset[strings.size()] = size;
  Tokens tokens(size);
  Ranks ranks(range);
  for (const py::handle& string : strings) {
    with_characters(string, [&](const auto* from, int64_t count) { ranks.see(from, count); });
  }
  const std::vector<uint32_t> distinct = ranks.ranked<uint32_t>();
  Token* out = tokens.mutable_data();
  for (const py::handle& string : strings) {
    with_characters(string, [&](const auto* from, int64_t count) {
      ranks.write(from, count, out);
      out += count;
    });
  }
  return py::make_tuple(tokens, offsets,
                        py::array_t<uint32_t>(py::ssize_t(distinct.size()), distinct.data()));
}

}  // namespace

void bind(py::module_& m) {
  py::class_<OwnedScoring>(m, "AlignScoring", "Whole-number scores of tokens and gaps.")
      .def(py::init(&make_scoring), py::arg("match"), py::arg("mismatch"), py::arg("table"),
           py::arg("gap_open"), py::arg("gap_extend"));
  py::class_<Region>(m, "AlignRegion", "What of the matrix a path may use.")
      .def(py::init([](bool a_begin, bool a_end, bool b_begin, bool b_end, int64_t band) {
             return Region{a_begin, a_end, b_begin, b_end, band};
           }),
           py::arg("a_begin") = false, py::arg("a_end") = false, py::arg("b_begin") = false,
           py::arg("b_end") = false, py::arg("band") = -1);
  m.def("align_score", &bound_score, py::arg("a"), py::arg("b"), py::arg("scoring"),
        py::arg("region"), "The best score of a pair.");
  m.def("align_path", &bound_path, py::arg("a"), py::arg("b"), py::arg("scoring"),
        py::arg("region"), "The best score of a pair, and the moves of the first best path.");
  m.def("align_matrix", &bound_matrix, py::arg("a"), py::arg("b"), py::arg("scoring"),
        py::arg("region"), "Scores and arrows of every cell.");
  m.def("align_cross", &bound_cross, py::arg("a"), py::arg("a_offsets"), py::arg("b"),
        py::arg("b_offsets"), py::arg("symmetric"), py::arg("scoring"), py::arg("region"),
        py::arg("threads"), py::arg("progress") = py::none(),
        "The best score of every sequence of a with every one of b.");
  m.def("align_pairs", &bound_pairs, py::arg("tokens"), py::arg("offsets"), py::arg("pairs"),
        py::arg("scoring"), py::arg("region"), py::arg("threads"), py::arg("progress") = py::none(),
        "The best score of each pair (pairs, 2) of sequences.");
  m.def("align_rank", &bound_rank, py::arg("values").noconvert(), py::arg("most"),
        "The rank of each value among the distinct ones, and these; None for a wide range.");
  m.def("align_characters", &bound_characters, py::arg("strings"),
        "The rank of each character among the distinct ones, where strings begin, and these.");
}

}  // namespace neurn::align
