// neurn::nw_scores, registered through torch's stable ABI.
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "bounds.h"
#include "check.h"
#include "engine.h"
#include "threads.h"

namespace neurn::align {
namespace {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

[[noreturn]] void refuse(const std::string& sentence) { throw std::runtime_error(sentence); }

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

std::string dtype_name(const Tensor& t) {
  switch (t.scalar_type()) {
    case ScalarType::Bool:
      return "bool";
    case ScalarType::Half:
      return "float16";
    case ScalarType::BFloat16:
      return "bfloat16";
    case ScalarType::Float:
      return "float32";
    case ScalarType::Double:
      return "float64";
    case ScalarType::ComplexFloat:
      return "complex64";
    case ScalarType::ComplexDouble:
      return "complex128";
    default:
      return torch::headeronly::toString(t.scalar_type());
  }
}

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

// read(element) of an integer tensor's element type.
template <class Read>
auto read_integers(const char* name, const Tensor& t, const char* allowed, Read read) {
  switch (t.scalar_type()) {
    case ScalarType::Byte:
      return read(uint8_t());
    case ScalarType::Char:
      return read(int8_t());
    case ScalarType::Short:
      return read(int16_t());
    case ScalarType::UInt16:
      return read(uint16_t());
    case ScalarType::Int:
      return read(int32_t());
    case ScalarType::Long:
      return read(int64_t());
    default:
      refuse(std::string(name) + " must have " + allowed + " dtype, got " + dtype_name(t));
  }
}

std::vector<int64_t> integers(const char* name, const Tensor& t,
                              const char* allowed = "an integer") {
  return read_integers(name, t, allowed,
                       [&](auto element) { return copied<int64_t, decltype(element)>(t); });
}

bool is_floating(const Tensor& t) {
  return t.scalar_type() == ScalarType::Float || t.scalar_type() == ScalarType::Double;
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
constexpr double largest_exact = double(int64_t{1} << 53);

Whole whole_scores(const Tensor& substitution, double gap_open, double gap_extend) {
  for (const auto& [name, gap] : {std::pair{"gap_open", gap_open}, {"gap_extend", gap_extend}}) {
    if (!std::isfinite(gap) || gap > 0) {
      refuse(std::string(name) + " must be a finite number <= 0, got " + number(gap));
    }
  }
  if (!is_floating(substitution)) {
    std::vector<int64_t> scores =
        integers("substitution", substitution, "an integer or floating (32 or 64 bits)");
    for (const auto& [name, gap] : {std::pair{"gap_open", gap_open}, {"gap_extend", gap_extend}}) {
      if (gap != std::floor(gap) || gap <= -largest_exact) {
        refuse(std::string(name) +
               " must be a whole number where substitution is of integers, got " + number(gap));
      }
    }
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

void check_shapes(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                  const Tensor& substitution) {
  if (tokens.dim() != 1) {
    refuse("tokens must have 1 dimension, got " + std::to_string(tokens.dim()));
  }
  if (offsets.dim() != 1 || offsets.size(0) == 0 || offsets.scalar_type() != ScalarType::Long) {
    refuse("offsets must be of int64 and have shape (sequences + 1,)");
  }
  if (pairs.dim() != 2 || pairs.size(1) != 2 || pairs.scalar_type() != ScalarType::Long) {
    refuse("pairs must be of int64 and have shape (pairs, 2)");
  }
  const bool square = substitution.dim() == 2 && substitution.size(0) == substitution.size(1);
  const bool two = substitution.dim() == 1 && substitution.size(0) == 2;
  if (!square && !two) {
    refuse("substitution must have shape (symbols, symbols), or (2,) for match and mismatch");
  }
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

Tensor scores_of(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                 const Tensor& substitution, double gap_open, double gap_extend) {
  check_shapes(tokens, offsets, pairs, substitution);
  const std::vector<Token> all = checked_tokens(tokens);
  const Numbers starts(offsets), listed(pairs);
  const Whole whole = whole_scores(substitution, gap_open, gap_extend);
  const bool exact_floats = is_floating(substitution);

  Scoring scoring{0, 0, nullptr, 0, whole.gap_open, whole.gap_extend};
  std::vector<int32_t> table;
  if (substitution.dim() == 1) {
    scoring.match = whole.substitution[0];
    scoring.mismatch = whole.substitution[1];
  } else {
    for (const int64_t score : whole.substitution) {
      if (score != int32_t(score)) {
        refuse("substitution must fit 32 bits once its scores are whole, got " +
               number(double(score) / whole.scale));
      }
      table.push_back(int32_t(score));
    }
    scoring.symbols = substitution.size(0);
    // A table of no symbols is one all the same.
    if (table.empty()) table.push_back(0);
    scoring.table = table.data();
  }
  const int64_t sequences = offsets.size(0) - 1, count = pairs.size(0);
  const Sequences set{all.data(), starts.data(), sequences};
  check_offsets("offsets", starts.data(), sequences, int64_t(all.size()));
  check_pairs(listed.data(), count, sequences);
  check_tokens("tokens", {all.data(), int64_t(all.size())}, scoring);

  check_bounds(scoring, set, listed.data(), count, exact_floats);
  std::vector<int64_t> scores(count);
  const int64_t threads = static_cast<int64_t>(torch::stable::get_num_threads());
  pair_scores(set, listed.data(), count, scoring, {false, false, false, false, -1}, scores.data(),
              on_threads(threads));
  Tensor out =
      torch::stable::new_empty(pairs, {count}, exact_floats ? ScalarType::Double : ScalarType::Int);
  void* const result = out.mutable_data_ptr();
  for (int64_t p = 0; exact_floats && p < count; ++p) {
    static_cast<double*>(result)[p] = double(scores[p]) / whole.scale;
  }
  for (int64_t p = 0; !exact_floats && p < count; ++p) {
    static_cast<int32_t*>(result)[p] = int32_t(scores[p]);
  }
  return out;
}

// Whatever is wrong with the arguments is a RuntimeError, as in torch's operators.
Tensor nw_scores(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                 const Tensor& substitution, double gap_open, double gap_extend) {
  try {
    return scores_of(tokens, offsets, pairs, substitution, gap_open, gap_extend);
  } catch (const std::invalid_argument& error) {
    refuse(error.what());
  } catch (const std::overflow_error& error) {
    refuse(error.what());
  }
}

}  // namespace
}  // namespace neurn::align

STABLE_TORCH_LIBRARY_FRAGMENT(neurn, m) {
  m.def(
      "nw_scores(Tensor tokens, Tensor offsets, Tensor pairs, Tensor substitution, "
      "float gap_open, float gap_extend) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(neurn, CPU, m) {
  m.impl("nw_scores", TORCH_BOX(&neurn::align::nw_scores));
}
