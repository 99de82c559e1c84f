// Float32 matrix products on Intel's matrix tiles (AMX), which multiply bfloat16 numbers alone.
//
// Each float32 is the sum of three bfloat16 numbers. Of the nine products of two such sums six are
// added up, in float32; the others are less than a rounding of float32 (Henry, Tang, Heinecke,
// "Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations",
// 2019). A matrix whose numbers are bfloat16 already, such as black and white pixels, needs half as
// many.

#include <sys/syscall.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace {

constexpr int64_t width = 4;   // tiles of the product that are made at once, side by side
// What is packed stays in the second cache, which has 2 MiB where there are tiles.
constexpr int64_t most_depth = 32;  // tiles
constexpr int64_t most_rows = 256;  // tiles, all depths together

// Adds to `columns` tiles of the product, side by side, in the registers 0 to 3.
template <int columns, bool left_is_short, bool right_is_short>
void multiply(const Thirds* left, const Thirds* right, int64_t deep, Packing& meanwhile) {
  for (int64_t k = 0; k < deep; ++k) {
    const Thirds& rows = left[k];
    _tile_loadd(4, &rows.tiles[0], 64);
    if (!left_is_short) {
      _tile_loadd(5, &rows.tiles[1], 64);
      _tile_loadd(6, &rows.tiles[2], 64);
    }
#define COLUMN(c)                              \
  if (columns > c) {                           \
    meanwhile.step();                          \
    const Thirds& lines = right[c * deep + k]; \
    _tile_loadd(7, &lines.tiles[0], 64);       \
    _tile_dpbf16ps(c, 4, 7);                   \
    if (!left_is_short) {                      \
      _tile_dpbf16ps(c, 5, 7);                 \
      _tile_dpbf16ps(c, 6, 7);                 \
    }                                          \
    if (!right_is_short) {                     \
      _tile_loadd(7, &lines.tiles[1], 64);     \
      _tile_dpbf16ps(c, 4, 7);                 \
      if (!left_is_short) {                    \
        _tile_dpbf16ps(c, 5, 7);               \
      }                                        \
      _tile_loadd(7, &lines.tiles[2], 64);     \
      _tile_dpbf16ps(c, 4, 7);                 \
    }                                          \
  }
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
#undef COLUMN
  }
}

using Multiply = void (*)(const Thirds*, const Thirds*, int64_t, Packing&);

template <int columns>
Multiply multiplier(bool left_is_short, bool right_is_short) {
  if (left_is_short) {
    return right_is_short ? multiply<columns, true, true> : multiply<columns, true, false>;
  }
  return right_is_short ? multiply<columns, false, true> : multiply<columns, false, false>;
}

Multiply multiplier(int64_t columns, bool left_is_short, bool right_is_short) {
  switch (columns) {
    case 1: return multiplier<1>(left_is_short, right_is_short);
    case 2: return multiplier<2>(left_is_short, right_is_short);
    case 3: return multiplier<3>(left_is_short, right_is_short);
    default: return multiplier<4>(left_is_short, right_is_short);
  }
}

// Where up to 16 rows and 64 columns of the product go.
struct Block {
  float* begin;
  int64_t rows, columns, stride;

  // Puts the registers 0 to 3 there, or adds them to what is there.
  void put(bool adds) const {
    alignas(64) float tile[side * side];
#define COLUMN(c)                                                    \
  if (columns > c * side) {                                          \
    float* const to = begin + c * side;                              \
    if (!adds && rows >= side && columns >= (c + 1) * side) {        \
      _tile_stored(c, to, 4 * stride);                               \
    } else {                                                         \
      _tile_stored(c, tile, 4 * side);                               \
      put_rows(tile, to, first(columns - c * side), adds);           \
    }                                                                \
  }
    COLUMN(0) COLUMN(1) COLUMN(2) COLUMN(3)
#undef COLUMN
  }

 private:
  void put_rows(const float* tile, float* to, __mmask16 mask, bool adds) const {
    for (int64_t row = 0; row < std::min(rows, side); ++row, tile += side, to += stride) {
      const __m512 made = _mm512_load_ps(tile);
      const __m512 sum = adds ? _mm512_add_ps(made, _mm512_maskz_loadu_ps(mask, to)) : made;
      _mm512_mask_storeu_ps(to, mask, sum);
    }
  }
};

void configure() {
  struct alignas(64) {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } tiles;
  _tile_loadconfig(&tiles);
}

// Makes a part of the product on one thread; false if something in it is not finite.
bool make(const Lines& left, const Lines& right, float* product, int64_t stride) {
  thread_local std::vector<Thirds> room;
  thread_local std::vector<Rest> rests;
  bool is_finite = true;
  Packing packing;
  configure();
  for (int64_t term = 0; term < left.terms; term += most_depth * depth) {
    const int64_t terms = std::min(most_depth * depth, left.terms - term);
    const int64_t deep = over(terms, depth);
    const int64_t tall = std::min(most_rows / deep, over(left.count, side));
    room.resize(std::max(int64_t(room.size()), (tall + 2 * width) * deep));
    for (int64_t top = 0; top < left.count; top += tall * side) {
      const int64_t rows = std::min(tall, over(left.count - top, side));
      rests.clear();
      for (int64_t i = 0; i < rows; ++i) {
        rests.push_back(pack(left.part(top + i * side, side, term, terms), &room[i * deep]));
        is_finite &= rests[i].is_finite();
      }
      Thirds *here = &room[tall * deep], *there = here + width * deep;
      packing.begin(right.part(0, width * side, term, terms), there, 1);
      for (int64_t from = 0, next = 0; from < right.count; from = next) {
        packing.finish();
        std::swap(here, there);
        const bool is_short = packing.rest.is_nought();
        is_finite &= packing.rest.is_finite();
        next = std::min(from + width * side, right.count);
        const int64_t tiles = over(next - from, side);
        packing.begin(right.part(next, width * side, term, terms), there, rows * deep * tiles);
        for (int64_t i = 0; i < rows; ++i) {
          _tile_zero(0);
          _tile_zero(1);
          _tile_zero(2);
          _tile_zero(3);
          multiplier(tiles, rests[i].is_nought(), is_short)(&room[i * deep], here, deep, packing);
          const int64_t row = top + i * side;
          Block{product + row * stride + from, left.count - row, next - from, stride}.put(term > 0);
        }
      }
    }
  }
  _tile_release();
  return is_finite;
}

// Into how many parts rows and columns of tiles are cut, so that the slowest thread ends soonest.
std::pair<int64_t, int64_t> shares(int64_t rows, int64_t columns, int64_t threads) {
  constexpr int64_t packing = 2;  // what packing a tile takes, in products of two tiles
  std::pair<int64_t, int64_t> best{1, 1};
  int64_t least = INT64_MAX;
  for (int64_t down = 1; down <= std::min(threads, rows); ++down) {
    const int64_t across = std::min(threads / down, columns);
    const int64_t tall = over(rows, down), wide = over(columns, across);
    const int64_t work = tall * wide + packing * (tall + wide);
    if (work < least) {
      least = work;
      best = {down, across};
    }
  }
  return best;
}

// A thread's part of so many tiles, as rows or columns.
std::pair<int64_t, int64_t> share(int64_t part, int64_t parts, int64_t tiles) {
  const int64_t begin = part * tiles / parts, end = (part + 1) * tiles / parts;
  return {begin * side, (end - begin) * side};
}

Tensor tile_product(Tensor left, Tensor right) {
  const Tensor a = dense(left), b = dense(right);
  const int64_t rows = a.size(0), columns = b.size(1), terms = a.size(1);
  Tensor product = torch::stable::new_empty(a, {rows, columns});
  float* const begin = static_cast<float*>(product.data_ptr());
  const Lines lines = rows_of(a), others = columns_of(b);
  const int64_t tall = over(rows, side), wide = over(columns, side);
  const auto cuts = shares(tall, wide, torch::stable::get_num_threads());
  std::atomic<bool> is_finite{terms > 0};
  const auto make_parts = [&](int64_t part, int64_t end) {
    for (; part < end; ++part) {
      const auto [top, high] = share(part / cuts.second, cuts.first, tall);
      const auto [start, broad] = share(part % cuts.second, cuts.second, wide);
      if (!make(lines.part(top, high, 0, terms), others.part(start, broad, 0, terms),
                begin + top * columns + start, columns)) {
        is_finite = false;
      }
    }
  };
  torch::stable::parallel_for(0, cuts.first * cuts.second, 1, make_parts);
  // An infinity is no sum of bfloat16 numbers; and a sum of nothing is left to the BLAS too.
  if (!is_finite) multiply_by_blas(a, b, product);
  return product;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyro_vae, CPU, library) {
  library.impl("tile_product", TORCH_BOX(&tile_product));
}

// Asks the system to keep tiles for the threads of this process; says whether it does.
extern "C" int has_tiles() {
  constexpr long request = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request, tile_data) == 0;
}
