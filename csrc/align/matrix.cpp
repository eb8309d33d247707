// The whole score matrix, for people to look at.
#include <algorithm>
#include <vector>

#include "bounds.h"
#include "engine.h"

namespace neurn::align {

void fill(Sequence a, Sequence b, const Scoring& scoring, const Region& region, int64_t* scores,
          uint8_t* arrows) {
  const int64_t n = a.size, m = b.size, stride = m + 1;
  Bounds(scoring).of(n, m);
  const int64_t band = region.band < 0 ? n + m : std::min(region.band, n + m);
  const int64_t low = std::min<int64_t>(0, m - n) - band, high = std::max<int64_t>(0, m - n) + band;
  // Below every score, after any addition too.
  const int64_t out = -2 * limit;
  const int64_t open = scoring.gap_open, extend = scoring.gap_extend;
  std::fill(scores, scores + (n + 1) * stride, outside);
  std::fill(arrows, arrows + (n + 1) * stride, uint8_t{0});
  std::vector<int64_t> above(stride, out), best(stride, out), up(stride, out);
  for (int64_t i = 0; i <= n; ++i) {
    std::swap(above, best);
    std::fill(best.begin(), best.end(), out);
    int64_t left = out;
    const int64_t first = std::max<int64_t>(0, i + low), last = std::min(m, i + high);
    for (int64_t j = first; j <= last; ++j) {
      if (i == 0 && j == 0) {
        best[0] = scores[0] = 0;
        continue;
      }
      const bool free_up = (j == 0 && region.a_begin) || (j == m && region.a_end);
      const bool free_left = (i == 0 && region.b_begin) || (i == n && region.b_end);
      int64_t diagonal = out;
      if (i > 0 && j > 0) diagonal = above[j - 1] + scoring(a.data[i - 1], b.data[j - 1]);
      if (free_up) {
        up[j] = above[j];
      } else {
        up[j] = i == 0 ? out : std::max(above[j] + open + extend, up[j] + extend);
      }
      if (j == 0) {
        left = out;
      } else {
        left = free_left ? best[j - 1] : std::max(best[j - 1] + open + extend, left + extend);
      }
      best[j] = std::max({diagonal, up[j], left});
      const int64_t at = i * stride + j;
      scores[at] = best[j];
      arrows[at] = uint8_t((i > 0 && j > 0 && diagonal == best[j] ? int(Move::diagonal) : 0) |
                           (i > 0 && up[j] == best[j] ? int(Move::up) : 0) |
                           (j > 0 && left == best[j] ? int(Move::left) : 0));
    }
  }
}

}  // namespace neurn::align
