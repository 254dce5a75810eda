// Batch norm and ReLU in one, forward and backward, of bfloat16 activations that lie channels last: PyTorch reads and writes
// them nine times where five do, and training on a processor waits for memory.
#include <ATen/Parallel.h>
#include <torch/extension.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

namespace {

using Raw = uint16_t;  // a bfloat16, the upper half of a float

inline float wide(Raw v) {
  const uint32_t bits = uint32_t(v) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}

inline Raw narrow(float f) {  // to nearest, ties to even; there are no NaNs to keep apart
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return Raw((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr int64_t kLanes = 16;
constexpr int64_t kWidest = 1024;
constexpr int64_t kLong = 512;  // values of a row, about: short loops cost more than what they do
constexpr int64_t kRows = 512;  // rows that are summed in float before they join a double

// Values lie (pixels, channels); rows of `period` values, a multiple of channels and lanes, are treated alike.
struct Shape {
  int64_t channels, period, rows, rest;
};

Shape shape_of(const at::Tensor& x) {
  const int64_t channels = x.size(1), least = std::lcm(channels, kLanes);
  const int64_t period = least * std::max<int64_t>(1, kLong / least);
  TORCH_CHECK(period <= kWidest && x.scalar_type() == at::kBFloat16 && x.is_contiguous(at::MemoryFormat::ChannelsLast));
  return {channels, period, x.numel() / period, x.numel() % period};
}

std::vector<float> repeated(const at::Tensor& values, int64_t period) {
  std::vector<float> out(period);
  const float* v = values.const_data_ptr<float>();
  for (int64_t i = 0; i < period; ++i) out[i] = v[i % values.numel()];
  return out;
}

// Adds what `term(value index, lane, sums)` gives over all values into two sums a channel.
template <typename Term>
void sums(const Shape& s, std::vector<double>& first, std::vector<double>& second, Term term) {
  first.assign(s.channels, 0), second.assign(s.channels, 0);
  const int64_t chunks = (s.rows + kRows - 1) / kRows;
  std::vector<double> parts(2 * s.period * (chunks + 1), 0.0);
  at::parallel_for(0, chunks + 1, 1, [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; ++chunk) {
      alignas(64) float a[kWidest] = {}, b[kWidest] = {};
      const int64_t stop = std::min(s.rows, (chunk + 1) * kRows);
      if (chunk < chunks)
        for (int64_t row = chunk * kRows; row < stop; ++row) term(row * s.period, s.period, a, b);
      else
        term(s.rows * s.period, s.rest, a, b);
      for (int64_t i = 0; i < s.period; ++i) parts[2 * s.period * chunk + i] = a[i], parts[2 * s.period * chunk + s.period + i] = b[i];
    }
  });
  for (int64_t chunk = 0; chunk <= chunks; ++chunk)
    for (int64_t i = 0; i < s.period; ++i) {
      first[i % s.channels] += parts[2 * s.period * chunk + i];
      second[i % s.channels] += parts[2 * s.period * chunk + s.period + i];
    }
}

template <typename Body>
void rows(const Shape& s, Body body) {
  at::parallel_for(0, s.rows, 4096, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row * s.period, s.period);
  });
  body(s.rows * s.period, s.rest);
}

// Returns y, and scale and shift of y = relu(x * scale + shift), mean and inverse deviation, one of each a channel.
std::vector<at::Tensor> forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, at::Tensor running_mean,
                                at::Tensor running_var, double momentum, double eps, bool relu) {
  const Shape s = shape_of(x);
  const Raw* in = reinterpret_cast<const Raw*>(x.const_data_ptr<at::BFloat16>());
  const std::vector<float> around = repeated(running_mean, s.period);  // keeps the sum of squares small
  std::vector<double> sum, squares;
  sums(s, sum, squares, [&](int64_t at, int64_t n, float* a, float* b) {
    const Raw* v = in + at;
    const float* c = around.data();
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const float d = wide(v[i]) - c[i];
      a[i] += d, b[i] += d * d;
    }
  });
  at::Tensor scale = at::empty_like(weight), shift = at::empty_like(weight), mean = at::empty_like(weight), inverse = at::empty_like(weight);
  const double n = double(x.numel() / s.channels);
  float *rm = running_mean.data_ptr<float>(), *rv = running_var.data_ptr<float>();
  for (int64_t c = 0; c < s.channels; ++c) {
    const double off = sum[c] / n, var = std::max(0.0, squares[c] / n - off * off), m = rm[c] + off, inv = 1 / std::sqrt(var + eps);
    const double g = weight.const_data_ptr<float>()[c] * inv;
    scale.data_ptr<float>()[c] = float(g), shift.data_ptr<float>()[c] = float(bias.const_data_ptr<float>()[c] - m * g);
    mean.data_ptr<float>()[c] = float(m), inverse.data_ptr<float>()[c] = float(inv);
    rm[c] += float(momentum * off), rv[c] += float(momentum * (var * n / std::max(1.0, n - 1) - rv[c]));
  }
  at::Tensor y = at::empty_like(x);
  Raw* out = reinterpret_cast<Raw*>(y.data_ptr<at::BFloat16>());
  const std::vector<float> k = repeated(scale, s.period), d = repeated(shift, s.period);
  const float least = relu ? 0.f : -std::numeric_limits<float>::infinity();
  rows(s, [&](int64_t at, int64_t count) {
    const Raw* v = in + at;
    Raw* o = out + at;
    const float *kk = k.data(), *dd = d.data();
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
      const float f = wide(v[i]) * kk[i] + dd[i];
      o[i] = narrow(f > least ? f : least);
    }
  });
  return {y, scale, shift, mean, inverse};
}

// Gradients by x, weight and bias.
std::vector<at::Tensor> backward(const at::Tensor& grad, const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                                 const at::Tensor& mean, const at::Tensor& inverse, bool relu) {
  const Shape s = shape_of(x);
  const at::Tensor given = grad.to(at::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  const Raw* in = reinterpret_cast<const Raw*>(x.const_data_ptr<at::BFloat16>());
  const Raw* dy = reinterpret_cast<const Raw*>(given.const_data_ptr<at::BFloat16>());
  const std::vector<float> k = repeated(scale, s.period), d = repeated(shift, s.period), m = repeated(mean, s.period);
  const float always = relu ? 0.f : std::numeric_limits<float>::infinity();
  std::vector<double> sum, product;
  sums(s, sum, product, [&](int64_t at, int64_t n, float* a, float* b) {
    const Raw *v = in + at, *g = dy + at;
    const float *kk = k.data(), *dd = d.data(), *mm = m.data();
#pragma GCC ivdep
    for (int64_t i = 0; i < n; ++i) {
      const float f = wide(v[i]), open = f * kk[i] + dd[i] + always > 0.f ? wide(g[i]) : 0.f;
      a[i] += open, b[i] += open * (f - mm[i]);
    }
  });
  at::Tensor by_weight = at::empty_like(mean), by_bias = at::empty_like(mean), slope = at::empty_like(mean), base = at::empty_like(mean);
  const double n = double(x.numel() / s.channels);
  for (int64_t c = 0; c < s.channels; ++c) {
    const double inv = inverse.const_data_ptr<float>()[c], g = scale.const_data_ptr<float>()[c], by = product[c] * inv;
    by_weight.data_ptr<float>()[c] = float(by), by_bias.data_ptr<float>()[c] = float(sum[c]);
    slope.data_ptr<float>()[c] = float(-g * by / n * inv);
    base.data_ptr<float>()[c] = float(-g * sum[c] / n + g * by / n * inv * mean.const_data_ptr<float>()[c]);
  }
  at::Tensor by_x = at::empty_like(x);
  Raw* out = reinterpret_cast<Raw*>(by_x.data_ptr<at::BFloat16>());
  const std::vector<float> p = repeated(slope, s.period), q = repeated(base, s.period);
  rows(s, [&](int64_t at, int64_t count) {
    const Raw *v = in + at, *g = dy + at;
    Raw* o = out + at;
    const float *kk = k.data(), *dd = d.data(), *pp = p.data(), *qq = q.data();
#pragma GCC ivdep
    for (int64_t i = 0; i < count; ++i) {
      const float f = wide(v[i]), open = f * kk[i] + dd[i] + always > 0.f ? wide(g[i]) : 0.f;
      o[i] = narrow(open * kk[i] + f * pp[i] + qq[i]);
    }
  });
  return {by_x, by_weight, by_bias};
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("forward", &forward);
  m.def("backward", &backward);
}
