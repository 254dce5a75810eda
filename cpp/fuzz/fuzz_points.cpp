// ef_face_crop, ef_preprocess_face and ef_decode_points with anything: refused, or every kernel table writes the same tensor without touching a
// byte outside the planes and the tensor, and every number that comes out is finite.
#include <float.h>

#include "bytes.h"
#include "edgeface/edgeface.h"

namespace {

constexpr uint32_t kFrame = 120, kTensor = 40;

ef_context* create(ef_isa isa) {
  ef_config config = {};
  config.struct_size = sizeof config;
  config.max_width = config.max_height = kFrame;
  config.tensor_width = config.tensor_height = kTensor;
  config.isa = isa;
  ef_context* context = nullptr;
  ef_create(&config, &context);
  return context;
}

bool finite(double v) { return v >= -FLT_MAX && v <= FLT_MAX; }

// A number near the frame, now and then any.
float place(Bytes& bytes) { return bytes.take<uint8_t>() == 255 ? bytes.take<float>() : static_cast<float>(bytes.take<int16_t>()) / 100; }

void pixels(Bytes& bytes, const ef_crop& crop) {
  static ef_context* const contexts[] = {create(EF_ISA_SCALAR), create(EF_ISA_AVX2), create(EF_ISA_NEON)};
  ef_image image = {};
  image.struct_size = sizeof image;
  image.format = bytes.number(1, 8);
  image.width = bytes.number(1, kFrame);
  image.height = bytes.number(1, kFrame);
  image.range = bytes.number(0, 1);
  ef_input input = {};
  input.struct_size = sizeof input;
  input.width = input.height = bytes.number(1, kTensor);
  input.dtype = bytes.number(0, 2);
  input.layout = bytes.number(0, 1);
  const auto claimed = [](uint32_t side) -> size_t { return side >= 1 && side <= kFrame ? side : 1; };
  const size_t w = claimed(image.width), h = claimed(image.height), half_w = (w + 1) / 2, half_h = (h + 1) / 2;
  size_t rows[3] = {h, half_h, half_h}, lengths[3] = {w, half_w, half_w};
  switch (image.format) {
    case EF_FORMAT_BGR:
    case EF_FORMAT_RGB: lengths[0] = 3 * w; break;
    case EF_FORMAT_NV12:
    case EF_FORMAT_NV21: lengths[1] = 2 * half_w; break;
    case EF_FORMAT_YUYV:
    case EF_FORMAT_UYVY: lengths[0] = 2 * w; break;
    default: break;
  }
  uint8_t* blocks[3];
  for (int p = 0; p < 3; ++p) {
    const size_t stride = lengths[p] + bytes.take<uint8_t>() % 20;
    blocks[p] = bytes.block(stride * (rows[p] - 1) + lengths[p]);
    const bool upward = bytes.take<uint8_t>() & 1;
    image.planes[p] = blocks[p] + (upward ? stride * (rows[p] - 1) : 0);
    image.strides[p] = upward ? -static_cast<ptrdiff_t>(stride) : static_cast<ptrdiff_t>(stride);
  }
  const size_t n = input.width <= kTensor ? size_t{3} * (input.dtype == EF_DTYPE_FLOAT32 ? 4 : 1) * input.width * input.width : 1;
  uint8_t* first = nullptr;
  for (ef_context* context : contexts) {
    if (!context) continue;
    uint8_t* out = static_cast<uint8_t*>(malloc(n));
    memset(out, first ? 0xaa : 0x55, n);
    input.data = out;
    const ef_status status = ef_preprocess_face(context, &image, &crop, &input, nullptr);
    if (first && status == EF_OK && memcmp(out, first, n)) abort();
    if (!first) first = out;
    else free(out);
  }
  free(first);
  for (uint8_t* b : blocks) free(b);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  ef_face face = {};
  for (float& v : face.box) v = place(bytes);
  for (auto& p : face.landmarks) p[0] = place(bytes), p[1] = place(bytes);
  for (float& v : face.rotation) v = place(bytes) / 300;
  ef_crop crop = {};
  crop.struct_size = sizeof crop;
  const float margin = bytes.take<uint8_t>() & 1 ? bytes.take<float>() : 0;
  if (ef_face_crop(&face, margin, &crop) == EF_OK) {
    for (const double v : crop.m)
      if (!finite(v)) abort();
    if (!(crop.face_width > 0)) abort();
  }
  if (bytes.take<uint8_t>() & 1) crop.m[bytes.take<uint8_t>() % 6] = bytes.take<double>();
  pixels(bytes, crop);

  ef_points_output outputs[EF_POINTS_OUTPUTS] = {};
  constexpr size_t kCounts[EF_POINTS_OUTPUTS] = {136, 68, 68, 68, 9};
  uint8_t* blocks[EF_POINTS_OUTPUTS];
  for (uint32_t i = 0; i < EF_POINTS_OUTPUTS; ++i) {
    ef_points_output& o = outputs[i];
    o.struct_size = sizeof o;
    o.role = bytes.take<uint8_t>() < 250 ? i : bytes.number(0, 5);
    o.dtype = bytes.number(0, 2);
    o.scale = bytes.take<uint8_t>() & 1 ? bytes.take<float>() : 0.05f;
    o.zero_point = bytes.take<uint8_t>() & 1 ? bytes.take<int32_t>() : 0;
    blocks[i] = bytes.block((o.role < EF_POINTS_OUTPUTS ? kCounts[o.role] : 1) * (o.dtype == EF_DTYPE_FLOAT32 ? 4 : 1));
    o.data = blocks[i];
  }
  ef_points points = {};
  points.struct_size = sizeof points;
  if (ef_decode_points(outputs, EF_POINTS_OUTPUTS, &crop, &points) == EF_OK) {
    const float* numbers = &points.points[0][0];
    for (size_t i = 0; i < (sizeof points - offsetof(ef_points, points)) / sizeof(float); ++i)
      if (!finite(numbers[i])) abort();
  }
  for (uint8_t* b : blocks) free(b);
  return 0;
}
