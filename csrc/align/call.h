// A call of nw_scores as tensors tell it, on any device.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

namespace neurn::align {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

[[noreturn]] inline void refuse(const std::string& sentence) { throw std::runtime_error(sentence); }

inline std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

inline std::string dtype_name(const Tensor& t) {
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

inline bool is_floating(const Tensor& t) {
  return t.scalar_type() == ScalarType::Float || t.scalar_type() == ScalarType::Double;
}

// Whole numbers up to it are exact as double.
constexpr double largest_exact = double(int64_t{1} << 53);

// What can be told without the tensors' elements.
inline void check_call(const Tensor& tokens, const Tensor& offsets, const Tensor& substitution,
                       double gap_open, double gap_extend) {
  if (tokens.dim() != 1) {
    refuse("tokens must have 1 dimension, got " + std::to_string(tokens.dim()));
  }
  if (offsets.dim() != 1 || offsets.size(0) == 0 || offsets.scalar_type() != ScalarType::Long) {
    refuse("offsets must be of int64 and have shape (sequences + 1,)");
  }
  const bool square = substitution.dim() == 2 && substitution.size(0) == substitution.size(1);
  const bool two = substitution.dim() == 1 && substitution.size(0) == 2;
  if (!square && !two) {
    refuse("substitution must have shape (symbols, symbols), or (2,) for match and mismatch");
  }
  const auto ignore = [](auto) {};
  read_integers("tokens", tokens, "an integer", ignore);
  if (!is_floating(substitution)) {
    read_integers("substitution", substitution, "an integer or floating (32 or 64 bits)", ignore);
  }
  for (const auto& [name, gap] : {std::pair{"gap_open", gap_open}, {"gap_extend", gap_extend}}) {
    if (!std::isfinite(gap) || gap > 0) {
      refuse(std::string(name) + " must be a finite number <= 0, got " + number(gap));
    }
    if (!is_floating(substitution) && (gap != std::floor(gap) || gap <= -largest_exact)) {
      refuse(std::string(name) + " must be a whole number where substitution is of integers, got " +
             number(gap));
    }
  }
}

inline void check_listed(const Tensor& pairs) {
  if (pairs.dim() != 2 || pairs.size(1) != 2 || pairs.scalar_type() != ScalarType::Long) {
    refuse("pairs must be of int64 and have shape (pairs, 2)");
  }
}

inline void check_sides(const Tensor& rows, const Tensor& columns) {
  for (const auto& [name, side] : {std::pair{"rows", &rows}, {"columns", &columns}}) {
    if (side->dim() != 1 || side->scalar_type() != ScalarType::Long) {
      refuse(std::string(name) + " must be of int64 and have 1 dimension");
    }
  }
}

// The operators on the CPU. Whatever is wrong with the arguments is a std::runtime_error.
Tensor nw_scores(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                 const Tensor& substitution, double gap_open, double gap_extend);
Tensor nw_cross_scores(const Tensor& tokens, const Tensor& offsets, const Tensor& rows,
                       const Tensor& columns, const Tensor& substitution, double gap_open,
                       double gap_extend);
// Scores, moves, and where each pair's begin and end.
using PathTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;
PathTensors nw_paths(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                     const Tensor& substitution, double gap_open, double gap_extend,
                     int64_t memory);

}  // namespace neurn::align
