// Ways of making a matrix product that PyTorch has no operators for.

#include <algorithm>
#include <cstdint>

#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/inductor/aoti_torch/c/shim_cpu.h>
#include <torch/csrc/inductor/aoti_torch/generated/c_shim_cpu.h>
#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

using torch::stable::Tensor;

namespace {

constexpr int64_t lane = 16;  // numbers in a vector register; parts begin at multiples of it

// Some rows (dim 0) or columns (dim 1) of a matrix, as a view.
Tensor part(const Tensor& matrix, int64_t dim, int64_t start, int64_t count) {
  int64_t sizes[] = {matrix.size(0), matrix.size(1)};
  const int64_t strides[] = {matrix.stride(0), matrix.stride(1)};
  sizes[dim] = count;
  AtenTensorHandle view = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch__reinterpret_tensor(
      matrix.get(), 2, sizes, strides, start * strides[dim], &view));
  return Tensor(view);
}

// Each thread makes some rows or columns with the BLAS.
Tensor split_product(Tensor left, Tensor right, int64_t dim) {
  Tensor product = torch::stable::new_empty(left, {left.size(0), right.size(1)});
  const int64_t length = product.size(dim);
  const int64_t threads = torch::stable::get_num_threads();
  const int64_t step = ((length + threads - 1) / threads + lane - 1) / lane * lane;
  const auto make = [&](int64_t begin, int64_t end) {
    for (int64_t start = begin * step; start < std::min(end * step, length); start += step) {
      const int64_t count = std::min(step, length - start);
      const Tensor rows = dim == 0 ? part(left, 0, start, count) : left;
      const Tensor columns = dim == 1 ? part(right, 1, start, count) : right;
      const Tensor made = part(product, dim, start, count);
      TORCH_ERROR_CODE_CHECK(aoti_torch_cpu_mm_out(made.get(), rows.get(), columns.get()));
    }
  };
  // Within a parallel region the BLAS itself stays on one thread.
  torch::stable::parallel_for(0, (length + step - 1) / step, 1, make);
  return product;
}

// By oneDNN, which takes the right operand transposed, and packs it anew each time.
Tensor onednn_product(Tensor left, Tensor right) {
  const Tensor rows = torch::stable::contiguous(left);
  const Tensor weight = torch::stable::transpose(right, 0, 1);
  AtenTensorHandle product = nullptr;
  TORCH_ERROR_CODE_CHECK(aoti_torch_cpu__linear_pointwise(
      rows.get(), weight.get(), nullptr, "none", nullptr, 0, nullptr, &product));
  return Tensor(product);
}

}  // namespace

STABLE_TORCH_LIBRARY_IMPL(pyro_vae, CPU, library) {
  library.impl("split_product", TORCH_BOX(&split_product));
  library.impl("onednn_product", TORCH_BOX(&onednn_product));
}
