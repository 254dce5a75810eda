// Every kernel of every instruction set against the scalar one: all short lengths, every alignment, buffers that end (and start) at a page
// that faults, and extreme as well as random bytes.
#include <initializer_list>

#include "guarded.h"
#include "kernels.h"

namespace {

using ef::Kernels;

constexpr int kLongest = 150;

void bytes(Random& random, uint8_t* p, size_t n) {
  switch (random.below(4)) {
    case 0: memset(p, 255, n); break;
    case 1: for (size_t i = 0; i < n; ++i) p[i] = random.below(2) ? 255 : 0; break;
    default: random.fill(p, n);
  }
}

// Runs `call(kernels, outputs)` with both tables into guarded outputs and compares every byte.
template <typename Call>
void compare(const Kernels& kernels, const char* what, int n, std::initializer_list<size_t> sizes, Call call) {
  for (const bool at_end : {true, false}) {
    Guarded* expected[3] = {};
    Guarded* got[3] = {};
    uint8_t *e[3] = {}, *g[3] = {};
    int count = 0;
    for (const size_t size : sizes) {
      expected[count] = new Guarded(size, at_end);
      got[count] = new Guarded(size, at_end);
      e[count] = expected[count]->as();
      g[count] = got[count]->as();
      memset(e[count], 0x55, size);
      memset(g[count], 0xaa, size);
      ++count;
    }
    call(ef::kScalar, e);
    call(kernels, g);
    for (int i = 0; i < count; ++i) {
      EXPECT(memcmp(e[i], g[i], expected[i]->size()) == 0, "%s %s differs from scalar at n = %d, output %d", ef_isa_name(kernels.isa), what, n, i);
      delete expected[i];
      delete got[i];
    }
  }
}

// Unaligned, and flush with a page end.
template <typename Body>
void with_inputs(Random& random, std::initializer_list<size_t> sizes, Body body) {
  for (const bool at_end : {true, false}) {
    Guarded* in[3] = {};
    uint8_t* p[3] = {};
    int count = 0;
    for (const size_t size : sizes) {
      in[count] = new Guarded(size, at_end);
      p[count] = in[count]->as();
      bytes(random, p[count++], size);
    }
    body(p);
    while (count) delete in[--count];
  }
}

void rows(const Kernels& k, Random& random, int n) {
  const size_t size = static_cast<size_t>(n);
  with_inputs(random, {size, size}, [&](uint8_t** in) {
    for (const int w : {0, 1, 64, 127, 128, static_cast<int>(random.below(129))})
      compare(k, "blend_rows", n, {2 * size}, [&](const Kernels& t, uint8_t** out) { t.blend_rows(in[0], in[1], w, n, reinterpret_cast<uint16_t*>(out[0])); });
    compare(k, "accumulate", n, {2 * size}, [&](const Kernels& t, uint8_t** out) {
      memset(out[0], 3, 2 * size);
      for (int i = 0; i < 5; ++i) t.accumulate(in[i % 2], n, reinterpret_cast<uint16_t*>(out[0]));
    });
    compare(k, "to_float", n, {4 * size}, [&](const Kernels& t, uint8_t** out) { t.to_float(in[0], n, reinterpret_cast<float*>(out[0])); });
    for (const int flip : {0, 0x80})
      compare(k, "copy_flip", n, {size}, [&](const Kernels& t, uint8_t** out) { t.copy_flip(in[0], n, static_cast<uint8_t>(flip), out[0]); });
    compare(k, "reverse", n, {size}, [&](const Kernels& t, uint8_t** out) {
      memcpy(out[0], in[0], size);
      t.reverse(out[0], n);
    });
  });
  with_inputs(random, {2 * size, 2 * size}, [&](uint8_t** in) {
    compare(k, "half1", n, {size}, [&](const Kernels& t, uint8_t** out) { t.half1(in[0], in[1], n, out[0]); });
  });
  with_inputs(random, {4 * size, 4 * size}, [&](uint8_t** in) {
    compare(k, "half2", n, {size, size}, [&](const Kernels& t, uint8_t** out) { t.half2(in[0], in[1], n, out[0], out[1]); });
    compare(k, "split_yuyv", n, {2 * size, 2 * size}, [&](const Kernels& t, uint8_t** out) { t.split_yuyv(in[0], n, out[0], out[1]); });
    compare(k, "split_uyvy", n, {2 * size, 2 * size}, [&](const Kernels& t, uint8_t** out) { t.split_uyvy(in[0], n, out[0], out[1]); });
  });
  with_inputs(random, {6 * size, 6 * size}, [&](uint8_t** in) {
    compare(k, "half3", n, {size, size, size}, [&](const Kernels& t, uint8_t** out) { t.half3(in[0], in[1], n, out[0], out[1], out[2]); });
  });
}

void resampling(const Kernels& k, Random& random, int n) {
  const int source = 1 + static_cast<int>(random.below(200));
  const size_t size = static_cast<size_t>(n);
  for (const int channels : {1, 2, 3}) {
    const size_t elements = static_cast<size_t>(source * channels) + 16;  // the padding that kernels.h asks for
    Guarded row(2 * elements), offsets(4 * size), weights(4 * size);
    for (size_t i = 0; i < elements; ++i) row.as<uint16_t>()[i] = static_cast<uint16_t>(random.below(3) ? random.below(32641) : 32640);
    for (int i = 0; i < n; ++i) {
      const uint32_t f = random.below(4) ? random.below(128) : 64;
      const int index = static_cast<int>(random.below(static_cast<uint32_t>(source)));
      offsets.as<int32_t>()[i] = index * channels;
      weights.as<uint32_t>()[i] = index == source - 1 ? 128 : (128 - f) | f << 16;
    }
    const ef::Taps taps = {offsets.as<int32_t>(), weights.as<uint32_t>()};
    const uint16_t* p = row.as<uint16_t>();
    if (channels == 1)
      compare(k, "resample1", n, {size}, [&](const Kernels& t, uint8_t** out) { t.resample1(p, taps, n, out[0]); });
    else if (channels == 2)
      compare(k, "resample2", n, {size, size}, [&](const Kernels& t, uint8_t** out) { t.resample2(p, taps, n, out[0], out[1]); });
    else
      compare(k, "resample3", n, {size, size, size}, [&](const Kernels& t, uint8_t** out) { t.resample3(p, taps, n, out[0], out[1], out[2]); });
  }
}

void direct(const Kernels& k, Random& random, int n) {
  const size_t size = static_cast<size_t>(n);
  for (const int channels : {2, 3}) {
    const int need = channels == 2 ? 4 : 8;
    const size_t bytes = static_cast<size_t>(need) + random.below(300);
    Guarded offsets(4 * size), weights(4 * size);
    for (int i = 0; i < n; ++i) {
      const uint32_t f = random.below(128);
      offsets.as<int32_t>()[i] = static_cast<int32_t>(random.below(3) ? random.below(static_cast<uint32_t>(bytes) - static_cast<uint32_t>(need) + 1) : bytes - static_cast<size_t>(need));
      weights.as<uint32_t>()[i] = (128 - f) | f << 16;
    }
    const ef::Taps taps = {offsets.as<int32_t>(), weights.as<uint32_t>()};
    with_inputs(random, {bytes, bytes}, [&](uint8_t** in) {
      const int w = static_cast<int>(random.below(129));
      if (channels == 2)
        compare(k, "direct2", n, {size, size}, [&](const Kernels& t, uint8_t** out) { t.direct2(in[0], in[1], w, taps, n, out[0], out[1]); });
      else
        compare(k, "direct3", n, {size, size, size}, [&](const Kernels& t, uint8_t** out) { t.direct3(in[0], in[1], w, taps, n, out[0], out[1], out[2]); });
    });
  }
}

void colours(const Kernels& k, Random& random, int n) {
  const size_t size = static_cast<size_t>(n);
  const ef::YuvCoefficients sets[] = {{16, 19077, 13075, 3209, 6660, 16525}, {0, 16384, 12901, 1535, 3835, 15201}, {16, 19077, 14686, 1747, 4366, 17305}};
  with_inputs(random, {size, size, size}, [&](uint8_t** in) {
    for (const auto& set : sets)
      compare(k, "yuv_to_rgb", n, {size, size, size}, [&](const Kernels& t, uint8_t** out) { t.yuv_to_rgb(in[0], in[1], in[2], n, set, out[0], out[1], out[2]); });
    for (const int flip : {0, 0x80})
      compare(k, "interleave_flip", n, {3 * size}, [&](const Kernels& t, uint8_t** out) { t.interleave_flip(in[0], in[1], in[2], n, static_cast<uint8_t>(flip), out[0]); });
  });
}

// All 2^24 colours would take a minute under emulation; every luma with a lattice of chroma does.
void all_colours(const Kernels& k) {
  uint8_t y[256], u[256], v[256], expected[3][256], got[3][256];
  const ef::YuvCoefficients set = {16, 19077, 14686, 1747, 4366, 17305};
  for (int i = 0; i < 256; ++i) y[i] = static_cast<uint8_t>(i);
  for (int a = 0; a < 256; a += a < 3 || a > 250 ? 1 : 5)
    for (int b = 0; b < 256; b += b < 3 || b > 250 ? 1 : 5) {
      memset(u, a, 256);
      memset(v, b, 256);
      ef::kScalar.yuv_to_rgb(y, u, v, 256, set, expected[0], expected[1], expected[2]);
      k.yuv_to_rgb(y, u, v, 256, set, got[0], got[1], got[2]);
      EXPECT(memcmp(expected, got, sizeof got) == 0, "%s yuv_to_rgb differs from scalar at u = %d, v = %d", ef_isa_name(k.isa), a, b);
    }
}

void turning(const Kernels& k, Random& random, int columns) {
  for (const int rows : {1, 7, 15, 16}) {
    const int stride = columns + static_cast<int>(random.below(5));
    const size_t size = static_cast<size_t>(stride * (rows - 1) + columns);
    with_inputs(random, {size}, [&](uint8_t** in) {
      for (const bool upward : {false, true}) {
        const uint8_t* first = upward ? in[0] + stride * (rows - 1) : in[0];
        compare(k, "transpose", columns, {static_cast<size_t>(16 * (columns - 1) + rows)},
                [&](const Kernels& t, uint8_t** out) {
                  memset(out[0], 1, static_cast<size_t>(16 * (columns - 1) + rows));  // what lies between the rows stays as it is
                  t.transpose(first, upward ? -stride : stride, columns, rows, out[0], 16);
                });
      }
    });
  }
}

}  // namespace

int main() {
  int tables = 0;
  for (const ef_isa isa : {EF_ISA_NEON, EF_ISA_AVX2}) {
    const Kernels* k = ef::kernels_for(isa);
    if (!k) continue;
    Random random(1);
    for (int n = 1; n <= kLongest; ++n)
      for (int round = 0; round < (n < 70 ? 2 : 1); ++round) {
        rows(*k, random, n);
        resampling(*k, random, n);
        direct(*k, random, n);
        colours(*k, random, n);
        turning(*k, random, n);
      }
    all_colours(*k);
    printf("%s equals scalar\n", ef_isa_name(isa));
    ++tables;
  }
  printf("%d instruction sets beside scalar\n", tables);
  return 0;
}
