// Rows and columns of float32 matrices, for binary_products.cpp, narrow_products.cpp and
// tile_products.cpp, which this is put before.

#include <algorithm>
#include <atomic>
#include <cstdint>

#include <immintrin.h>

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

using torch::stable::Tensor;

namespace {

constexpr int64_t lane = 16;  // numbers in a vector register

int64_t over(int64_t number, int64_t by) { return (number + by - 1) / by; }

// The first so many numbers of a register.
__mmask16 first(int64_t count) {
  return count >= lane ? 0xffff : count <= 0 ? 0 : __mmask16((1u << count) - 1);
}

// Some rows of a matrix, or some columns of it: a stride to the next, and one along their terms.
struct Lines {
  const float* begin;
  int64_t count, terms, stride, along;
  Lines part(int64_t line, int64_t lines, int64_t term, int64_t most) const {
    return {begin + line * stride + term * along, std::min(lines, count - line),
            std::min(most, terms - term), stride, along};
  }
  bool terms_adjoin() const { return along == 1; }
};

Lines rows_of(const Tensor& matrix) {
  return {static_cast<const float*>(matrix.data_ptr()), matrix.size(0), matrix.size(1),
          matrix.stride(0), matrix.stride(1)};
}

Lines columns_of(const Tensor& matrix) {
  return {static_cast<const float*>(matrix.data_ptr()), matrix.size(1), matrix.size(0),
          matrix.stride(1), matrix.stride(0)};
}

// A matrix whose rows or columns lie without gaps.
Tensor dense(const Tensor& matrix) {
  const bool is_dense = matrix.stride(0) == 1 || matrix.stride(1) == 1;
  return is_dense ? matrix : torch::stable::contiguous(matrix);
}

// The product of two matrices that have something in them which no other way takes.
void multiply_by_blas(const Tensor& left, const Tensor& right, const Tensor& product) {
  TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(product.get(), left.get(), right.get()));
}

}  // namespace
