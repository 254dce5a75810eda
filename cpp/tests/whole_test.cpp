// ef_preprocess and ef_decode as a whole: every instruction set gives the same bytes, frames that end at a page that faults are read in
// bounds, and a checksum over all of it is the same number on every platform.
#include <initializer_list>

#include "edgeface/edgeface.h"

#include "guarded.h"

namespace {

constexpr uint64_t kPreprocessChecksum = 0x0bc2e2d567e36fbeull;
constexpr uint64_t kDecodeChecksum = 0xb1fcba9fe2eaffa7ull;

struct Checksum {  // FNV-1a
  uint64_t value = 0xcbf29ce484222325ull;
  void add(const void* data, size_t n) {
    for (size_t i = 0; i < n; ++i) value = (value ^ static_cast<const uint8_t*>(data)[i]) * 0x100000001b3ull;
  }
};

ef_context* create(ef_isa isa) {
  ef_config config = {};
  config.struct_size = sizeof config;
  config.max_width = 200;
  config.max_height = 200;
  config.tensor_width = 160;
  config.tensor_height = 160;
  config.isa = isa;
  ef_context* context = nullptr;
  EXPECT(ef_create(&config, &context) == EF_OK, "ef_create for %s", ef_isa_name(isa));
  return context;
}

uint32_t plane_rows(uint32_t format, int plane, uint32_t height) {
  return plane > 0 && format >= EF_FORMAT_NV12 && format <= EF_FORMAT_I420 ? (height + 1) / 2 : height;
}

uint32_t plane_bytes(uint32_t format, int plane, uint32_t width) {
  switch (format) {
    case EF_FORMAT_BGR:
    case EF_FORMAT_RGB: return 3 * width;
    case EF_FORMAT_NV12:
    case EF_FORMAT_NV21: return plane ? (width + 1) / 2 * 2 : width;
    case EF_FORMAT_I420: return plane ? (width + 1) / 2 : width;
    case EF_FORMAT_YUYV:
    case EF_FORMAT_UYVY: return 2 * width;
    default: return width;
  }
}

int planes_of(uint32_t format) { return format == EF_FORMAT_I420 ? 3 : format == EF_FORMAT_NV12 || format == EF_FORMAT_NV21 ? 2 : 1; }

// One random frame through every context; returns the bytes of the tensor through `sum`.
void preprocess(ef_context* const* contexts, int count, Random& random, Checksum& sum) {
  ef_image image = {};
  image.struct_size = sizeof image;
  image.format = 1 + random.below(8);
  image.width = 1 + random.below(200);
  image.height = 1 + random.below(200);
  if (image.format >= EF_FORMAT_YUYV) image.width += image.width % 2;
  image.matrix = random.below(2);
  image.range = random.below(2);
  image.rotation = 90 * random.below(4);
  if (random.below(2)) {
    image.crop[0] = random.below(image.width);
    image.crop[1] = random.below(image.height);
    image.crop[2] = 1 + random.below(image.width - image.crop[0]);
    image.crop[3] = 1 + random.below(image.height - image.crop[1]);
  }
  Guarded* memory[3] = {};
  for (int p = 0; p < planes_of(image.format); ++p) {
    const uint32_t rows = plane_rows(image.format, p, image.height), bytes = plane_bytes(image.format, p, image.width);
    const ptrdiff_t stride = static_cast<ptrdiff_t>(bytes + (random.below(2) ? random.below(40) : 0));
    const size_t size = static_cast<size_t>(stride) * (rows - 1) + bytes;  // the last row has no padding: its last byte is the page's last
    memory[p] = new Guarded(size, random.below(2));
    random.fill(memory[p]->as(), size);
    const bool upward = random.below(2);
    image.planes[p] = memory[p]->as() + (upward ? stride * static_cast<ptrdiff_t>(rows - 1) : 0);
    image.strides[p] = upward ? -stride : stride;
  }
  ef_input input = {};
  input.struct_size = sizeof input;
  input.width = 1 + random.below(160);
  input.height = 1 + random.below(160);
  if (random.below(3) == 0 && image.width > 1 && image.height > 1) input.width = image.width / 2, input.height = image.height / 2;
  if (input.width > 160) input.width = 160;
  if (input.height > 160) input.height = 160;
  input.dtype = random.below(3);
  input.layout = random.below(2);
  input.color = random.below(2);
  input.fit = random.below(2);
  input.filter = random.below(2);
  if (random.below(4) == 0) input.scale = 0.02f, input.zero_point = -7;
  const size_t size = static_cast<size_t>(input.width) * input.height * 3 * (input.dtype == EF_DTYPE_FLOAT32 ? 4 : 1);
  Guarded expected(size);
  for (int i = 0; i < count; ++i) {
    Guarded got(size);
    memset(got.as(), 0x5a, size);
    input.data = i ? got.as() : expected.as();
    ef_transform transform = {};
    transform.struct_size = sizeof transform;
    const ef_status status = ef_preprocess(contexts[i], &image, &input, &transform);
    EXPECT(status == EF_OK, "%s: %s", ef_isa_name(ef_context_isa(contexts[i])), ef_status_string(status));
    EXPECT(!i || memcmp(expected.as(), got.as(), size) == 0, "%s differs from scalar: format %u, %ux%u to %ux%u, rotation %u, filter %u", ef_isa_name(ef_context_isa(contexts[i])),
           image.format, image.width, image.height, input.width, input.height, image.rotation, input.filter);
    if (!i) sum.add(transform.m, sizeof transform.m);
  }
  sum.add(expected.as(), size);
  for (Guarded* m : memory) delete m;
}

void decode(ef_context* context, Random& random, Checksum& sum) {
  ef_output outputs[3];
  Guarded* memory[3];
  float factors[EF_HEAD_CHANNELS];
  for (float& f : factors) f = 0.25f + static_cast<float>(random.below(1000)) / 1024.0f;
  for (uint32_t i = 0; i < 3; ++i) {
    ef_output& o = outputs[i];
    o = {};
    o.struct_size = sizeof o;
    o.dtype = random.below(3);
    o.layout = random.below(2);
    o.stride = 8u << i;
    o.columns = 160 / o.stride;
    o.rows = 160 / o.stride;
    const size_t n = static_cast<size_t>(o.columns) * o.rows * EF_HEAD_CHANNELS;
    memory[i] = new Guarded(n * (o.dtype == EF_DTYPE_FLOAT32 ? 4 : 1));
    if (o.dtype == EF_DTYPE_FLOAT32) {
      float* const cells = memory[i]->as<float>();
      for (size_t k = 0; k < n; ++k) cells[k] = (static_cast<float>(random.below(65536)) - 32768.0f) / 8192.0f;
      const float middle = static_cast<float>(o.columns) / 2 - 0.5f;  // half of the cells say nearly the same box, as those of one face do
      for (uint32_t y = 0; y < o.rows; ++y)
        for (uint32_t x = y % 2; x < o.columns; x += 2)
          for (uint32_t c = 2; c < 6; ++c) {
            const float same[4] = {middle - static_cast<float>(x), middle - static_cast<float>(y), 1.5f, 1.7f};
            const size_t cell = static_cast<size_t>(y) * o.columns + x;
            float& value = cells[o.layout == EF_LAYOUT_NCHW ? static_cast<size_t>(c) * o.columns * o.rows + cell : cell * EF_HEAD_CHANNELS + c];
            value = same[c - 2] + value / 32;
          }
    } else {
      random.fill(memory[i]->as(), n);
      o.scale = 0.04f;
      o.zero_point = 3;
    }
    o.channel_scales = random.below(2) ? factors : nullptr;
    o.data = memory[i]->as();
  }
  ef_transform transform = {};
  transform.struct_size = sizeof transform;
  const double matrices[4][6] = {{2.5, 0, 10, 0, 2, -3}, {0, 2, 1, -2, 0, 300}, {-2, 0, 320, 0, -2, 240}, {0, -3, 500, 3, 0, 0}};
  memcpy(transform.m, matrices[random.below(4)], sizeof transform.m);
  ef_decode_options options = {sizeof options, random.below(2) ? 0.7f : 0.97f, 0.4f};
  ef_face items[64];
  ef_faces faces = {sizeof faces, sizeof(ef_face), 1 + random.below(64), 0, items};
  const ef_status status = ef_decode(context, outputs, 3, &transform, &options, &faces);
  EXPECT(status == EF_OK, "%s", ef_status_string(status));
  for (uint32_t i = 1; i < faces.count; ++i) EXPECT(items[i - 1].score >= items[i].score, "face %u is out of order", i);
  sum.add(items, faces.count * sizeof(ef_face));
  for (Guarded* m : memory) delete m;
}

// Values that name nothing are answered in words; a C++ compiler must not take it that there are none.
void names() {
  for (const int value : {-1, 100, 1000, 0x7fffffff}) {
    EXPECT(!strcmp(ef_status_string(static_cast<ef_status>(value)), "unknown status"), "status %d", value);
    EXPECT(!strcmp(ef_isa_name(static_cast<ef_isa>(value)), "unknown"), "isa %d", value);
    EXPECT(!ef_isa_available(static_cast<ef_isa>(value)), "isa %d", value);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? atoi(argv[1]) : 400;
  names();
  ef_context* contexts[4];
  int count = 0;
  for (const ef_isa isa : {EF_ISA_SCALAR, EF_ISA_NEON, EF_ISA_AVX2})
    if (ef_isa_available(isa)) contexts[count++] = create(isa);
  Random random(7);
  Checksum pixels, faces;
  for (int i = 0; i < rounds; ++i) preprocess(contexts, count, random, pixels);
  for (int i = 0; i < 100; ++i) decode(contexts[0], random, faces);
  printf("%d instruction sets agree; preprocess %016llx, decode %016llx\n", count, static_cast<unsigned long long>(pixels.value), static_cast<unsigned long long>(faces.value));
  if (rounds == 400) {
    EXPECT(pixels.value == kPreprocessChecksum, "the tensors differ from those of the other platforms (expected %016llx)", static_cast<unsigned long long>(kPreprocessChecksum));
    EXPECT(faces.value == kDecodeChecksum, "the faces differ from those of the other platforms (expected %016llx)", static_cast<unsigned long long>(kDecodeChecksum));
  }
  while (count) ef_destroy(contexts[--count]);
  return 0;
}
