// ef_preprocess_face: the turned crop of a face, sampled straight from camera planes, a row of the tensor at a time.
//
// A sample is bilinear, with weights of 1/128 of a pixel as in ef_preprocess; a pixel of the tensor is the mean of as many of them as keep
// neighbours at most two pixels of the frame apart, rounded once. Positions are integers of 2^-24 pixels, so any CPU gives the same bits.
#include "crop.h"
#include "fault.h"
#include "planes.h"
#include "writer.h"

namespace ef {
namespace {

constexpr int kMostSamples = 16;  // a side, of one pixel of the tensor: the means of squares fit 32 bits
constexpr int kFraction = 24;     // bits of a position

// Components that lie in one plane, or in planes of one size, and are sampled at the same places.
struct Group {
  const uint8_t* origins[3];
  int channels;
  ptrdiff_t stride;
  int step;              // bytes from one pixel to the next
  int half_x, half_y;    // 1: holds every second pixel
  int64_t width, height;
  int outside;           // what is seen beyond the border

  // Adds a sample, times 2^14, to each component's sum.
  void add(int64_t x, int64_t y, uint32_t* sums) const {
    const int64_t qx = at(x, half_x), qy = at(y, half_y), ix = qx >> 7, iy = qy >> 7;
    const uint32_t fx = static_cast<uint32_t>(qx & 127), fy = static_cast<uint32_t>(qy & 127);
    if (ix >= 0 && iy >= 0 && ix + 1 < width && iy + 1 < height) {
      const ptrdiff_t offset = static_cast<ptrdiff_t>(iy) * stride + static_cast<ptrdiff_t>(ix) * step;
      for (int c = 0; c < channels; ++c) {
        const uint8_t* p = origins[c] + offset;
        sums[c] += blend(p[0], p[step], p[stride], p[stride + step], fx, fy);
      }
      return;
    }
    for (int c = 0; c < channels; ++c) sums[c] += blend(pixel(c, ix, iy), pixel(c, ix + 1, iy), pixel(c, ix, iy + 1), pixel(c, ix + 1, iy + 1), fx, fy);
  }

 private:
  // 1/128 of a pixel of the plane, from the centre of its first, rounded half up.
  static int64_t at(int64_t position, int half) {
    const int shift = kFraction - 7 + half;
    return ((position + (int64_t{1} << (shift - 1))) >> shift) - 64;
  }

  static uint32_t blend(uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t fx, uint32_t fy) {
    return (a * (128 - fx) + b * fx) * (128 - fy) + (c * (128 - fx) + d * fx) * fy;
  }

  uint32_t pixel(int c, int64_t x, int64_t y) const {
    if (x < 0 || y < 0 || x >= width || y >= height) return static_cast<uint32_t>(outside);
    return origins[c][static_cast<ptrdiff_t>(y) * stride + static_cast<ptrdiff_t>(x) * step];
  }
};

int groups_of(const ef_image& image, const Format& format, Group groups[2]) {
  const uint8_t* const* p = image.planes;
  const int64_t w = image.width, h = image.height, half_w = (w + 1) / 2, half_h = (h + 1) / 2;
  const int grey = image.range == EF_RANGE_FULL ? 128 : 126;  // luma of the pixel 128
  const ptrdiff_t s = image.strides[0];
  switch (image.format) {
    case EF_FORMAT_RGB: groups[0] = {{p[0], p[0] + 1, p[0] + 2}, 3, s, 3, 0, 0, w, h, 128}; break;
    case EF_FORMAT_BGR: groups[0] = {{p[0] + 2, p[0] + 1, p[0]}, 3, s, 3, 0, 0, w, h, 128}; break;
    case EF_FORMAT_GRAY: groups[0] = {{p[0], nullptr, nullptr}, 1, s, 1, 0, 0, w, h, 128}; break;
    case EF_FORMAT_YUYV:
      groups[0] = {{p[0], nullptr, nullptr}, 1, s, 2, 0, 0, w, h, grey};
      groups[1] = {{p[0] + 1, p[0] + 3, nullptr}, 2, s, 4, 1, 0, half_w, h, 128};
      break;
    case EF_FORMAT_UYVY:
      groups[0] = {{p[0] + 1, nullptr, nullptr}, 1, s, 2, 0, 0, w, h, grey};
      groups[1] = {{p[0], p[0] + 2, nullptr}, 2, s, 4, 1, 0, half_w, h, 128};
      break;
    default: {
      const bool v_first = image.format == EF_FORMAT_NV21;
      groups[0] = {{p[0], nullptr, nullptr}, 1, s, 1, 0, 0, w, h, grey};
      groups[1] = {{p[1] + (v_first ? 1 : 0), p[1] + (v_first ? 0 : 1), nullptr}, 2, image.strides[1], 2, 1, 1, half_w, half_h, 128};
    }
  }
  return format.yuv ? 2 : 1;
}

// I420 keeps U and V in planes with strides of their own: three groups.
int planar_groups(const ef_image& image, Group groups[3]) {
  const int64_t w = image.width, h = image.height;
  groups[0] = {{image.planes[0], nullptr, nullptr}, 1, image.strides[0], 1, 0, 0, w, h, image.range == EF_RANGE_FULL ? 128 : 126};
  for (int i = 1; i < 3; ++i) groups[i] = {{image.planes[i], nullptr, nullptr}, 1, image.strides[i], 1, 1, 1, (w + 1) / 2, (h + 1) / 2, 128};
  return 3;
}

int64_t fixed(double pixels) { return static_cast<int64_t>(round_even(pixels * (int64_t{1} << kFraction))); }

void sample(const ef_context& context, const ef_image& image, const ef_crop& crop, const ef_input& input, const Format& format) {
  Group groups[3];
  const int count = image.format == EF_FORMAT_I420 ? planar_groups(image, groups) : groups_of(image, format, groups);
  const int size = static_cast<int>(input.width);
  const double* m = crop.m;
  const double side = __builtin_sqrt(m[0] * m[0] + m[3] * m[3]);
  int n = 1;
  while (n < kMostSamples && side > 2.0 * n * size) ++n;
  const double steps = 2.0 * n * size;  // half the way from one sample to the next
  const int64_t xx = fixed(m[0] / steps), xy = fixed(m[1] / steps), yx = fixed(m[3] / steps), yy = fixed(m[4] / steps);
  const int64_t x0 = fixed(m[2] - (m[0] + m[1]) / 2), y0 = fixed(m[5] - (m[3] + m[4]) / 2);
  const uint32_t divisor = static_cast<uint32_t>(n * n) << 14;

  const Writer writer(context, input);
  uint8_t* const* seen = context.scratch.component;
  uint8_t* rgb[3] = {seen[3], seen[4], seen[5]};
  if (!format.yuv)
    for (int c = 0; c < 3; ++c) rgb[c] = seen[image.format == EF_FORMAT_GRAY ? 0 : c];
  const YuvCoefficients coefficients = coefficients_of(image.matrix, image.range);
  for (int i = 0; i < size; ++i) {
    for (int j = 0; j < size; ++j) {
      uint32_t sums[3] = {0, 0, 0};
      for (int t = 0; t < n; ++t)
        for (int s = 0; s < n; ++s) {
          const int64_t u = 2 * (int64_t{j} * n + s) + 1, v = 2 * (int64_t{i} * n + t) + 1;
          const int64_t x = x0 + xx * u + xy * v, y = y0 + yx * u + yy * v;
          uint32_t* sum = sums;
          for (int g = 0; g < count; ++g) {
            groups[g].add(x, y, sum);
            sum += groups[g].channels;
          }
        }
      for (int c = 0; c < 3; ++c) seen[c][j] = static_cast<uint8_t>((2 * sums[c] + divisor) / (2 * divisor));
    }
    if (format.yuv) context.kernels->yuv_to_rgb(seen[0], seen[1], seen[2], size, coefficients, rgb[0], rgb[1], rgb[2]);
    const bool swap = input.color == EF_COLOR_BGR;
    const uint8_t* const ordered[3] = {rgb[swap ? 2 : 0], rgb[1], rgb[swap ? 0 : 2]};
    writer.write(ordered, size, 0, static_cast<size_t>(i));
  }
}

}  // namespace
}  // namespace ef

extern "C" ef_status ef_preprocess_face(ef_context* context, const ef_image* image, const ef_crop* crop, const ef_input* input, ef_transform* transform) {
  if (!context || !image) return ef::fault(EF_ERROR_NULL, context ? "image" : "context");
  if (!crop || !input) return ef::fault(EF_ERROR_NULL, crop ? "input" : "crop");
  if (transform && transform->struct_size < sizeof(ef_transform)) return ef::fault(EF_ERROR_STRUCT_SIZE, "transform.struct_size");
  ef::Format format;
  ef::Rect unused;
  if (const ef_status status = ef::check_call(*context, *image, *input, &format, &unused)) return status;
  if (const ef_status status = ef::check_crop(*crop)) return status;
  if (input->width != input->height) return ef::fault(EF_ERROR_SIZE, "input.height");
  ef::sample(*context, *image, *crop, *input, format);
  if (transform) {
    const double* m = crop->m;
    const double side = input->width;
    const double tensor[6] = {m[0] / side, m[1] / side, m[2] - (m[0] + m[1]) / 2, m[3] / side, m[4] / side, m[5] - (m[3] + m[4]) / 2};
    for (int i = 0; i < 6; ++i) transform->m[i] = tensor[i];
    transform->timestamp_ns = image->timestamp_ns;
  }
  return EF_OK;
}
