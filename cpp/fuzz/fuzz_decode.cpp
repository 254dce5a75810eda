// ef_decode with any tensors and steps: either they are refused, or the faces are ordered, finite, and within the capacity.
#include <float.h>

#include "bytes.h"
#include "edgeface/edgeface.h"

namespace {

ef_context* create() {
  ef_config config = {};
  config.struct_size = sizeof config;
  config.max_width = config.max_height = 1;
  config.tensor_width = config.tensor_height = 160;
  ef_context* context = nullptr;
  ef_create(&config, &context);
  return context;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static ef_context* const context = create();
  Bytes bytes(data, size);
  const uint32_t levels = bytes.number(1, 3);
  ef_output outputs[EF_MAX_LEVELS] = {};
  uint8_t* blocks[EF_MAX_LEVELS] = {};
  float factors[EF_HEAD_CHANNELS];
  for (float& f : factors) f = static_cast<float>(bytes.take<uint16_t>()) / 8192.0f;
  for (uint32_t i = 0; i < levels && i < EF_MAX_LEVELS; ++i) {
    ef_output& o = outputs[i];
    o.struct_size = sizeof o;
    o.dtype = bytes.number(0, 2);
    o.layout = bytes.number(0, 1);
    o.stride = bytes.number(1, 64);
    o.columns = bytes.number(1, 12);
    o.rows = bytes.number(1, 12);
    o.scale = bytes.take<uint8_t>() & 1 ? bytes.take<float>() : 0.05f;
    o.zero_point = bytes.take<uint8_t>() & 1 ? bytes.take<int32_t>() : 0;
    o.channel_scales = bytes.take<uint8_t>() & 1 ? factors : nullptr;
    const bool fits = o.columns <= 1000 && o.rows <= 1000;
    const bool strange = bytes.take<uint8_t>() == 255;  // steps that may lead anywhere: to be refused, or one cell
    blocks[i] = bytes.block(fits ? static_cast<size_t>(o.columns) * o.rows * EF_HEAD_CHANNELS * (o.dtype == EF_DTYPE_FLOAT32 ? 4 : 1) : 1);
    o.data = blocks[i];
    if (strange) {
      // only huge ones: what is refused must not be read
      ptrdiff_t* const steps[] = {&o.cell_step, &o.row_step, &o.channel_step};
      *steps[bytes.take<uint8_t>() % 3] = bytes.take<uint8_t>() & 1 ? PTRDIFF_MAX - bytes.take<uint8_t>() : PTRDIFF_MIN + bytes.take<uint8_t>();
      if (o.columns < 2) o.columns = 2;
      if (o.rows < 2) o.rows = 2;
    }
  }
  ef_transform transform = {};
  transform.struct_size = sizeof transform;
  const double turns[4][6] = {{2, 0, 1, 0, 2, 1}, {0, 2, 1, -2, 0, 9}, {-1, 0, 9, 0, -3, 9}, {0, -2, 1, 2, 0, 1}};
  memcpy(transform.m, turns[bytes.take<uint8_t>() % 4], sizeof transform.m);
  if (bytes.take<uint8_t>() == 255) transform.m[bytes.take<uint8_t>() % 6] = bytes.take<double>();
  ef_decode_options options = {sizeof options, 0.5f, 0.4f};
  if (bytes.take<uint8_t>() & 1) options.min_score = bytes.take<float>(), options.nms_iou = bytes.take<float>();
  const uint32_t capacity = bytes.take<uint8_t>() * 2u;  // also more than are looked through one by one
  ef_face* items = static_cast<ef_face*>(malloc(capacity ? capacity * sizeof(ef_face) : 1));
  ef_faces faces = {sizeof faces, sizeof(ef_face), capacity, 0, items};
  if (ef_decode(context, outputs, levels, &transform, &options, &faces) == EF_OK) {
    if (faces.count > capacity) abort();
    for (uint32_t i = 0; i < faces.count; ++i) {
      const ef_face& f = items[i];
      if (!(f.score >= options.min_score && f.score <= 1 && f.quality >= 0 && f.quality <= 1)) abort();
      if (i && f.score > items[i - 1].score) abort();
      for (const float r : f.rotation)
        if (!(r >= -1.001f && r <= 1.001f)) abort();
      for (const float v : f.box)
        if (!(v >= -FLT_MAX && v <= FLT_MAX)) abort();
      for (const auto& p : f.landmarks)
        if (!(p[0] >= -FLT_MAX && p[0] <= FLT_MAX && p[1] >= -FLT_MAX && p[1] <= FLT_MAX)) abort();
      if (f.box[0] > f.box[2] || f.box[1] > f.box[3]) abort();
    }
  } else if (faces.count) {
    abort();
  }
  free(items);
  for (uint8_t* b : blocks) free(b);
  return 0;
}
