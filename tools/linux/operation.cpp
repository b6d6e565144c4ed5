// An MLX operation whose work a function of the program does, on the CPU: what MLX's documentation calls a custom
// extension. mlx-c has such a thing for GPUs only.
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "mlx/allocator.h"
#include "mlx/array.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/c/array.h"
#include "mlx/c/error.h"
#include "mlx/c/private/mlx.h"
#include "mlx/primitives.h"

extern "C" {

// Where an array's numbers are. Strides count numbers.
struct llmeval_operand {
  void* data;
  const int32_t* shape;
  const int64_t* strides;
  size_t dimensions;
};

// What is computed: `work` is given back to both functions.
struct llmeval_work {
  void* work;
  void (*compute)(const void* work, const llmeval_operand* inputs, size_t count, const llmeval_operand* output);
  void (*drop)(void* work);
};

}  // extern "C"

namespace {

using mlx::core::array;

llmeval_operand operand(array& values) {
  return {values.data<char>(), values.shape().data(), values.strides().data(), values.ndim()};
}

class Operation : public mlx::core::Primitive {
 public:
  Operation(mlx::core::Stream stream, llmeval_work work)
      : Primitive(stream), work_(work.work, work.drop), compute_(work.compute) {}

  void eval_cpu(const std::vector<array>& inputs, std::vector<array>& outputs) override {
    auto& output = outputs[0];
    output.set_data(mlx::core::allocator::malloc(output.nbytes()));
    std::vector<array> arrays;
    arrays.reserve(inputs.size() + 1);
    // MLX keeps the memory of inputs and output until a dispatched task is done.
    for (const auto& input : inputs) {
      arrays.push_back(array::unsafe_weak_copy(input));
    }
    arrays.push_back(array::unsafe_weak_copy(output));
    auto task = [work = work_, compute = compute_, arrays = std::move(arrays)]() mutable {
      std::vector<llmeval_operand> operands;
      operands.reserve(arrays.size());
      for (auto& values : arrays) {
        operands.push_back(operand(values));
      }
      compute(work.get(), operands.data(), operands.size() - 1, &operands.back());
    };
    mlx::core::cpu::get_command_encoder(stream()).dispatch(std::move(task));
  }

  void eval_gpu(const std::vector<array>&, std::vector<array>&) override {
    throw std::runtime_error("this operation is for the CPU");
  }

  const char* name() const override { return "llmeval"; }

 private:
  std::shared_ptr<void> work_;
  void (*compute_)(const void*, const llmeval_operand*, size_t, const llmeval_operand*);
};

}  // namespace

// An array of f32 numbers, `shape` long in its `dimensions`, that `work` computes from `inputs` when it is wanted. The
// work is dropped in any case, once it is needed no more.
extern "C" int llmeval_operation(
    mlx_array* result,
    const mlx_array* inputs,
    size_t count,
    const int32_t* shape,
    size_t dimensions,
    llmeval_work work) {
  try {
    auto stream = mlx::core::default_stream(mlx::core::Device::cpu);
    auto operation = std::make_shared<Operation>(stream, work);
    std::vector<array> arrays;
    arrays.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      arrays.push_back(mlx_array_get_(inputs[i]));
    }
    mlx_array_set_(
        *result, array(mlx::core::Shape(shape, shape + dimensions), mlx::core::float32, operation, std::move(arrays)));
    return 0;
  } catch (std::exception& error) {
    mlx_error(error.what());
    return 1;
  }
}
