#include "check.h"

#include <cmath>
#include <cstdio>
#include <stdexcept>

namespace neurn {
namespace {

struct PaddingName {
  const char* name;
  Padding value;
};
constexpr PaddingName paddings[] = {{"reflect", Padding::reflect},
                                    {"replicate", Padding::replicate},
                                    {"circular", Padding::circular},
                                    {"zeros", Padding::zeros},
                                    {"valid", Padding::valid}};

struct ScopeName {
  const char* name;
  Scope value;
};
constexpr ScopeName scopes[] = {{"image", Scope::image},
                                {"channel", Scope::channel},
                                {"batch", Scope::batch},
                                {"none", Scope::none}};

[[noreturn]] void refuse(const std::string& sentence) { throw std::runtime_error(sentence); }

template <class Entry, size_t n>
auto parse(const char* argument, const std::string& name, const Entry (&entries)[n]) {
  std::string allowed;
  for (const Entry& entry : entries) {
    if (name == entry.name) return entry.value;
    allowed += std::string(allowed.empty() ? "'" : ", '") + entry.name + "'";
  }
  refuse(std::string(argument) + " must be one of " + allowed + ", got '" + name + "'");
}

}  // namespace

Padding parse_padding(const std::string& name) { return parse("padding", name, paddings); }

Scope parse_scope(const std::string& name) { return parse("scope", name, scopes); }

void check_arguments(int64_t kernel_size, const std::string& padding, const std::string& scope,
                     double floor) {
  if (kernel_size < 1 || kernel_size % 2 == 0) {
    refuse("kernel_size must be an odd integer >= 1, got " + std::to_string(kernel_size));
  }
  parse_padding(padding);
  parse_scope(scope);
  if (!std::isfinite(floor) || floor < 0) {
    char text[32];
    std::snprintf(text, sizeof text, "%g", floor);
    refuse(std::string("floor must be a finite number >= 0, got ") + text);
  }
}

void check_dimensions(int64_t dimensions) {
  if (dimensions != 3 && dimensions != 4) {
    refuse("x must have shape (C, H, W) or (N, C, H, W), got " + std::to_string(dimensions) +
           (dimensions == 1 ? " dimension" : " dimensions"));
  }
}

void check_size(int64_t height, int64_t width, int64_t kernel_size, Padding padding) {
  const int64_t half = kernel_size / 2;
  int64_t least = 1;
  if (padding == Padding::reflect) least = half + 1;
  if (padding == Padding::circular && half > 1) least = half;
  if (padding == Padding::valid) least = kernel_size;
  if (height < least || width < least) {
    std::string name;
    for (const PaddingName& entry : paddings) {
      if (entry.value == padding) name = entry.name;
    }
    refuse("x of height " + std::to_string(height) + " and width " + std::to_string(width) +
           " is too small for kernel_size " + std::to_string(kernel_size) + " with padding '" +
           name + "': both must be at least " + std::to_string(least));
  }
}

void refuse_dtype(const std::string& name) {
  refuse("x must have a floating dtype (float16, bfloat16, float32 or float64), got " + name);
}

}  // namespace neurn
