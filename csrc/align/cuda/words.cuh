// How a cell's scores are held in a register: one number, or those of two pairs; and how two
// tokens' score is found.
#pragma once

#include "../../cuda/device.h"
#include "plan.cuh"

namespace neurn::align::cuda {

// Two numbers of 16 bits. sm_90 has these operations; nvcc spells them out for others.
#if defined(__CUDACC__)
NEURN_DEVICE uint32_t larger_shorts(uint32_t a, uint32_t b) { return __vmaxs2(a, b); }
NEURN_DEVICE uint32_t add_larger_shorts(uint32_t a, uint32_t b, uint32_t c) {
  return __viaddmax_s16x2(a, b, c);
}
// 1 where a half is not 0.
NEURN_DEVICE uint32_t is_some_shorts(uint32_t a) { return __vminu2(a, 0x00010001u); }
#else
template <class F>
uint32_t each_short(const F& f) {
  return static_cast<uint16_t>(f(0)) | static_cast<uint32_t>(static_cast<uint16_t>(f(16))) << 16;
}
inline int short_at(uint32_t word, int shift) { return static_cast<int16_t>(word >> shift); }
inline uint32_t larger_shorts(uint32_t a, uint32_t b) {
  return each_short([=](int k) { return std::max(short_at(a, k), short_at(b, k)); });
}
inline uint32_t add_larger_shorts(uint32_t a, uint32_t b, uint32_t c) {
  return each_short([=](int k) {
    const int sum = static_cast<int16_t>(short_at(a, k) + short_at(b, k));
    return std::max(sum, short_at(c, k));
  });
}
inline uint32_t is_some_shorts(uint32_t a) {
  return each_short([=](int k) { return short_at(a, k) != 0; });
}
#endif

// Sums behind the end of a pair may wrap; nothing of them comes back.
struct OneInt {
  using Word = int32_t;
  static constexpr int pairs = 1;
  NEURN_DEVICE static Word fill(int64_t x) { return static_cast<Word>(x); }
  NEURN_DEVICE static Word larger(Word a, Word b) { return a > b ? a : b; }
  NEURN_DEVICE static Word add_larger(Word a, Word b, Word c) {
    return larger(static_cast<Word>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b)), c);
  }
  NEURN_DEVICE static int64_t of(Word x, int) { return x; }
};

struct OneLong {
  using Word = int64_t;
  static constexpr int pairs = 1;
  NEURN_DEVICE static Word fill(int64_t x) { return x; }
  NEURN_DEVICE static Word larger(Word a, Word b) { return a > b ? a : b; }
  NEURN_DEVICE static Word add_larger(Word a, Word b, Word c) {
    return larger(static_cast<Word>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b)), c);
  }
  NEURN_DEVICE static int64_t of(Word x, int) { return x; }
};

struct TwoShorts {
  using Word = uint32_t;
  static constexpr int pairs = 2;
  NEURN_DEVICE static Word fill(int64_t x) {
    return static_cast<uint32_t>(x & 0xffff) * 0x00010001u;
  }
  NEURN_DEVICE static Word larger(Word a, Word b) { return larger_shorts(a, b); }
  NEURN_DEVICE static Word add_larger(Word a, Word b, Word c) { return add_larger_shorts(a, b, c); }
  NEURN_DEVICE static int64_t of(Word x, int half) {
    return static_cast<int16_t>(x >> (16 * half));
  }
};

// A table of shifted scores in shared memory, two in a word. With `copies` of each word side by
// side lanes of a warp find theirs in different banks: with 32, without any waiting for another.
struct SharedScores {
  uint32_t* words;
  int copies;

  static constexpr int64_t row_words(int64_t symbols) { return (symbols + 1) / 2; }
  static constexpr int64_t words_of(int64_t symbols, int64_t copies) {
    return symbols * row_words(symbols) * copies;
  }
  // By all threads of a block, which then sees it.
  NEURN_DEVICE void fill(const PlanCall& call) const {
    const int symbols = static_cast<int>(call.p.symbols);
    const int in_row = static_cast<int>(row_words(symbols));
    const int count = static_cast<int>(words_of(symbols, copies));
    for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
      const int word = i / copies, row = word / in_row, column = 2 * (word % in_row);
      const auto score = [&](int j) {
        return j < symbols ? static_cast<uint32_t>(call.shifted(call.table[row * symbols + j])) : 0;
      };
      words[i] = (score(column) & 0xffffu) | score(column + 1) << 16;
    }
    __syncthreads();
  }
};

// Looks score(row, column) up; Row and Column stand for the tokens of one cell in each pair.
// Every one tells whether tokens are equal.
template <class S>
struct Compare;

template <>
struct Compare<TwoShorts> {
  using Row = uint32_t;
  using Column = uint32_t;
  uint32_t equal, change;  // change: unequal, in the bits where it is another

  NEURN_DEVICE Compare(const PlanCall& call, const SharedScores&) {
    equal = TwoShorts::fill(call.shifted(call.report->match));
    change = equal ^ TwoShorts::fill(call.shifted(call.report->mismatch));
  }
  NEURN_DEVICE static uint32_t pack(const Token* tokens) {
    return tokens[0] | static_cast<uint32_t>(tokens[1]) << 16;
  }
  NEURN_DEVICE Row row(const Token* tokens) const { return pack(tokens); }
  NEURN_DEVICE Column column(const Token* tokens) const { return pack(tokens); }
  NEURN_DEVICE uint32_t score(Row row, Column column) const {
    return equal ^ (is_some_shorts(row ^ column) * 0xffffu & change);
  }
};

template <class S>
struct CompareOne {
  using Row = Token;
  using Column = Token;
  using Word = typename S::Word;
  Word equal, unequal;

  NEURN_DEVICE CompareOne(const PlanCall& call, const SharedScores&)
      : equal(S::fill(call.shifted(call.report->match))),
        unequal(S::fill(call.shifted(call.report->mismatch))) {}
  NEURN_DEVICE Row row(const Token* tokens) const { return tokens[0]; }
  NEURN_DEVICE Column column(const Token* tokens) const { return tokens[0]; }
  NEURN_DEVICE Word score(Row row, Column column) const { return row == column ? equal : unequal; }
};
template <>
struct Compare<OneInt> : CompareOne<OneInt> {
  using CompareOne::CompareOne;
};
template <>
struct Compare<OneLong> : CompareOne<OneLong> {
  using CompareOne::CompareOne;
};

// A table in shared memory.
template <class S>
struct SharedTable {
  struct Row {
    int words[S::pairs];
  };
  struct Column {
    int bytes[S::pairs];
  };
  const char* table;
  int own_bytes, row_words, word_bytes;

  NEURN_DEVICE SharedTable(const PlanCall& call, const SharedScores& shared)
      : table(reinterpret_cast<const char*>(shared.words)),
        own_bytes(4 * (static_cast<int>(threadIdx.x) & (shared.copies - 1))),
        row_words(static_cast<int>(SharedScores::row_words(call.p.symbols))),
        word_bytes(4 * shared.copies) {}
  NEURN_DEVICE Row row(const Token* tokens) const {
    Row out;
    NEURN_UNROLL
    for (int h = 0; h < S::pairs; ++h) out.words[h] = tokens[h] * row_words;
    return out;
  }
  NEURN_DEVICE Column column(const Token* tokens) const {
    Column out;
    NEURN_UNROLL
    for (int h = 0; h < S::pairs; ++h) {
      out.bytes[h] = tokens[h] / 2 * word_bytes + tokens[h] % 2 * 2 + own_bytes;
    }
    return out;
  }
  NEURN_DEVICE typename S::Word score(const Row& row, const Column& column) const {
    if constexpr (S::pairs == 2) {
      const uint32_t low = static_cast<uint16_t>(at(row.words[0], column.bytes[0]));
      const uint32_t high = static_cast<uint16_t>(at(row.words[1], column.bytes[1]));
      return low | high << 16;
    } else {
      return at(row.words[0], column.bytes[0]);
    }
  }

 private:
  // One multiplication and addition: these are not what a cell has most of.
  NEURN_DEVICE int16_t at(int words, int bytes) const {
    return *reinterpret_cast<const int16_t*>(table + (words * word_bytes + bytes));
  }
};

// A table of whole scores as they are, in global memory.
template <class S>
struct GlobalTable {
  struct Row {
    const int32_t* scores[S::pairs];
  };
  struct Column {
    Token token[S::pairs];
  };
  const int32_t* table;
  int64_t symbols, shift, least;

  NEURN_DEVICE GlobalTable(const PlanCall& call, const SharedScores&)
      : table(call.table),
        symbols(call.p.symbols),
        shift(-2 * call.report->gap_extend),
        least(call.least()) {}
  NEURN_DEVICE Row row(const Token* tokens) const {
    Row out;
    NEURN_UNROLL
    for (int h = 0; h < S::pairs; ++h) out.scores[h] = table + tokens[h] * symbols;
    return out;
  }
  NEURN_DEVICE Column column(const Token* tokens) const {
    Column out;
    NEURN_UNROLL
    for (int h = 0; h < S::pairs; ++h) out.token[h] = tokens[h];
    return out;
  }
  NEURN_DEVICE typename S::Word score(const Row& row, const Column& column) const {
    if constexpr (S::pairs == 2) {
      return (shifted(row.scores[0][column.token[0]]) & 0xffffu) |
             shifted(row.scores[1][column.token[1]]) << 16;
    } else if constexpr (sizeof(typename S::Word) == 4) {
      return static_cast<int32_t>(shifted(row.scores[0][column.token[0]]));
    } else {
      const int64_t score = row.scores[0][column.token[0]] + shift;
      return score > least ? score : least;
    }
  }

 private:
  // 32 bits hold it: kind_of has seen to that.
  NEURN_DEVICE uint32_t shifted(int32_t score) const {
    const int32_t sum =
        static_cast<int32_t>(static_cast<uint32_t>(score) + static_cast<uint32_t>(shift));
    const int32_t bottom = static_cast<int32_t>(least);
    return static_cast<uint32_t>(sum > bottom ? sum : bottom);
  }
};

}  // namespace neurn::align::cuda
