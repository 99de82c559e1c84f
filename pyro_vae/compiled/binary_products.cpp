// Float32 matrix products of which one matrix holds noughts and ones alone, such as black and white
// pixels.
//
// Four terms of a sum have sixteen values at most, one for each choice of those that count. They
// are made once for a row of the other matrix, in one register, and looked up there for sixteen
// sums at a time: an addition and a look-up take the place of four multiplications and additions
// (Arlazarov, Dinic, Kronrod, Faradzev, "On economical construction of the transitive closure of a
// directed graph", 1970).

#include <memory>

namespace {

constexpr int64_t word = 32;   // terms of a sum whose choice is kept in one number
constexpr int64_t four = 4;    // terms that are looked up together
constexpr int64_t height = 3;  // rows that are multiplied at once; more would need more registers
constexpr int64_t most = 8;    // registers of sums of each of them
constexpr int64_t depth = 8;   // words after which sums begin anew: long ones lose more digits

// Which terms count: bit `t` of `words[w * lanes + line]` stands for the term `w * 32 + t`.
struct Choices {
  explicit Choices(const Lines& lines)
      : lines(lines),
        lanes(over(lines.count, lane) * lane),
        deep(over(lines.terms, word)),
        words(new uint32_t[lanes * deep]) {}

  // Sixteen lines; false if there is anything but noughts and ones among them.
  bool fill(int64_t from) const {
    return lines.terms_adjoin() ? fill_along(from) : fill_across(from);
  }

  const Lines lines;
  const int64_t lanes, deep;
  const std::unique_ptr<uint32_t[]> words;

 private:
  // The ones among up to sixteen numbers.
  static __mmask16 ones(const float* numbers, __mmask16 mask, bool& is_binary) {
    const __m512 found = _mm512_maskz_loadu_ps(mask, numbers);
    const __mmask16 is_one = _mm512_cmpeq_ps_mask(found, _mm512_set1_ps(1));
    const __mmask16 is_nought = _mm512_cmpeq_ps_mask(found, _mm512_setzero_ps());
    is_binary &= __mmask16(is_one | is_nought) == 0xffff;
    return is_one;
  }

  bool fill_along(int64_t from) const {
    bool is_binary = true;
    for (int64_t line = from; line < from + lane; ++line) {
      const int64_t terms = line < lines.count ? lines.terms : 0;
      const float* const numbers = lines.begin + line * lines.stride;
      for (int64_t w = 0, t = 0; w < deep; ++w, t += word) {
        const uint32_t low = ones(numbers + t, first(terms - t), is_binary);
        const uint32_t high = ones(numbers + t + lane, first(terms - t - lane), is_binary);
        words[w * lanes + line] = low | high << lane;
      }
    }
    return is_binary;
  }

  bool fill_across(int64_t from) const {
    bool is_binary = true;
    const __mmask16 mask = first(lines.count - from);
    for (int64_t w = 0; w < deep; ++w) {
      __m512i chosen = _mm512_setzero_si512();
      const int64_t terms = std::min(word, lines.terms - w * word);
      for (int64_t t = 0; t < terms; ++t) {
        const float* const numbers = lines.begin + from + (w * word + t) * lines.along;
        const __m512i bit = _mm512_set1_epi32(int(1u << t));
        chosen = _mm512_mask_or_epi32(chosen, ones(numbers, mask, is_binary), chosen, bit);
      }
      _mm512_storeu_si512(&words[w * lanes + from], chosen);
    }
    return is_binary;
  }
};

// Three rows of the other matrix, term by term, noughts after the last one.
struct Rows {
  explicit Rows(const Lines& lines)
      : lines(lines), stride(over(lines.terms, word) * word), terms(new float[height * stride]) {}

  void fill(int64_t row) {
    __m512i largest_here = _mm512_setzero_si512();
    for (int64_t r = 0; r < height; ++r) {
      const float* from = lines.begin + (row + r) * lines.stride;
      float* const to = &terms[r * stride];
      if (!lines.terms_adjoin()) {
        for (int64_t t = 0; t < lines.terms; ++t) to[t] = from[t * lines.along];
        from = to;
      }
      for (int64_t t = 0; t < stride; t += lane) {
        const __m512i bits = _mm512_maskz_loadu_epi32(first(lines.terms - t), from + t);
        largest_here = _mm512_max_epu32(largest_here, _mm512_slli_epi32(bits, 1));
        _mm512_storeu_si512(to + t, bits);
      }
    }
    largest = _mm512_max_epu32(largest, largest_here);
  }

  bool were_finite() const {
    return _mm512_cmpge_epu32_mask(largest, _mm512_set1_epi32(int(0xff000000u))) == 0;
  }

  const Lines lines;
  const int64_t stride;
  const std::unique_ptr<float[]> terms;

 private:
  __m512i largest = _mm512_setzero_si512();  // number so far, in each lane, without the sign
};

// The sums of four terms, in the order of the numbers whose bits choose among them.
__m512 sums_of(const float* terms) {
  __m512 sums = _mm512_maskz_mov_ps(0xaaaa, _mm512_set1_ps(terms[0]));
  sums = _mm512_mask_add_ps(sums, 0xcccc, sums, _mm512_set1_ps(terms[1]));
  sums = _mm512_mask_add_ps(sums, 0xf0f0, sums, _mm512_set1_ps(terms[2]));
  return _mm512_mask_add_ps(sums, 0xff00, sums, _mm512_set1_ps(terms[3]));
}

// Where sums go: those of a row side by side, or those of a line.
struct Product {
  float* begin;
  int64_t stride;
  bool is_by_lines;

  // Three registers of sums, each of a row with sixteen lines, of which `lines` are there.
  void put(const __m512 (&sums)[height], int64_t row, int64_t line, int64_t lines) const {
    if (is_by_lines) return put_by_lines(sums, begin + line * stride + row, lines);
    for (int64_t r = 0; r < height; ++r) {
      _mm512_mask_storeu_ps(begin + (row + r) * stride + line, first(lines), sums[r]);
    }
  }

 private:
  void put_by_lines(const __m512 (&sums)[height], float* to, int64_t lines) const {
    const __m512 none = _mm512_setzero_ps();
    const __m512 low[] = {_mm512_unpacklo_ps(sums[0], sums[1]), _mm512_unpacklo_ps(sums[2], none)};
    const __m512 high[] = {_mm512_unpackhi_ps(sums[0], sums[1]), _mm512_unpackhi_ps(sums[2], none)};
    alignas(64) float made[four][lane];  // of line l at [l % 4][l / 4 * 4]
    _mm512_store_ps(made[0], _mm512_shuffle_ps(low[0], low[1], 0x44));
    _mm512_store_ps(made[1], _mm512_shuffle_ps(low[0], low[1], 0xee));
    _mm512_store_ps(made[2], _mm512_shuffle_ps(high[0], high[1], 0x44));
    _mm512_store_ps(made[3], _mm512_shuffle_ps(high[0], high[1], 0xee));
    for (int64_t line = 0; line < std::min(lines, lane); ++line, to += stride) {
      const __m128 made_here = _mm_load_ps(&made[line % four][line / four * four]);
      _mm_mask_storeu_ps(to, (1 << height) - 1, made_here);
    }
  }
};

// Adds up to 256 terms, or as many as are left, of three rows times `wide` registers of lines.
template <int wide>
void add_up(const float* terms, int64_t stride, int64_t left, const uint32_t* words, int64_t lanes,
            __m512 (*made)[height]) {
  const __m512 one = _mm512_set1_ps(1);
  __m512 sums[wide][height];
  for (auto& lines : sums) {
    for (auto& sum : lines) sum = _mm512_setzero_ps();
  }
  for (int64_t w = 0; w < depth && left > 0; ++w, words += lanes, terms += word, left -= word) {
#pragma GCC unroll 8
    for (int64_t t = 0; t < word; t += four) {
      if (t >= left) break;
      const uint32_t* here = words;
      asm volatile("" : "+r"(here));  // or words would be kept in the registers that sums need
      __m512 table[height];
      for (int r = 0; r < height; ++r) table[r] = sums_of(terms + r * stride + t);
      for (int v = 0; v < wide; ++v) {
        // A look-up takes the last four bits of each number, and leaves the others alone.
        const __m512i chosen = _mm512_srli_epi32(_mm512_loadu_si512(here + v * lane), t);
        for (int r = 0; r < height; ++r) {
          const __m512 found = _mm512_permutexvar_ps(chosen, table[r]);
          // The same sum either way; some processors have units of their own for each.
          sums[v][r] = v % 2 ? _mm512_fmadd_ps(found, one, sums[v][r])
                             : _mm512_add_ps(sums[v][r], found);
        }
      }
    }
  }
  for (int v = 0; v < wide; ++v) {
    for (int r = 0; r < height; ++r) made[v][r] = sums[v][r];
  }
}

// Three rows of the product, at `wide` registers of lines, those from `line` on.
template <int wide>
void multiply(const Rows& rows, const Choices& choices, int64_t row, int64_t line,
              const Product& product) {
  __m512 totals[wide][height], sums[wide][height];
  const uint32_t* words = &choices.words[line];
  const int64_t lanes = choices.lanes, count = rows.lines.terms;
  add_up<wide>(&rows.terms[0], rows.stride, count, words, lanes, totals);
  for (int64_t from = depth * word; from < count; from += depth * word) {
    words += depth * lanes;
    add_up<wide>(&rows.terms[from], rows.stride, count - from, words, lanes, sums);
    for (int v = 0; v < wide; ++v) {
      for (int r = 0; r < height; ++r) totals[v][r] = _mm512_add_ps(totals[v][r], sums[v][r]);
    }
  }
  for (int v = 0; v < wide; ++v, line += lane) {
    product.put(totals[v], row, line, choices.lines.count - line);
  }
}

using Multiply = decltype(&multiply<1>);
constexpr Multiply multipliers[] = {multiply<1>, multiply<2>, multiply<3>, multiply<4>,
                                    multiply<5>, multiply<6>, multiply<7>, multiply<8>};

// Makes some rows of the product; false if something in them is not finite.
bool make(const Lines& others, int64_t from, int64_t to, const Choices& choices,
          const Product& product) {
  Rows rows(others);
  const int64_t wide = choices.lanes / lane, blocks = over(wide, most);
  for (int64_t next = from; next < to; next += height) {
    const int64_t row = std::min(next, to - height);  // the last ones again, to be three
    rows.fill(row);
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t begin = block * wide / blocks, end = (block + 1) * wide / blocks;
      multipliers[end - begin - 1](rows, choices, row, begin * lane, product);
    }
  }
  return rows.were_finite();
}

// The product of two matrices, of which the left one (`side` 0) or the right one (1) is binary.
Tensor binary_product(Tensor left, Tensor right, int64_t side) {
  const Tensor a = dense(left), b = dense(right);
  Tensor made = torch::stable::new_empty(a, {a.size(0), b.size(1)});
  const Lines rows = rows_of(a), columns = columns_of(b);
  const Choices choices(side == 0 ? rows : columns);
  const Lines& others = side == 0 ? columns : rows;
  const Product product{static_cast<float*>(made.data_ptr()), b.size(1), side == 0};
  std::atomic<bool> can_be{others.count >= height && others.terms > 0};
  const auto fill = [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin) {
      if (!choices.fill(begin * lane)) can_be = false;
    }
  };
  // Shares begin at multiples of 16 rows, which are lines of the cache in a product by lines.
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t share = over(over(others.count, threads), lane) * lane;
  const auto make_shares = [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin) {
      const int64_t row = begin * share, next = std::min(row + share, others.count);
      if (!make(others, std::min(row, next - height), next, choices, product)) can_be = false;
    }
  };
  if (can_be) torch::stable::parallel_for(0, choices.lanes / lane, 1, fill);
  if (can_be) torch::stable::parallel_for(0, over(others.count, share), 1, make_shares);
  // An infinity times nought is not a number, and numbers that are not binary are not choices.
  if (!can_be) multiply_by_blas(a, b, made);
  return made;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyro_vae, CPU, library) {
  library.impl("binary_product", TORCH_BOX(&binary_product));
}
