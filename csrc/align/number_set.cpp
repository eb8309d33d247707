#include "number_set.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "buffer.h"
#include "lane_set.h"
#include "plan.h"
#include "scratch_pool.h"

namespace neurn::align {
namespace {

// Cells that one item of work computes: some hundredths of a second at most.
constexpr int64_t least_item_cells = int64_t{1} << 22, most_item_cells = int64_t{1} << 28;
constexpr int64_t items_per_thread = 16;
// Of a thread's looked-up scores: more is in no core's cache.
constexpr int64_t profile_bytes = int64_t{1} << 24;
// Cells in the time of looking one score up.
constexpr double look_up_time = 12, quick_look_up_time = 1;

// f(0) of the unsigned type that has so many bytes.
template <class F>
auto with_type(int bytes, const F& f) {
  switch (bytes) {
    case 1:
      return f(uint8_t{});
    case 2:
      return f(uint16_t{});
    default:
      return f(uint32_t{});
  }
}

// [position][lane] from sequences that begin at first(lane), zeros where there are none.
template <class T, class Of, class First>
void pack(int64_t lanes, int64_t count, int64_t positions, const Of& of, const First& first,
          T* out) {
  // Positions whose lines stay in the cache.
  constexpr int64_t block = 128;
  for (int64_t begin = 0; begin < positions; begin += block) {
    const int64_t end = std::min(begin + block, positions);
    std::fill(out + begin * lanes, out + end * lanes, T{0});
    for (int64_t l = 0; l < count; ++l) {
      const Sequence sequence = of(l);
      const int64_t shift = first(l);
      const int64_t to = std::min(end, shift + sequence.size);
      for (int64_t i = std::max(begin, shift); i < to; ++i) {
        out[i * lanes + l] = static_cast<T>(sequence.data[i - shift]);
      }
    }
  }
}

// Scores of a row's token with the columns' tokens of some lanes: looked up when first asked for,
// kept while they fit.
class Profile {
 public:
  // columns: of one byte up to 256 symbols.
  void reset(const NumberKernels& kernels, const NumberScoring& numbers, const Scoring& scoring,
             int64_t symbols, const void* columns, int64_t count) {
    kernels_ = &kernels, numbers_ = numbers, scoring_ = scoring, symbols_ = symbols;
    columns_ = columns, count_ = count;
    const int64_t each = count * numbers.bytes;
    most_ = std::clamp<int64_t>(profile_bytes / each, 1, symbols);
    clear();
  }

  // Null: no room before a clear().
  const void* find(Token symbol) {
    if (int64_t(slot_.size()) <= symbol) slot_.resize(symbol + size_t{1}, -1);
    int32_t& slot = slot_[symbol];
    if (slot < 0) {
      if (int64_t(used_.size()) == most_) return nullptr;
      slot = int32_t(used_.size());
      if (scores_.size() == used_.size()) scores_.emplace_back();
      used_.push_back(symbol);
      with_type(numbers_.bytes, [&](auto zero) { fill<decltype(zero)>(symbol); });
    }
    return scores_[slot].get<std::byte>(count_ * numbers_.bytes);
  }

  void clear() {
    for (const Token symbol : used_) slot_[symbol] = -1;
    used_.clear();
  }

 private:
  template <class T>
  void fill(Token symbol) {
    T* row = row_.get<T>(symbols_);
    if (scoring_.table != nullptr) {
      const int32_t* of = scoring_.table + symbol * scoring_.symbols;
      for (int64_t b = 0; b < symbols_; ++b) {
        row[b] = static_cast<T>(std::max(of[b] + numbers_.shift, numbers_.least));
      }
    } else {
      std::fill_n(row, symbols_, static_cast<T>(numbers_.unequal));
      row[symbol] = static_cast<T>(numbers_.equal);
    }
    T* out = scores_[slot_[symbol]].get<T>(count_);
    kernels_->look_up({numbers_.bytes, symbols_, row, columns_, count_, out});
  }

  const NumberKernels* kernels_ = nullptr;
  NumberScoring numbers_{};
  Scoring scoring_{};
  int64_t symbols_ = 0;
  const void* columns_ = nullptr;
  int64_t count_ = 0, most_ = 0;
  std::vector<int32_t> slot_;
  std::vector<Token> used_;
  std::vector<Buffer> scores_;
  Buffer row_;
};

struct Scratch {
  Buffer rows, columns, begun, state;
  Profile profile;
  const void* profiled = nullptr;
  std::vector<const void*> scores;
  std::vector<int32_t> lane;
  std::vector<int64_t> size, sum;
};

// What a call of either kind has in common.
class Lanes {
 public:
  Lanes(const NumberKernels& kernels, const NumberScoring& numbers, const Scoring& scoring,
        int64_t symbols)
      : kernels_(kernels),
        numbers_(numbers),
        scoring_(scoring),
        symbols_(symbols),
        lanes_(kernels.vector_bytes / numbers.bytes) {}

  int64_t lanes() const { return lanes_; }
  // Whether numbers hold tokens, so that they can be compared.
  bool compares() const {
    return scoring_.table == nullptr && (numbers_.bytes > 1 || symbols_ <= 256);
  }
  // Whether looking two scores up once for all queries is faster than comparing tokens.
  bool profile_pays(double rows, int64_t columns) const {
    constexpr int64_t cached = int64_t{1} << 21;
    return look_ups() * 4 < rows && symbols_ * columns * kernels_.vector_bytes <= cached;
  }
  // Looking up the scores of all symbols, in rows.
  double look_ups() const {
    const bool quick = numbers_.bytes == 1 && symbols_ <= kernels_.quick_symbols;
    return static_cast<double>(symbols_) * (quick ? quick_look_up_time : look_up_time);
  }
  // Bytes of a token in the columns.
  int column_bytes(bool compared) const {
    return compared ? numbers_.bytes : symbols_ <= 256 ? 1 : 2;
  }
  NumberCall call(int64_t columns, Scratch& scratch) const {
    NumberCall out{};
    out.scoring = numbers_;
    out.column_count = columns;
    out.first = true;
    const int64_t words = kernels_.vector_bytes / 8 * (numbers_.affine ? 2 : 1);
    out.state = scratch.state.get<uint64_t>(columns * words);
    return out;
  }

  int64_t score(int64_t sum, int64_t n, int64_t m) const {
    return sum + numbers_.open + scoring_.gap_extend * (n + m);
  }

  // One query in all lanes; the profile is that of the call's columns.
  void run_profile(Sequence query, NumberCall& call, Scratch& scratch) const {
    const int64_t count = call.count;
    for (int64_t begin = 0; begin < query.size;) {
      scratch.scores.clear();
      int64_t end = begin;
      for (; end < query.size; ++end) {
        const void* scores = scratch.profile.find(query.data[end]);
        if (scores == nullptr) break;
        scratch.scores.push_back(scores);
      }
      if (end > begin) {
        call.scores = scratch.scores.data();
        call.row_count = end - begin;
        call.first = begin == 0;
        call.count = end == query.size ? count : 0;
        kernels_.run(call);
      }
      if (end < query.size) scratch.profile.clear();
      begin = end;
    }
    call.count = count;
  }

 protected:
  const NumberKernels& kernels_;
  const NumberScoring numbers_;
  const Scoring scoring_;
  const int64_t symbols_;
  const int64_t lanes_;
};

// Targets in the lanes of one vector.
struct Group {
  int64_t begin, end;  // ranks
  int64_t columns;
  Buffer tokens;
};

// Where some lanes stay empty, they are those beside the shortest.
std::vector<Group> groups_of(const Sequences& targets, const std::vector<int64_t>& rank,
                             int64_t lanes) {
  std::vector<Group> out;
  const int64_t count = static_cast<int64_t>(rank.size());
  for (int64_t begin = 0, end; begin < count; begin = end) {
    const int64_t part = (count - begin) % lanes;
    end = begin + (part == 0 ? lanes : part);
    out.push_back({begin, end, targets[rank[static_cast<size_t>(end - 1)]].size, {}});
  }
  return out;
}

class Cross : Lanes {
 public:
  Cross(const NumberKernels& kernels, const NumberScoring& numbers, const Scoring& scoring,
        int64_t symbols, const Sequences& a, const Sequences& b, bool symmetric, int64_t* out,
        int64_t stride)
      : Lanes(kernels, numbers, scoring, symbols),
        a_(a),
        b_(b),
        symmetric_(symmetric),
        out_(out),
        stride_(stride),
        queries_(by_size(a)),
        targets_(symmetric ? queries_ : by_size(b)),
        groups_(groups_of(b, targets_, lanes_)) {
    double rows = 0;
    for (const int64_t i : queries_) rows += static_cast<double>(a[i].size);
    const int64_t longest = targets_.empty() ? 0 : b[targets_.back()].size;
    compared_ = compares() && !profile_pays(symmetric ? rows / 2 : rows, longest);
  }

  bool run(const Parallel& parallel) {
    write_gaps_only(scoring_.gap_extend, a_, b_, symmetric_, out_, stride_, numbers_.open);
    divide(parallel.threads);
    const auto pack_one = [](void* self, int64_t i) { static_cast<Cross*>(self)->pack_group(i); };
    const auto sweep_one = [](void* self, int64_t i) { static_cast<Cross*>(self)->sweep(i); };
    return parallel.run(parallel, static_cast<int64_t>(groups_.size()), this, pack_one) &&
           parallel.run(parallel, static_cast<int64_t>(items_.size()), this, sweep_one);
  }

 private:
  // Queries that meet one group, ranks begin .. end - 1.
  struct Item {
    size_t group;
    int64_t begin, end;
  };

  // Those of a symmetric set that are no longer than one of the group.
  int64_t queries_of(const Group& group) const {
    return symmetric_ ? group.end : static_cast<int64_t>(queries_.size());
  }

  void divide(int64_t threads) {
    int64_t all = 0;
    for (const Group& group : groups_) {
      for (int64_t q = 0; q < queries_of(group); ++q) {
        all += query(q).size * group.columns * lanes_;
      }
    }
    const int64_t most =
        std::clamp(all / (threads * items_per_thread), least_item_cells, most_item_cells);
    for (size_t g = 0; g < groups_.size(); ++g) {
      const int64_t column_cells = groups_[g].columns * lanes_;
      for (int64_t begin = 0, end; begin < queries_of(groups_[g]); begin = end) {
        int64_t cells = 0;
        for (end = begin; end < queries_of(groups_[g]) && (end == begin || cells < most); ++end) {
          cells += query(end).size * column_cells;
        }
        items_.push_back({g, begin, end});
      }
    }
  }

  void pack_group(int64_t i) {
    Group& group = groups_[static_cast<size_t>(i)];
    with_type(column_bytes(compared_), [&](auto zero) {
      using T = decltype(zero);
      pack<T>(
          lanes_, group.end - group.begin, group.columns,
          [&](int64_t l) { return target(group.begin + l); }, [](int64_t) { return 0; },
          group.tokens.get<T>(group.columns * lanes_));
    });
  }

  void sweep(int64_t i) {
    const Item& item = items_[static_cast<size_t>(i)];
    Group& group = groups_[item.group];
    std::unique_ptr<Scratch> scratch = pool_.take();
    NumberCall call = this->call(group.columns, *scratch);
    const void* tokens = group.tokens.get<std::byte>(0);
    call.columns = tokens;
    if (!compared_ && scratch->profiled != tokens) {
      scratch->profile.reset(kernels_, numbers_, scoring_, symbols_, tokens,
                             group.columns * lanes_);
      scratch->profiled = tokens;
    }
    scratch->lane.resize(static_cast<size_t>(lanes_));
    scratch->size.resize(static_cast<size_t>(lanes_));
    scratch->sum.resize(static_cast<size_t>(lanes_));
    for (int64_t t = group.begin; t < group.end; ++t) {
      const size_t l = static_cast<size_t>(t - group.begin);
      scratch->lane[l] = static_cast<int32_t>(l);
      scratch->size[l] = target(t).size;
    }
    for (int64_t q = item.begin; q < item.end; ++q) {
      const int64_t skipped = symmetric_ ? std::max<int64_t>(q - group.begin, 0) : 0;
      call.lane = scratch->lane.data() + skipped;
      call.size = scratch->size.data() + skipped;
      call.sum = scratch->sum.data() + skipped;
      call.count = group.end - group.begin - skipped;
      meet(q, group.begin + skipped, call, *scratch);
    }
    pool_.give(std::move(scratch));
  }

  // The call's lanes hold targets from rank `first` on.
  void meet(int64_t q, int64_t first, NumberCall& call, Scratch& scratch) {
    const Sequence of = query(q);
    if (compared_) {
      with_type(numbers_.bytes, [&](auto zero) {
        using T = decltype(zero);
        T* rows = scratch.rows.get<T>(of.size * lanes_);
        for (int64_t r = 0; r < of.size; ++r) {
          std::fill_n(rows + r * lanes_, lanes_, static_cast<T>(of.data[r]));
        }
        call.rows = rows;
      });
      call.row_count = of.size;
      kernels_.run(call);
    } else {
      run_profile(of, call, scratch);
    }
    const int64_t i = queries_[static_cast<size_t>(q)];
    for (int64_t l = 0; l < call.count; ++l) {
      const int64_t j = targets_[static_cast<size_t>(first + l)];
      const int64_t found = score(call.sum[l], of.size, call.size[l]);
      out_[i * stride_ + j] = found;
      if (symmetric_) out_[j * stride_ + i] = found;
    }
  }

  Sequence query(int64_t q) const { return a_[queries_[static_cast<size_t>(q)]]; }
  Sequence target(int64_t t) const { return b_[targets_[static_cast<size_t>(t)]]; }

  const Sequences a_, b_;
  const bool symmetric_;
  int64_t* const out_;
  const int64_t stride_;
  const std::vector<int64_t> queries_, targets_;
  std::vector<Group> groups_;
  std::vector<Item> items_;
  bool compared_;
  ScratchPool<Scratch> pool_;
};

class Pairs : Lanes {
 public:
  Pairs(const NumberKernels& kernels, const NumberScoring& numbers, const Scoring& scoring,
        int64_t symbols, const Sequences& sequences, const int64_t* pairs, const int64_t* chosen,
        int64_t count, int64_t* out)
      : Lanes(kernels, numbers, scoring, symbols), out_(out), jobs_(static_cast<size_t>(count)) {
    for (int64_t p = 0; p < count; ++p) {
      Job& job = jobs_[static_cast<size_t>(p)];
      job.pair = chosen[p];
      const int64_t first = pairs[2 * job.pair];
      job.a = sequences[first];
      job.b = sequences[pairs[2 * job.pair + 1]];
      job.query = shares_query() ? first : 0;
      // Two scores are the same both ways: the shorter goes into the rows.
      if (!shares_query() && job.a.size > job.b.size) std::swap(job.a, job.b);
    }
    const auto before = [](const Job& x, const Job& y) {
      if (x.query != y.query) return x.query < y.query;
      return x.a.size != y.a.size ? x.a.size < y.a.size : x.b.size < y.b.size;
    };
    if (!std::is_sorted(jobs_.begin(), jobs_.end(), before)) {
      std::stable_sort(jobs_.begin(), jobs_.end(), before);
    }
    for (size_t begin = 0, end; begin < jobs_.size(); begin = end) {
      end = begin;
      while (end < jobs_.size() && end - begin < static_cast<size_t>(lanes_) &&
             jobs_[end].query == jobs_[begin].query) {
        ++end;
      }
      batches_.push_back({begin, end});
    }
  }

  bool run(const Parallel& parallel) {
    return parallel.run(parallel, static_cast<int64_t>(batches_.size()), this,
                        [](void* self, int64_t i) { static_cast<Pairs*>(self)->sweep(i); });
  }

 private:
  struct Job {
    int64_t query;  // what lanes must have in common
    Sequence a, b;
    int64_t pair;
  };
  struct Batch {
    size_t begin, end;
  };

  bool shares_query() const { return !compares(); }

  void sweep(int64_t i) {
    const Batch& batch = batches_[static_cast<size_t>(i)];
    const Job* jobs = jobs_.data() + batch.begin;
    const int64_t count = static_cast<int64_t>(batch.end - batch.begin);
    std::unique_ptr<Scratch> scratch = pool_.take();
    int64_t columns = 0;
    scratch->lane.resize(static_cast<size_t>(count));
    scratch->size.resize(static_cast<size_t>(count));
    scratch->sum.resize(static_cast<size_t>(count));
    for (int64_t l = 0; l < count; ++l) {
      columns = std::max(columns, jobs[l].b.size);
      scratch->lane[static_cast<size_t>(l)] = static_cast<int32_t>(l);
    }
    const auto shorter = [&](int32_t x, int32_t y) { return jobs[x].b.size < jobs[y].b.size; };
    std::stable_sort(scratch->lane.begin(), scratch->lane.end(), shorter);
    for (int64_t l = 0; l < count; ++l) {
      scratch->size[static_cast<size_t>(l)] = jobs[scratch->lane[static_cast<size_t>(l)]].b.size;
    }
    NumberCall call = this->call(columns, *scratch);
    call.lane = scratch->lane.data();
    call.size = scratch->size.data();
    call.sum = scratch->sum.data();
    call.count = count;
    if (shares_query()) {
      void* tokens = scratch->columns.get<Token>(columns * lanes_);
      with_type(column_bytes(false), [&](auto zero) {
        using T = decltype(zero);
        pack<T>(
            lanes_, count, columns, [&](int64_t l) { return jobs[l].b; }, [](int64_t) { return 0; },
            static_cast<T*>(tokens));
      });
      scratch->profile.reset(kernels_, numbers_, scoring_, symbols_, tokens, columns * lanes_);
      run_profile(jobs[0].a, call, *scratch);
    } else {
      with_type(numbers_.bytes,
                [&](auto zero) { run_compared<decltype(zero)>(jobs, call, *scratch); });
    }
    for (int64_t l = 0; l < count; ++l) {
      const Job& job = jobs[call.lane[l]];
      out_[job.pair] = score(call.sum[l], job.a.size, job.b.size);
    }
    pool_.give(std::move(scratch));
  }

  template <class T>
  void run_compared(const Job* jobs, NumberCall& call, Scratch& scratch) {
    // Queries end with the last row; jobs are sorted by their sizes.
    call.row_count = jobs[call.count - 1].a.size;
    call.ragged = call.row_count - jobs[0].a.size;
    const auto first = [&](int64_t l) { return call.row_count - jobs[l].a.size; };
    T* rows = scratch.rows.get<T>(call.row_count * lanes_);
    T* columns = scratch.columns.get<T>(call.column_count * lanes_);
    T* begun = scratch.begun.get<T>(call.ragged * lanes_);
    pack<T>(lanes_, call.count, call.row_count, [&](int64_t l) { return jobs[l].a; }, first, rows);
    pack<T>(
        lanes_, call.count, call.column_count, [&](int64_t l) { return jobs[l].b; },
        [](int64_t) { return 0; }, columns);
    std::fill_n(begun, call.ragged * lanes_, T{0});
    for (int64_t l = 0; l < call.count; ++l) {
      for (int64_t r = first(l); r < call.ragged; ++r) begun[r * lanes_ + l] = static_cast<T>(-1);
    }
    call.rows = rows;
    call.columns = columns;
    call.begun = begun;
    kernels_.run(call);
  }

  int64_t* const out_;
  std::vector<Job> jobs_;
  std::vector<Batch> batches_;
  ScratchPool<Scratch> pool_;
};

int64_t symbols_of(const Scoring& scoring, Token largest) {
  return scoring.table != nullptr ? scoring.symbols : int64_t{largest} + 1;
}

}  // namespace

double number_cost(const NumberKernels& kernels, const NumberScoring& numbers,
                   const Scoring& scoring, const Sequences& a, const Sequences& b, bool symmetric) {
  const int64_t symbols = symbols_of(scoring, std::max(largest_token(a), largest_token(b)));
  const Lanes lanes(kernels, numbers, scoring, symbols);
  const std::vector<int64_t> queries = by_size(a);
  std::vector<double> rows{0};
  for (const int64_t q : queries) rows.push_back(rows.back() + static_cast<double>(a[q].size));
  double cells = 0;
  for (const Group& group : groups_of(b, symmetric ? queries : by_size(b), lanes.lanes())) {
    const double met = rows[symmetric ? static_cast<size_t>(group.end) : queries.size()];
    const double looked_up = lanes.compares() ? 0 : lanes.look_ups();
    cells += static_cast<double>(group.columns) * (met + looked_up);
  }
  return cells * static_cast<double>(lanes.lanes());
}

bool number_scores(const NumberKernels& kernels, const NumberScoring& numbers,
                   const Scoring& scoring, const Sequences& a, const Sequences& b, bool symmetric,
                   int64_t* out, int64_t stride, const Parallel& parallel) {
  const int64_t symbols = symbols_of(scoring, std::max(largest_token(a), largest_token(b)));
  return Cross(kernels, numbers, scoring, symbols, a, b, symmetric, out, stride).run(parallel);
}

bool number_pair_scores(const NumberKernels& kernels, const NumberScoring& numbers,
                        const Scoring& scoring, const Sequences& sequences, const int64_t* pairs,
                        const int64_t* chosen, int64_t count, int64_t* out,
                        const Parallel& parallel) {
  NumberScoring used = numbers;
  const int64_t symbols = symbols_of(scoring, largest_token(sequences));
  // Wide enough for tokens too: pairs with two scores need share nothing then.
  if (scoring.table == nullptr && symbols > 256) used.bytes = std::max(used.bytes, 2);
  return Pairs(kernels, used, scoring, symbols, sequences, pairs, chosen, count, out).run(parallel);
}

}  // namespace neurn::align
