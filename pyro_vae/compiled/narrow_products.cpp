// Float32 matrix products of few rows, columns or terms, straight from where the matrices lie.
//
// A BLAS packs its matrices first, which pays where each number is used hundreds of times. In a
// narrow product packing a weight takes as long as multiplying with it.

namespace {

constexpr int64_t depth = 64;  // additions after which sums begin anew: long ones lose more digits

// Where the numbers of a row of the right matrix adjoin, a register has sixteen sums of a row.
constexpr int64_t high = 10;  // rows that are made at once
constexpr int64_t wide = 2;   // registers of each

// Where the numbers of a column adjoin, a register has sixteen parts of one sum.
constexpr int64_t five = 5;  // rows that are made at once
constexpr int64_t four = 4;  // sums of each

// A matrix by its strides.
struct Matrix {
  const float* begin;
  int64_t row, column;
};

// Where sums go.
struct Product {
  float* begin;
  int64_t stride, terms;
};

// Some rows of two registers of columns: a number of the left matrix times a row of the right one,
// term by term.
template <int rows>
void multiply_across(Matrix left, Matrix right, const Product& product, float* to,
                     int64_t columns) {
  const __mmask16 masks[wide] = {first(columns), first(columns - lane)};
  int64_t begin = 0;
  do {
    const int64_t end = std::min(begin + depth, product.terms);
    __m512 sums[rows][wide];
    for (auto& row : sums) {
      for (auto& sum : row) sum = _mm512_setzero_ps();
    }
    const float *number = left.begin + begin * left.column, *line = right.begin + begin * right.row;
    for (int64_t t = begin; t < end; ++t, number += left.column, line += right.row) {
      __m512 found[wide];
      for (int v = 0; v < wide; ++v) found[v] = _mm512_maskz_loadu_ps(masks[v], line + v * lane);
      for (int r = 0; r < rows; ++r) {
        const __m512 factor = _mm512_set1_ps(number[r * left.row]);
        for (int v = 0; v < wide; ++v) sums[r][v] = _mm512_fmadd_ps(factor, found[v], sums[r][v]);
      }
    }
#pragma GCC unroll 16  // or sums would be kept in memory all along
    for (int r = 0; r < rows; ++r) {
      for (int v = 0; v < wide; ++v) {
        float* const place = to + r * product.stride + v * lane;
        const __m512 before = _mm512_maskz_loadu_ps(begin > 0 ? masks[v] : 0, place);
        _mm512_mask_storeu_ps(place, masks[v], _mm512_add_ps(sums[r][v], before));
      }
    }
  } while ((begin += depth) < product.terms);
}

// The sums of the numbers in each of four registers.
__m128 totals(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 one = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 other = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const __m512 both = _mm512_add_ps(_mm512_shuffle_ps(one, other, 0x44),
                                    _mm512_shuffle_ps(one, other, 0xee));
  const __m256 halves = _mm256_add_ps(_mm512_castps512_ps256(both), _mm512_extractf32x8_ps(both, 1));
  return _mm_add_ps(_mm256_castps256_ps128(halves), _mm256_extractf128_ps(halves, 1));
}

// Some rows of up to four columns, sixteen terms of each sum side by side.
template <int rows>
void multiply_along(Matrix left, Matrix right, const Product& product, float* to,
                    int64_t columns) {
  const __mmask8 mask = __mmask8((1u << std::min(columns, four)) - 1);
  const float* lines[four];  // the last one again where there are fewer
  for (int c = 0; c < four; ++c) {
    lines[c] = right.begin + std::min<int64_t>(c, columns - 1) * right.column;
  }
  int64_t begin = 0;
  do {
    const int64_t end = std::min(begin + depth * lane, product.terms);
    __m512 sums[rows][four];
    for (auto& row : sums) {
      for (auto& sum : row) sum = _mm512_setzero_ps();
    }
    for (int64_t t = begin; t < end; t += lane) {
      const __mmask16 here = first(end - t);
      __m512 found[four];
      for (int c = 0; c < four; ++c) found[c] = _mm512_maskz_loadu_ps(here, lines[c] + t);
      for (int r = 0; r < rows; ++r) {
        const __m512 factors = _mm512_maskz_loadu_ps(here, left.begin + r * left.row + t);
        for (int c = 0; c < four; ++c) sums[r][c] = _mm512_fmadd_ps(factors, found[c], sums[r][c]);
      }
    }
#pragma GCC unroll 8  // as above
    for (int r = 0; r < rows; ++r) {
      float* const place = to + r * product.stride;
      const __m128 made = totals(sums[r][0], sums[r][1], sums[r][2], sums[r][3]);
      const __m128 before = _mm_maskz_loadu_ps(begin > 0 ? mask : 0, place);
      _mm_mask_storeu_ps(place, mask, _mm_add_ps(made, before));
    }
  } while ((begin += depth * lane) < product.terms);
}

using Multiply = void (*)(Matrix, Matrix, const Product&, float*, int64_t);
constexpr Multiply across[] = {
    multiply_across<1>, multiply_across<2>, multiply_across<3>, multiply_across<4>,
    multiply_across<5>, multiply_across<6>, multiply_across<7>, multiply_across<8>,
    multiply_across<9>, multiply_across<10>};
constexpr Multiply along[] = {multiply_along<1>, multiply_along<2>, multiply_along<3>,
                              multiply_along<4>, multiply_along<5>};

// A part of the product, from and to some row and column.
void make(const Matrix& left, const Matrix& right, const Product& product, int64_t top,
          int64_t bottom, int64_t from, int64_t end) {
  const bool columns_adjoin = right.column == 1;
  const Multiply* const multipliers = columns_adjoin ? across : along;
  const int64_t most = columns_adjoin ? high : five, step = columns_adjoin ? wide * lane : four;
  const int64_t blocks = over(bottom - top, most);
  for (int64_t column = from; column < end; column += step) {
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = top + block * (bottom - top) / blocks;
      const int64_t rows = top + (block + 1) * (bottom - top) / blocks - row;
      multipliers[rows - 1]({left.begin + row * left.row, left.row, left.column},
                            {right.begin + column * right.column, right.row, right.column},
                            product, product.begin + row * product.stride + column, end - column);
    }
  }
}

Matrix matrix_of(const Tensor& tensor) {
  return {static_cast<const float*>(tensor.data_ptr()), tensor.stride(0), tensor.stride(1)};
}

Tensor narrow_product(Tensor left, Tensor right) {
  const Tensor b = dense(right);
  const bool takes_any_left = b.stride(1) == 1;
  const Tensor a = takes_any_left || left.stride(1) == 1 ? left : torch::stable::contiguous(left);
  const int64_t rows = a.size(0), columns = b.size(1);
  Tensor made = torch::stable::new_empty(a, {rows, columns});
  const Product product{static_cast<float*>(made.data_ptr()), columns, a.size(1)};
  const Matrix numbers = matrix_of(a), others = matrix_of(b);
  // Each thread makes some rows or some columns; in those of the product, whole lines of the cache.
  const bool by_rows = rows > columns;
  const int64_t unit = by_rows ? high : wide * lane, units = over(by_rows ? rows : columns, unit);
  const int64_t threads = std::min<int64_t>(torch::stable::get_num_threads(), units);
  const auto make_parts = [&](int64_t part, int64_t end) {
    for (; part < end; ++part) {
      const int64_t start = part * units / threads * unit, stop = (part + 1) * units / threads * unit;
      if (by_rows) {
        make(numbers, others, product, start, std::min(stop, rows), 0, columns);
      } else {
        make(numbers, others, product, 0, rows, start, std::min(stop, columns));
      }
    }
  };
  torch::stable::parallel_for(0, threads, 1, make_parts);
  return made;
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyro_vae, CPU, library) {
  library.impl("narrow_product", TORCH_BOX(&narrow_product));
}
