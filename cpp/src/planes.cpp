#include "planes.h"

#include "fault.h"
#include "memory.h"

namespace ef {
namespace {

uint64_t row_bytes(uint32_t format, int plane, uint32_t width) {
  const uint64_t half = (static_cast<uint64_t>(width) + 1) / 2;
  switch (format) {
    case EF_FORMAT_BGR:
    case EF_FORMAT_RGB: return 3ull * width;
    case EF_FORMAT_NV12:
    case EF_FORMAT_NV21: return plane == 0 ? width : 2 * half;
    case EF_FORMAT_I420: return plane == 0 ? width : half;
    case EF_FORMAT_YUYV:
    case EF_FORMAT_UYVY: return 4 * half;
    default: return width;
  }
}

}  // namespace

bool format_of(uint32_t format, Format* out) {
  switch (format) {
    case EF_FORMAT_BGR:
    case EF_FORMAT_RGB:
    case EF_FORMAT_GRAY: *out = {1, false, 1, 1}; return true;
    case EF_FORMAT_NV12:
    case EF_FORMAT_NV21: *out = {2, true, 2, 2}; return true;
    case EF_FORMAT_I420: *out = {3, true, 2, 2}; return true;
    case EF_FORMAT_YUYV:
    case EF_FORMAT_UYVY: *out = {1, true, 2, 1}; return true;
    default: return false;
  }
}

YuvCoefficients coefficients_of(uint32_t matrix, uint32_t range) {
  // Kr, Kb of the standard; full range gains 2 (1 - Kr) and so on; limited range widens luma by 255/219 and chroma by 255/224.
  const double kr = matrix == EF_MATRIX_BT709 ? 0.2126 : 0.299, kb = matrix == EF_MATRIX_BT709 ? 0.0722 : 0.114, kg = 1 - kr - kb;
  const double luma = range == EF_RANGE_FULL ? 1 : 255.0 / 219, chroma = range == EF_RANGE_FULL ? 1 : 255.0 / 224;
  YuvCoefficients k;
  k.y_offset = range == EF_RANGE_FULL ? 0 : 16;
  k.y_gain = static_cast<int16_t>(luma * 16384 + 0.5);
  k.red_v = static_cast<int16_t>(2 * (1 - kr) * chroma * 8192 + 0.5);
  k.green_u = static_cast<int16_t>(2 * (1 - kb) * kb / kg * chroma * 8192 + 0.5);
  k.green_v = static_cast<int16_t>(2 * (1 - kr) * kr / kg * chroma * 8192 + 0.5);
  k.blue_u = static_cast<int16_t>(2 * (1 - kb) * chroma * 8192 + 0.5);
  return k;
}

ef_status check_call(const ef_context& context, const ef_image& image, const ef_input& input, Format* format, Rect* crop) {
  if (image.struct_size < sizeof(ef_image)) return fault(EF_ERROR_STRUCT_SIZE, "image.struct_size");
  if (input.struct_size < sizeof(ef_input)) return fault(EF_ERROR_STRUCT_SIZE, "input.struct_size");
  if (!format_of(image.format, format)) return fault(EF_ERROR_ARGUMENT, "image.format");
  if (image.matrix > EF_MATRIX_BT709) return fault(EF_ERROR_ARGUMENT, "image.matrix");
  if (image.range > EF_RANGE_FULL) return fault(EF_ERROR_ARGUMENT, "image.range");
  if (image.rotation > 270 || image.rotation % 90) return fault(EF_ERROR_ARGUMENT, "image.rotation");
  if (input.dtype > EF_DTYPE_FLOAT32) return fault(EF_ERROR_ARGUMENT, "input.dtype");
  if (input.layout > EF_LAYOUT_NCHW) return fault(EF_ERROR_ARGUMENT, "input.layout");
  if (input.color > EF_COLOR_BGR) return fault(EF_ERROR_ARGUMENT, "input.color");
  if (input.fit > EF_FIT_STRETCH) return fault(EF_ERROR_ARGUMENT, "input.fit");
  if (input.filter > EF_FILTER_AREA) return fault(EF_ERROR_ARGUMENT, "input.filter");
  if (!(input.scale >= 0) || input.scale > 1e6f) return fault(EF_ERROR_ARGUMENT, "input.scale");
  if (!input.data) return fault(EF_ERROR_NULL, "input.data");
  if (input.dtype == EF_DTYPE_FLOAT32 && reinterpret_cast<uintptr_t>(input.data) % sizeof(float)) return fault(EF_ERROR_ARGUMENT, "input.data");
  if (image.width < 1 || image.width > context.max_width) return fault(EF_ERROR_SIZE, "image.width");
  if (image.height < 1 || image.height > context.max_height) return fault(EF_ERROR_SIZE, "image.height");
  if (input.width < 1 || input.width > context.tensor_width) return fault(EF_ERROR_SIZE, "input.width");
  if (input.height < 1 || input.height > context.tensor_height) return fault(EF_ERROR_SIZE, "input.height");
  const bool packed = image.format == EF_FORMAT_YUYV || image.format == EF_FORMAT_UYVY;
  if (packed && image.width % 2) return fault(EF_ERROR_SIZE, "image.width");
  const uint32_t* c = image.crop;
  *crop = {c[0], c[1], c[2], c[3]};
  if (!(c[0] | c[1] | c[2] | c[3])) *crop = {0, 0, image.width, image.height};
  if (!crop->width || !crop->height || crop->width > image.width || crop->height > image.height || crop->x > image.width - crop->width ||
      crop->y > image.height - crop->height)
    return fault(EF_ERROR_SIZE, "image.crop");
  for (int p = 0; p < format->planes; ++p) {
    if (!image.planes[p]) return fault(EF_ERROR_NULL, "image.planes");
    const ptrdiff_t stride = image.strides[p];
    const uint64_t row = row_bytes(image.format, p, image.width);
    if (stride == PTRDIFF_MIN || static_cast<uint64_t>(stride < 0 ? -stride : stride) < row) return fault(EF_ERROR_STRIDE, "image.strides");
    const uint32_t rows = p > 0 ? (image.height + 1) / 2 : image.height;
    const Extent extents[] = {{rows, stride}, {static_cast<uint32_t>(row), 1}};
    if (!reachable(image.planes[p], 1, extents)) return fault(EF_ERROR_STRIDE, "image.strides");
  }
  return EF_OK;
}

}  // namespace ef
