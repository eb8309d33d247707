// neurn::nw_scores, registered through torch's stable ABI.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "bounds.h"
#include "call.h"
#include "check.h"
#include "engine.h"
#include "threads.h"

namespace neurn::align {
namespace {

// Elements of a vector or a matrix of any strides, in order.
template <class T, class Element>
std::vector<T> copied(const Tensor& t) {
  const int64_t rows = t.dim() == 2 ? t.size(0) : 1, columns = t.size(t.dim() - 1);
  const int64_t row_stride = t.dim() == 2 ? t.stride(0) : 0, stride = t.stride(t.dim() - 1);
  const Element* data = static_cast<const Element*>(t.const_data_ptr());
  std::vector<T> out;
  out.reserve(rows * columns);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) out.push_back(T(data[i * row_stride + j * stride]));
  }
  return out;
}

std::vector<int64_t> integers(const char* name, const Tensor& t,
                              const char* allowed = "an integer") {
  return read_integers(name, t, allowed,
                       [&](auto element) { return copied<int64_t, decltype(element)>(t); });
}

std::vector<double> floats(const Tensor& t) {
  return t.scalar_type() == ScalarType::Float ? copied<double, float>(t)
                                              : copied<double, double>(t);
}

// Scores times a power of two that makes them whole.
struct Whole {
  std::vector<int64_t> substitution;
  int64_t gap_open, gap_extend;
  double scale;
};

constexpr double largest_scale = double(int64_t{1} << 20);

Whole whole_scores(const Tensor& substitution, double gap_open, double gap_extend) {
  if (!is_floating(substitution)) {
    std::vector<int64_t> scores =
        integers("substitution", substitution, "an integer or floating (32 or 64 bits)");
    return {std::move(scores), int64_t(gap_open), int64_t(gap_extend), 1};
  }
  std::vector<double> scores = floats(substitution);
  scores.push_back(gap_open);
  scores.push_back(gap_extend);
  double scale = 1;
  for (const double score : scores) {
    if (!std::isfinite(score)) {
      refuse("substitution must hold finite numbers, got " + number(score));
    }
    while (score * scale != std::floor(score * scale) && scale < largest_scale) scale *= 2;
    if (score * scale != std::floor(score * scale)) {
      refuse("scores must be multiples of 2^-20 to be exact, got " + number(score) +
             ": multiply all by one number first");
    }
  }
  Whole whole{{}, 0, 0, scale};
  for (const double score : scores) {
    if (std::abs(score * scale) >= largest_exact) {
      refuse("scores must be below 2^53 in units of their last binary digit, got " + number(score));
    }
    whole.substitution.push_back(int64_t(score * scale));
  }
  whole.gap_extend = whole.substitution.back();
  whole.substitution.pop_back();
  whole.gap_open = whole.substitution.back();
  whole.substitution.pop_back();
  return whole;
}

template <class Element>
std::vector<Token> narrowed(const Tensor& tokens) {
  const Element* data = static_cast<const Element*>(tokens.const_data_ptr());
  const int64_t stride = tokens.stride(0), size = tokens.numel();
  std::vector<Token> out(size);
  // Bits that no allowed token has, the sign among them.
  using Unsigned = std::make_unsigned_t<Element>;
  constexpr Unsigned sign = std::is_signed_v<Element> ? Unsigned(~(Unsigned(-1) >> 1)) : 0;
  constexpr Unsigned wrong = sign | Unsigned(~uint64_t{std::numeric_limits<Token>::max()});
  Unsigned found = 0;
  const auto narrow = [&](int64_t i, Element token) {
    out[i] = Token(token);
    found |= Unsigned(token) & wrong;
  };
  if (stride == 1) {
    for (int64_t i = 0; i < size; ++i) narrow(i, data[i]);
  } else {
    for (int64_t i = 0; i < size; ++i) narrow(i, data[i * stride]);
  }
  for (int64_t i = 0; found != 0 && i < size; ++i) {
    const Element token = data[i * stride];
    if (token < 0 || int64_t(token) > std::numeric_limits<Token>::max()) {
      refuse("tokens must be from 0 to 65535, got " + std::to_string(token));
    }
  }
  return out;
}

std::vector<Token> checked_tokens(const Tensor& tokens) {
  return read_integers("tokens", tokens, "an integer",
                       [&](auto element) { return narrowed<decltype(element)>(tokens); });
}

// Numbers in order, copied only where they lie otherwise.
class Numbers {
 public:
  explicit Numbers(const Tensor& t) {
    const int64_t inner = t.dim() == 2 ? t.size(1) : 1;
    const bool in_order =
        t.numel() == 0 || (t.stride(t.dim() - 1) == 1 && (t.dim() == 1 || t.stride(0) == inner));
    if (!in_order) copy_ = copied<int64_t, int64_t>(t);
    data_ = in_order ? static_cast<const int64_t*>(t.const_data_ptr()) : copy_.data();
  }
  const int64_t* data() const { return data_; }

 private:
  std::vector<int64_t> copy_;
  const int64_t* data_;
};

// Throws where a score could exceed what the result holds.
void check_bounds(const Scoring& scoring, const Sequences& set, const int64_t* pairs, int64_t count,
                  bool exact_floats) {
  const Bounds bounds(scoring);
  const double most = exact_floats ? largest_exact : double(std::numeric_limits<int32_t>::max());
  int64_t n = 0, m = 0;
  for (int64_t p = 0; p < count; ++p) {
    n = std::max(n, set[pairs[2 * p]].size);
    m = std::max(m, set[pairs[2 * p + 1]].size);
  }
  if (double(bounds.of(n, m)) <= most) return;
  for (int64_t p = 0; p < count; ++p) {
    n = set[pairs[2 * p]].size, m = set[pairs[2 * p + 1]].size;
    if (double(bounds.of(n, m)) > most) {
      refuse("scores of sequences of " + std::to_string(n) + " and " + std::to_string(m) +
             " tokens can exceed " + (exact_floats ? "2^53" : "int32") +
             " under this scoring: use smaller scores" +
             (exact_floats ? "" : ", or a float64 substitution"));
    }
  }
}

// A call's arguments in order, checked. pairs: (count, 2).
class Call {
 public:
  Call(const Tensor& tokens, const Tensor& offsets, const int64_t* pairs, int64_t count,
       const Tensor& substitution, double gap_open, double gap_extend)
      : pairs_(pairs), count_(count), starts_(offsets) {
    check_call(tokens, offsets, substitution, gap_open, gap_extend);
    tokens_ = checked_tokens(tokens);
    const Whole whole = whole_scores(substitution, gap_open, gap_extend);
    scale_ = whole.scale;
    scoring_ = {0, 0, nullptr, 0, whole.gap_open, whole.gap_extend};
    if (substitution.dim() == 1) {
      scoring_.match = whole.substitution[0];
      scoring_.mismatch = whole.substitution[1];
    } else {
      for (const int64_t score : whole.substitution) {
        if (score != int32_t(score)) {
          refuse("substitution must fit 32 bits once its scores are whole, got " +
                 number(double(score) / whole.scale));
        }
        table_.push_back(int32_t(score));
      }
      scoring_.symbols = substitution.size(0);
      // A table of no symbols is one all the same.
      if (table_.empty()) table_.push_back(0);
      scoring_.table = table_.data();
    }
    const int64_t sequences = offsets.size(0) - 1, size = int64_t(tokens_.size());
    set_ = {tokens_.data(), starts_.data(), sequences};
    check_offsets("offsets", starts_.data(), sequences, size);
    check_pairs(pairs, count, sequences);
    check_tokens("tokens", {tokens_.data(), size}, scoring_);
    check_bounds(scoring_, set_, pairs, count, is_floating(substitution));
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  double scale() const { return scale_; }

  std::vector<int64_t> scores() const {
    std::vector<int64_t> out(count_);
    pair_scores(set_, pairs_, count_, scoring_, {}, out.data(), threads());
    return out;
  }

  std::vector<int64_t> align_all(std::vector<std::vector<Move>>& paths) const {
    std::vector<int64_t> out(count_);
    paths.resize(count_);
    auto one = [&](int64_t p) {
      out[p] = align(set_[pairs_[2 * p]], set_[pairs_[2 * p + 1]], scoring_, {}, paths[p]);
    };
    using One = decltype(one);
    const Parallel parallel = threads();
    parallel.run(parallel, count_, &one,
                 [](void* context, int64_t p) { (*static_cast<One*>(context))(p); });
    return out;
  }

 private:
  static Parallel threads() {
    return on_threads(static_cast<int64_t>(torch::stable::get_num_threads()));
  }

  const int64_t* const pairs_;
  const int64_t count_;
  const Numbers starts_;
  std::vector<Token> tokens_;
  std::vector<int32_t> table_;
  Scoring scoring_{};
  Sequences set_{};
  double scale_ = 1;
};

// In a tensor of the substitution's kind.
Tensor tensor_of(const std::vector<int64_t>& scores, const std::vector<int64_t>& sizes,
                 const Tensor& substitution, double scale, const Tensor& like) {
  const bool exact_floats = is_floating(substitution);
  const int64_t count = int64_t(scores.size());
  Tensor out =
      torch::stable::new_empty(like, sizes, exact_floats ? ScalarType::Double : ScalarType::Int);
  void* const result = out.mutable_data_ptr();
  for (int64_t p = 0; exact_floats && p < count; ++p) {
    static_cast<double*>(result)[p] = double(scores[p]) / scale;
  }
  for (int64_t p = 0; !exact_floats && p < count; ++p) {
    static_cast<int32_t*>(result)[p] = int32_t(scores[p]);
  }
  return out;
}

// Whatever is wrong with the arguments is a RuntimeError, as in torch's operators.
template <class Body>
auto refusing(const Body& body) {
  try {
    return body();
  } catch (const std::invalid_argument& error) {
    refuse(error.what());
  } catch (const std::overflow_error& error) {
    refuse(error.what());
  }
}

}  // namespace

Tensor nw_scores(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                 const Tensor& substitution, double gap_open, double gap_extend) {
  check_listed(pairs);
  return refusing([&] {
    const Numbers listed(pairs);
    const Call call(tokens, offsets, listed.data(), pairs.size(0), substitution, gap_open,
                    gap_extend);
    return tensor_of(call.scores(), {pairs.size(0)}, substitution, call.scale(), pairs);
  });
}

Tensor nw_cross_scores(const Tensor& tokens, const Tensor& offsets, const Tensor& rows,
                       const Tensor& columns, const Tensor& substitution, double gap_open,
                       double gap_extend) {
  check_sides(rows, columns);
  return refusing([&] {
    const Numbers first(rows), second(columns);
    const int64_t height = rows.size(0), width = columns.size(0);
    std::vector<int64_t> pairs;
    pairs.reserve(2 * height * width);
    for (int64_t i = 0; i < height; ++i) {
      for (int64_t j = 0; j < width; ++j) {
        pairs.push_back(first.data()[i]);
        pairs.push_back(second.data()[j]);
      }
    }
    const Call call(tokens, offsets, pairs.data(), height * width, substitution, gap_open,
                    gap_extend);
    return tensor_of(call.scores(), {height, width}, substitution, call.scale(), rows);
  });
}

PathTensors nw_paths(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                     const Tensor& substitution, double gap_open, double gap_extend, int64_t) {
  check_listed(pairs);
  return refusing([&] {
    const Numbers listed(pairs);
    const int64_t count = pairs.size(0);
    const Call call(tokens, offsets, listed.data(), count, substitution, gap_open, gap_extend);
    std::vector<std::vector<Move>> paths;
    const std::vector<int64_t> scores = call.align_all(paths);
    Tensor begins = torch::stable::new_empty(pairs, {count}, ScalarType::Long);
    Tensor ends = torch::stable::new_empty(pairs, {count}, ScalarType::Long);
    int64_t total = 0;
    for (int64_t p = 0; p < count; ++p) {
      static_cast<int64_t*>(begins.mutable_data_ptr())[p] = total;
      total += int64_t(paths[p].size());
      static_cast<int64_t*>(ends.mutable_data_ptr())[p] = total;
    }
    Tensor moves = torch::stable::new_empty(pairs, {total}, ScalarType::Byte);
    uint8_t* to = static_cast<uint8_t*>(moves.mutable_data_ptr());
    for (const std::vector<Move>& path : paths) {
      for (const Move move : path) *to++ = uint8_t(move);
    }
    return PathTensors{tensor_of(scores, {count}, substitution, call.scale(), pairs), moves, begins,
                       ends};
  });
}

}  // namespace neurn::align

STABLE_TORCH_LIBRARY_FRAGMENT(neurn, m) {
  m.def(
      "nw_scores(Tensor tokens, Tensor offsets, Tensor pairs, Tensor substitution, "
      "float gap_open, float gap_extend) -> Tensor");
  m.def(
      "nw_cross_scores(Tensor tokens, Tensor offsets, Tensor rows, Tensor columns, "
      "Tensor substitution, float gap_open, float gap_extend) -> Tensor");
  m.def(
      "nw_paths(Tensor tokens, Tensor offsets, Tensor pairs, Tensor substitution, float gap_open, "
      "float gap_extend, int memory=1073741824) -> (Tensor scores, Tensor moves, Tensor begins, "
      "Tensor ends)");
}

STABLE_TORCH_LIBRARY_IMPL(neurn, CPU, m) {
  m.impl("nw_scores", TORCH_BOX(&neurn::align::nw_scores));
  m.impl("nw_cross_scores", TORCH_BOX(&neurn::align::nw_cross_scores));
  m.impl("nw_paths", TORCH_BOX(&neurn::align::nw_paths));
}
