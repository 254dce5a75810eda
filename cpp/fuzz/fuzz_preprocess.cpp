// ef_preprocess with any description of a frame and a tensor. Either it is refused, or every kernel table writes the same tensor without
// touching a byte outside the planes and the tensor.
#include "bytes.h"
#include "edgeface/edgeface.h"

namespace {

constexpr uint32_t kFrame = 300, kTensor = 100;

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ef_context* const contexts[] = {create(EF_ISA_SCALAR), create(EF_ISA_AVX2), create(EF_ISA_NEON)};
  Bytes bytes(data, size);
  ef_image image = {};
  image.struct_size = bytes.take<uint8_t>() == 255 ? bytes.take<uint8_t>() : sizeof image;
  image.format = bytes.number(1, 8);
  image.width = bytes.number(1, kFrame);
  image.height = bytes.number(1, kFrame);
  image.matrix = bytes.number(0, 1);
  image.range = bytes.number(0, 1);
  image.rotation = 90 * bytes.number(0, 3);
  if (bytes.take<uint8_t>() & 1)
    for (uint32_t& c : image.crop) c = bytes.number(0, kFrame);
  ef_input input = {};
  input.struct_size = sizeof input;
  input.width = bytes.number(1, kTensor);
  input.height = bytes.number(1, kTensor);
  input.dtype = bytes.number(0, 2);
  input.layout = bytes.number(0, 1);
  input.color = bytes.number(0, 1);
  input.fit = bytes.number(0, 1);
  input.filter = bytes.number(0, 1);
  if (bytes.take<uint8_t>() & 1) input.scale = bytes.take<float>(), input.zero_point = bytes.take<int32_t>();

  // Memory for what the frame claims to be; an empty one and claims beyond kFrame must be refused before anything is read.
  const auto claimed = [](uint32_t side) -> size_t { return side >= 1 && side <= kFrame ? side : 1; };
  const size_t w = claimed(image.width), h = claimed(image.height);
  const size_t half_w = (w + 1) / 2, half_h = (h + 1) / 2;
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
  const size_t item = input.dtype == EF_DTYPE_FLOAT32 ? 4 : 1;
  const size_t n = input.width <= kTensor && input.height <= kTensor ? 3 * item * input.width * input.height : 1;
  uint8_t* first = nullptr;
  ef_status first_status = EF_OK;
  for (ef_context* context : contexts) {
    if (!context) continue;
    uint8_t* out = static_cast<uint8_t*>(malloc(n));
    memset(out, first ? 0xaa : 0x55, n);
    input.data = out;
    ef_transform transform = {};
    transform.struct_size = sizeof transform;
    const ef_status status = ef_preprocess(context, &image, &input, &transform);
    if (!first) {
      first = out;
      first_status = status;
    } else {
      if (status != first_status || (status == EF_OK && memcmp(out, first, n))) abort();
      free(out);
    }
  }
  free(first);
  for (uint8_t* b : blocks) free(b);
  return 0;
}
