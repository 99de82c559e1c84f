// Float32 matrices as bfloat16 tiles, between matrix_lines.h and tile_products.cpp.
//
// A float32 has 24 significant bits, a bfloat16 has 8: each number is exactly the sum of three.

namespace {

constexpr int64_t side = 16;   // rows of a tile, and columns of a tile of the product
constexpr int64_t depth = 32;  // terms of the sums that two tiles make at once

struct alignas(64) Tile {
  __m512i rows[side];
};

// The bfloat16 numbers whose sum a float32 is, largest first.
struct Thirds {
  Tile tiles[3];
};

// The largest number that bfloat16 leaves over, in each lane, without the sign.
struct Rest {
  __m512i largest = _mm512_setzero_si512();
  bool is_nought() const { return _mm512_test_epi32_mask(largest, largest) == 0; }
  // An infinity leaves an infinity or a NaN over.
  bool is_finite() const {
    return _mm512_cmpge_epu32_mask(largest, _mm512_set1_epi32(int(0xff000000u))) == 0;
  }
};

__m512i numbers(const float* from, __mmask16 mask) {
  return _mm512_maskz_loadu_epi32(mask, from);
}

// Sixteen numbers cut to bfloat16, in the upper halves.
__m512i cut(__m512i numbers) {
  return _mm512_and_si512(numbers, _mm512_set1_epi32(int(0xffff0000u)));
}

__m512i rounded(__m512i numbers) {
  return cut(_mm512_add_epi32(numbers, _mm512_set1_epi32(0x8000)));
}

__m512i minus(__m512i left, __m512i right) {
  return _mm512_castps_si512(_mm512_sub_ps(_mm512_castsi512_ps(left), _mm512_castsi512_ps(right)));
}

void split(__m512i numbers, __m512i* thirds, Rest& rest) {
  thirds[0] = rounded(numbers);
  const __m512i left_over = minus(numbers, thirds[0]);
  rest.largest = _mm512_max_epu32(rest.largest, _mm512_slli_epi32(left_over, 1));
  thirds[1] = rounded(left_over);
  thirds[2] = cut(minus(left_over, thirds[1]));  // which changes none but subnormal numbers
}

// A row of a tile: sixteen numbers and sixteen others, side by side by twos.
void interleave(__m512i even, __m512i odd, Thirds& packed, int64_t row, Rest& rest) {
  __m512i evens[3], odds[3];
  split(even, evens, rest);
  split(odd, odds, rest);
  for (int third = 0; third < 3; ++third) {
    packed.tiles[third].rows[row] =
        _mm512_or_si512(_mm512_srli_epi32(evens[third], 16), odds[third]);
  }
}

// A row of a tile: sixteen numbers, then sixteen others.
void append(__m512i before, __m512i after, Thirds& packed, int64_t row, Rest& rest) {
  static const Tile upper_halves = [] {
    Tile tile;
    uint16_t places[2 * side];
    for (int i = 0; i < 2 * side; ++i) places[i] = uint16_t(2 * i + 1);
    tile.rows[0] = _mm512_loadu_si512(places);
    return tile;
  }();
  __m512i firsts[3], lasts[3];
  split(before, firsts, rest);
  split(after, lasts, rest);
  for (int third = 0; third < 3; ++third) {
    packed.tiles[third].rows[row] =
        _mm512_permutex2var_epi16(firsts[third], upper_halves.rows[0], lasts[third]);
  }
}

void transpose(__m512i* rows) {
  __m512i other[side];
  for (int i = 0; i < side; i += 2) {
    other[i] = _mm512_unpacklo_epi32(rows[i], rows[i + 1]);
    other[i + 1] = _mm512_unpackhi_epi32(rows[i], rows[i + 1]);
  }
  for (int i = 0; i < side; i += 4) {
    rows[i] = _mm512_unpacklo_epi64(other[i], other[i + 2]);
    rows[i + 1] = _mm512_unpackhi_epi64(other[i], other[i + 2]);
    rows[i + 2] = _mm512_unpacklo_epi64(other[i + 1], other[i + 3]);
    rows[i + 3] = _mm512_unpackhi_epi64(other[i + 1], other[i + 3]);
  }
  for (int half = 0; half < side; half += 8) {
    for (int i = half; i < half + 4; ++i) {
      other[i] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0x88);
      other[i + 4] = _mm512_shuffle_i32x4(rows[i], rows[i + 4], 0xdd);
    }
  }
  for (int i = 0; i < 8; ++i) {
    rows[i] = _mm512_shuffle_i32x4(other[i], other[i + 8], 0x88);
    rows[i + 8] = _mm512_shuffle_i32x4(other[i], other[i + 8], 0xdd);
  }
}

// Packs rows of the left matrix: each row of a tile has 32 terms of one.
Rest pack(const Lines& lines, Thirds* packed) {
  Rest rest;
  for (int64_t term = 0; term < lines.terms; term += depth, ++packed) {
    const int64_t terms = lines.terms - term;
    const __mmask16 half = first(terms), rest_of_it = first(terms - side), all = first(lines.count);
    for (int64_t i = 0; i < side; ++i) {
      if (lines.terms_adjoin()) {
        const float* line = lines.begin + i * lines.stride + term;
        const bool is_one = i < lines.count;
        append(numbers(line, is_one ? half : 0), numbers(line + side, is_one ? rest_of_it : 0),
               *packed, i, rest);
      } else {
        const float* even = lines.begin + (term + 2 * i) * lines.along;
        const float* odd = even + lines.along;
        interleave(numbers(even, 2 * i < terms ? all : 0),
                   numbers(odd, 2 * i + 1 < terms ? all : 0), *packed, i, rest);
      }
    }
    if (!lines.terms_adjoin()) {
      for (Tile& tile : packed->tiles) transpose(tile.rows);
    }
  }
  return rest;
}

// Packs columns of the right matrix: each row of a tile has two terms of all 16, side by side. It
// is done piece by piece while tiles are multiplied, which another part of the processor does.
class Packing {
 public:
  Rest rest;

  // From now on pack these, in so many steps.
  void begin(const Lines& all, Thirds* room, int64_t in_steps) {
    lines = all;
    packed = room;
    deep = over(all.terms, depth);
    pieces = pieces_of_tile * over(all.count, side) * deep;
    steps = in_steps;
    done = due = 0;
    rest = Rest();
  }
  void step() {
    for (due += pieces; due >= steps && done < pieces; due -= steps) piece();
  }
  void finish() {
    while (done < pieces) piece();
  }

 private:
  static constexpr int64_t pieces_of_tile = 4;
  Lines lines;
  Thirds* packed;
  int64_t deep, pieces, steps, done, due;
  __m512i terms[2 * side];

  __attribute__((noinline)) void piece() {
    const int64_t tile = done / pieces_of_tile, which = done % pieces_of_tile;
    ++done;
    const Lines now = lines.part(tile / deep * side, side, tile % deep * depth, depth);
    if (which < 2) {
      __m512i* const half = terms + which * side;
      const int64_t left = now.terms - which * side;
      const __mmask16 mask = first(now.terms_adjoin() ? left : now.count);
      const int64_t rows = now.terms_adjoin() ? now.count : left;
      const int64_t stride = now.terms_adjoin() ? now.stride : now.along;
      const float* from = now.begin + which * side * now.along;
      for (int64_t i = 0; i < side; ++i) half[i] = numbers(from + i * stride, i < rows ? mask : 0);
      if (now.terms_adjoin()) transpose(half);
      return;
    }
    for (int64_t i = (which - 2) * side / 2; i < (which - 1) * side / 2; ++i) {
      interleave(terms[2 * i], terms[2 * i + 1], packed[tile], i, rest);
    }
  }
};

}  // namespace
