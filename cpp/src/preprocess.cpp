// ef_preprocess: one pass from camera planes to the tensor, a row at a time.
//
// Each component (luma, chroma, or the interleaved colours) is resampled straight to the output grid: two source rows are blended into
// 16-bit elements, those are resampled horizontally, and only then are colours converted, at the output's size. Weights are sevenths bits
// (1/128 of a pixel) and nothing is rounded between the two directions, so any order of evaluation gives the same integer.
#include "context.h"
#include "fault.h"
#include "geometry.h"
#include "planes.h"
#include "writer.h"

namespace ef {
namespace {

enum { kLumaX, kLumaY, kChromaX, kChromaY };

// What a kernel sees of a plane: elements of `channels` interleaved components, every `step` bytes from `origin`.
struct Component {
  const uint8_t* origin;  // first byte of the first row, at the first pixel of the crop
  ptrdiff_t stride;
  int channels;
  int step;
  int channel_offset[3];  // bytes, within a step
  const Axis* x;
  const Axis* y;
  int taps;               // kLumaX or kChromaX
  int64_t cached[2];      // which derived rows the two slots hold
  uint8_t* slots[2];
};

class Pass {
 public:
  Pass(ef_context& context, const ef_image& image, const ef_input& input, const Geometry& geometry, const Format& format)
      : kernels_(*context.kernels), scratch_(context.scratch), image_(image), geometry_(geometry), format_(format), writer_(context, input), swap_(input.color == EF_COLOR_BGR) {
    const bool area = input.filter == EF_FILTER_AREA;
    const bool packed = image.format == EF_FORMAT_YUYV || image.format == EF_FORMAT_UYVY;
    const bool colour = image.format == EF_FORMAT_BGR || image.format == EF_FORMAT_RGB;
    set_axes(kLumaX, 1, 1, area, colour ? 3 : 1);
    if (format.yuv) set_axes(kChromaX, format.subsample_x, format.subsample_y, area, image.format == EF_FORMAT_I420 ? 1 : 2);
    split_ = packed && axes_[kLumaX].box == 1 && axes_[kLumaY].box == 1;
    const bool luma_first = image.format == EF_FORMAT_YUYV;
    if (colour) {
      add(0, 3, 3, {0, 1, 2}, kLumaX);
    } else if (packed) {
      add(0, 1, 2, {luma_first ? 0 : 1, 0, 0}, kLumaX);
      add(0, 2, 4, {luma_first ? 1 : 0, luma_first ? 3 : 2, 0}, kChromaX);
    } else {
      add(0, 1, 1, {0, 0, 0}, kLumaX);
      if (format.planes == 2) add(1, 2, 2, {0, 1, 0}, kChromaX);
      if (format.planes == 3) add(1, 1, 1, {0, 0, 0}, kChromaX), add(2, 1, 1, {0, 0, 0}, kChromaX);
    }
    if (format.yuv) coefficients_ = coefficients_of(image.matrix, image.range);
  }

  void run() {
    writer_.border(geometry_);
    const bool turned = geometry_.rotation % 180 != 0;
    const int width = static_cast<int>(geometry_.width), height = static_cast<int>(geometry_.height);
    uint8_t* rgb[3];
    for (int i = 0; i < height; ++i) {
      const int block_row = i % kBlockRows;
      for (int c = 0; c < 3; ++c) rgb[c] = turned ? scratch_.staged[c] + static_cast<size_t>(block_row) * width : scratch_.component[3 + c];
      const bool gray = colour_row(i, rgb);
      if (turned) {
        if (block_row == kBlockRows - 1 || i == height - 1) write_columns(i - block_row, block_row + 1, gray);
        continue;
      }
      if (geometry_.rotation == 180)
        for (int c = 0; c < (gray ? 1 : 3); ++c) kernels_.reverse(rgb[c], width);
      const uint32_t y = geometry_.rotation == 180 ? static_cast<uint32_t>(height - 1 - i) : static_cast<uint32_t>(i);
      write(rgb, width, geometry_.left, geometry_.top + y, gray);
    }
  }

 private:
  struct Offsets {
    int at[3];
  };

  void set_axes(int axis, int subsample_x, int subsample_y, bool area, int step) {
    const Rect& c = geometry_.crop;
    axes_[axis] = Axis::of(c.x, c.width, subsample_x, geometry_.width, area, step, scratch_.offsets[axis], scratch_.weights[axis]);
    axes_[axis + 1] = Axis::of(c.y, c.height, subsample_y, geometry_.height, area, 1, scratch_.offsets[axis + 1], scratch_.weights[axis + 1]);
  }

  void add(int plane, int channels, int step, Offsets offsets, int axis) {
    Component& c = components_[count_];
    c.channels = channels;
    c.step = step;
    for (int i = 0; i < 3; ++i) c.channel_offset[i] = offsets.at[i];
    c.x = &axes_[axis];
    c.y = &axes_[axis + 1];
    c.taps = axis;
    c.stride = image_.strides[plane];
    c.origin = image_.planes[plane] + static_cast<ptrdiff_t>(c.y->first) * c.stride + static_cast<ptrdiff_t>(c.x->first) * step;
    for (int i = 0; i < 2; ++i) c.cached[i] = -1, c.slots[i] = scratch_.derived[count_][i];
    ++count_;
  }

  // The mean of box x box pixels for each box of a row of boxes, rounded half up.
  void shrink(const Component& c, int64_t index, uint8_t* out) {
    const uint32_t kx = c.x->box, ky = c.y->box, n = kx * ky;
    const int bytes = static_cast<int>((c.x->boxes * kx - 1) * c.step) + c.channel_offset[c.channels - 1] + 1;
    uint16_t* sums = scratch_.blended;
    for (int i = 0; i < bytes; ++i) sums[i] = 0;
    for (uint32_t t = 0; t < ky; ++t) kernels_.accumulate(c.origin + (index * ky + t) * c.stride, bytes, sums);
    const uint64_t reciprocal = ((1ull << 32) + n - 1) / n;  // exact for sums below 2^32 / n, and n <= 4096
    for (int channel = 0; channel < c.channels; ++channel) {
      const uint16_t* p = sums + c.channel_offset[channel];
      for (uint32_t j = 0; j < c.x->boxes; ++j) {
        uint32_t sum = n / 2;
        for (uint32_t t = 0; t < kx; ++t, p += c.step) sum += *p;
        out[j * c.channels + channel] = static_cast<uint8_t>((sum * reciprocal) >> 32);
      }
    }
  }

  // Row `index` of the component's boxes, interleaved by its channels.
  const uint8_t* row(Component& c, int64_t index) {
    const bool shrunk = c.x->box > 1 || c.y->box > 1;
    const bool packed = c.step != c.channels;
    if (!shrunk && !packed) return c.origin + index * c.stride;
    const int slot = static_cast<int>(index & 1);
    const ptrdiff_t odd = split_ && c.taps == kLumaX ? static_cast<ptrdiff_t>(geometry_.crop.x & 1) : 0;
    if (c.cached[slot] != index) {
      if (split_) {
        Component& y = components_[0];
        Component& uv = components_[1];
        const auto split = image_.format == EF_FORMAT_YUYV ? kernels_.split_yuyv : kernels_.split_uyvy;
        split(uv.origin + index * uv.stride, static_cast<int>(uv.x->boxes), y.slots[slot], uv.slots[slot]);
        y.cached[slot] = uv.cached[slot] = index;
      } else {
        shrink(c, index, c.slots[slot]);
        c.cached[slot] = index;
      }
    }
    return c.slots[slot] + odd;
  }

  // As the direct kernels, without a byte more than is needed: a tap of weight 0 may lie past the row.
  static uint8_t last_pixel(const uint8_t* a, const uint8_t* b, int w, Taps taps, int i, int channels, int channel) {
    const int32_t near = taps.offset[i] + channel, far = taps.weights[i] >> 16 ? near + channels : near;
    const uint32_t first = static_cast<uint32_t>(a[near] * (128 - w) + b[near] * w), second = static_cast<uint32_t>(a[far] * (128 - w) + b[far] * w);
    return static_cast<uint8_t>((first * (taps.weights[i] & 0xffff) + second * (taps.weights[i] >> 16) + 8192) >> 14);
  }

  // Output row i of a component into `out`, one array for each of its channels.
  void resample(Component& c, int i, uint8_t* const out[3]) {
    const int64_t index = scratch_.offsets[c.taps + 1][i];
    const int weight = static_cast<int>(scratch_.weights[c.taps + 1][i] >> 16);
    const uint8_t* a = row(c, index);
    const uint8_t* b = weight ? row(c, index + 1) : a;
    const int n = static_cast<int>(geometry_.width);
    if (c.x->half && weight == 64) {
      if (c.channels == 1) kernels_.half1(a, b, n, out[0]);
      if (c.channels == 2) kernels_.half2(a, b, n, out[0], out[1]);
      if (c.channels == 3) kernels_.half3(a, b, n, out[0], out[1], out[2]);
      return;
    }
    if (c.x->same && weight == 0 && c.channels < 3) {
      if (c.channels == 1) {
        kernels_.copy_flip(a, n, 0, out[0]);
      } else {
        kernels_.split_yuyv(a, n / 2, out[0], out[1]);  // pairs of chroma split as pairs of luma and chroma do
        if (n % 2) out[0][n - 1] = a[2 * n - 2], out[1][n - 1] = a[2 * n - 1];
      }
      return;
    }
    const Taps taps = {scratch_.offsets[c.taps], scratch_.weights[c.taps]};
    if (c.channels > 1 && c.x->boxes >= 2 * geometry_.width) {
      // All but the last pixels, whose loads would leave the row.
      const int32_t bytes = static_cast<int32_t>(c.x->boxes) * c.channels;
      int safe = n;
      while (safe > 0 && taps.offset[safe - 1] + (c.channels == 2 ? 4 : 8) > bytes) --safe;
      if (c.channels == 2)
        kernels_.direct2(a, b, weight, taps, safe, out[0], out[1]);
      else
        kernels_.direct3(a, b, weight, taps, safe, out[0], out[1], out[2]);
      for (int j = safe; j < n; ++j)
        for (int channel = 0; channel < c.channels; ++channel) out[channel][j] = last_pixel(a, b, weight, taps, j, c.channels, channel);
      return;
    }
    kernels_.blend_rows(a, b, weight, static_cast<int>(c.x->boxes) * c.channels, scratch_.blended);
    if (c.channels == 1) kernels_.resample1(scratch_.blended, taps, n, out[0]);
    if (c.channels == 2) kernels_.resample2(scratch_.blended, taps, n, out[0], out[1]);
    if (c.channels == 3) kernels_.resample3(scratch_.blended, taps, n, out[0], out[1], out[2]);
  }

  // Row i of the resized picture as the camera sees it, into rgb[0..2] (for gray frames only rgb[0]; returns true then).
  bool colour_row(int i, uint8_t* const rgb[3]) {
    if (!format_.yuv) {
      uint8_t* const bgr[3] = {rgb[2], rgb[1], rgb[0]};
      resample(components_[0], i, image_.format == EF_FORMAT_BGR ? bgr : rgb);
      return image_.format == EF_FORMAT_GRAY;
    }
    uint8_t* const* yuv = scratch_.component;
    uint8_t* const y[3] = {yuv[0], nullptr, nullptr};
    resample(components_[0], i, y);
    if (count_ == 2) {
      const bool v_first = image_.format == EF_FORMAT_NV21;
      uint8_t* const uv[3] = {yuv[v_first ? 2 : 1], yuv[v_first ? 1 : 2], nullptr};
      resample(components_[1], i, uv);
    } else {
      uint8_t* const u[3] = {yuv[1], nullptr, nullptr};
      uint8_t* const v[3] = {yuv[2], nullptr, nullptr};
      resample(components_[1], i, u);
      resample(components_[2], i, v);
    }
    kernels_.yuv_to_rgb(yuv[0], yuv[1], yuv[2], static_cast<int>(geometry_.width), coefficients_, rgb[0], rgb[1], rgb[2]);
    return false;
  }

  void write(uint8_t* const rgb[3], int n, size_t x, size_t y, bool gray) const {
    const uint8_t* const ordered[3] = {rgb[gray ? 0 : swap_ ? 2 : 0], rgb[gray ? 0 : 1], rgb[gray ? 0 : swap_ ? 0 : 2]};
    writer_.write(ordered, n, x, y);
  }

  // A quarter turn makes columns of the staged rows [first, first + rows) into pieces of upright rows.
  void write_columns(int first, int rows, bool gray) {
    const int width = static_cast<int>(geometry_.width), height = static_cast<int>(geometry_.height);
    const bool clockwise = geometry_.rotation == 90;
    for (int c = 0; c < (gray ? 1 : 3); ++c) {
      const uint8_t* in = scratch_.staged[c] + (clockwise ? static_cast<ptrdiff_t>(rows - 1) * width : 0);
      kernels_.transpose(in, clockwise ? -width : width, width, rows, scratch_.segment[c], kBlockRows);
    }
    const int x = clockwise ? height - first - rows : first;
    for (int j = 0; j < width; ++j) {
      const size_t at = static_cast<size_t>(j) * kBlockRows;
      uint8_t* const rgb[3] = {scratch_.segment[0] + at, scratch_.segment[1] + at, scratch_.segment[2] + at};
      write(rgb, rows, geometry_.left + static_cast<size_t>(x), geometry_.top + static_cast<size_t>(clockwise ? j : width - 1 - j), gray);
    }
  }

  const Kernels& kernels_;
  const Scratch& scratch_;
  const ef_image& image_;
  const Geometry& geometry_;
  const Format& format_;
  Writer writer_;
  bool swap_;
  bool split_ = false;
  Axis axes_[4];
  Component components_[3];
  int count_ = 0;
  YuvCoefficients coefficients_;
};

}  // namespace
}  // namespace ef

extern "C" ef_status ef_preprocess(ef_context* context, const ef_image* image, const ef_input* input, ef_transform* transform) {
  if (!context || !image || !input) return ef::fault(EF_ERROR_NULL, !context ? "context" : !image ? "image" : "input");
  if (transform && transform->struct_size < sizeof(ef_transform)) return ef::fault(EF_ERROR_STRUCT_SIZE, "transform.struct_size");
  ef::Format format;
  ef::Rect crop;
  if (const ef_status status = ef::check_call(*context, *image, *input, &format, &crop)) return status;
  const ef::Geometry geometry = ef::Geometry::of(crop, image->rotation, input->width, input->height, input->fit == EF_FIT_LETTERBOX);
  ef::Pass(*context, *image, *input, geometry, format).run();
  if (transform) {
    geometry.transform(transform->m);
    transform->timestamp_ns = image->timestamp_ns;
  }
  return EF_OK;
}
