// AVX2 kernels. Compiled with -mavx2 and reached only after a check of the CPU; equal to kernels_scalar.cpp bit for bit.
//
// Tails: where a row has at least one full vector, the last vector is moved back to end with the row and some outputs are computed twice;
// shorter rows go to the scalar kernel. Nothing outside [0, n) of a caller's plane is ever read.
#include <immintrin.h>

#include "kernels.h"

namespace ef {
namespace {

inline __m256i load(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m128i load128(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }
inline __m128i load64(const void* p) { return _mm_loadl_epi64(static_cast<const __m128i*>(p)); }
inline void store(void* p, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
inline void store128(void* p, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(p), v); }

// Runs body(i) for i = 0, kStep, ... and once more for the last kStep outputs; false where n < kStep.
template <int kStep, typename Body>
inline bool for_blocks(int n, Body body) {
  if (n < kStep) return false;
  int i = 0;
  for (; i + kStep <= n; i += kStep) body(i);
  if (i < n) body(n - kStep);
  return true;
}

void blend_rows(const uint8_t* a, const uint8_t* b, int w, int n, uint16_t* out) {
  const __m256i wa = _mm256_set1_epi16(static_cast<int16_t>(128 - w)), wb = _mm256_set1_epi16(static_cast<int16_t>(w));
  const bool done = for_blocks<16>(n, [&](int i) {
    const __m256i x = _mm256_cvtepu8_epi16(load128(a + i)), y = _mm256_cvtepu8_epi16(load128(b + i));
    store(out + i, _mm256_add_epi16(_mm256_mullo_epi16(x, wa), _mm256_mullo_epi16(y, wb)));
  });
  if (!done) kScalar.blend_rows(a, b, w, n, out);
}

// (sum + 8192) >> 14 of eight 32-bit sums
inline __m256i rounded(__m256i sum) { return _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(8192)), 14); }

// Two vectors of eight 32-bit values below 256 to sixteen bytes, in order.
inline __m128i narrow(__m256i low, __m256i high) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

// Two elements as one lane. Single loads: gathers are slower on every CPU that was tried.
inline int load_pair(const uint16_t* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}

inline __m128i load_pairs(const uint16_t* row, const int32_t* o) {
  return _mm_setr_epi32(load_pair(row + o[0]), load_pair(row + o[1]), load_pair(row + o[2]), load_pair(row + o[3]));
}

// Both taps of a single channel are neighbours: each 32-bit lane is a pair that pmaddwd weighs.
inline __m256i pairs1(const uint16_t* row, Taps taps, int i) {
  const __m256i pair = _mm256_inserti128_si256(_mm256_castsi128_si256(load_pairs(row, taps.offset + i)), load_pairs(row, taps.offset + i + 4), 1);
  return rounded(_mm256_madd_epi16(pair, load(taps.weights + i)));
}

void resample1(const uint16_t* row, Taps taps, int n, uint8_t* out) {
  const bool done = for_blocks<16>(n, [&](int i) { store128(out + i, narrow(pairs1(row, taps, i), pairs1(row, taps, i + 8))); });
  if (!done) kScalar.resample1(row, taps, n, out);
}

// Where the resamplers take the blended words of a pixel's taps from: a blended row, or two rows that are blended on the way.
struct Blended {
  const uint16_t* row;

  __m256i four2(const int32_t* o) const {  // two channels, four pixels of (a0 b0 a1 b1)
    const __m128i low = _mm_unpacklo_epi64(load64(row + o[0]), load64(row + o[1])), high = _mm_unpacklo_epi64(load64(row + o[2]), load64(row + o[3]));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
  }
  __m256i two3(const int32_t* o) const {  // three channels, two pixels of (a0 b0 c0 a1 b1 c1 . .)
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(row + o[0])), load128(row + o[1]), 1);
  }
};

struct Direct {
  const uint8_t *a, *b;
  __m256i wa, wb;

  Direct(const uint8_t* first, const uint8_t* second, int w)
      : a(first), b(second), wa(_mm256_set1_epi16(static_cast<int16_t>(128 - w))), wb(_mm256_set1_epi16(static_cast<int16_t>(w))) {}
  __m256i blend(__m128i x, __m128i y) const {
    return _mm256_add_epi16(_mm256_mullo_epi16(_mm256_cvtepu8_epi16(x), wa), _mm256_mullo_epi16(_mm256_cvtepu8_epi16(y), wb));
  }
  static int load32(const uint8_t* p) {
    int value;
    __builtin_memcpy(&value, p, sizeof value);
    return value;
  }
  static __m128i four(const uint8_t* p, const int32_t* o) { return _mm_setr_epi32(load32(p + o[0]), load32(p + o[1]), load32(p + o[2]), load32(p + o[3])); }
  __m256i four2(const int32_t* o) const { return blend(four(a, o), four(b, o)); }
  __m256i two3(const int32_t* o) const {
    return blend(_mm_unpacklo_epi64(load64(a + o[0]), load64(a + o[1])), _mm_unpacklo_epi64(load64(b + o[0]), load64(b + o[1])));
  }
};

// Four pixels of two channels to 32-bit (a b) of each pixel.
template <typename Source>
inline __m256i pairs2(const Source& source, Taps taps, int i) {
  const __m256i quads = source.four2(taps.offset + i);
  const __m256i ordered = _mm256_shuffle_epi8(quads, _mm256_setr_epi8(0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15, 0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13,
                                                                      10, 11, 14, 15));
  const __m256i weights = _mm256_cvtepu32_epi64(load128(taps.weights + i));
  return rounded(_mm256_madd_epi16(ordered, _mm256_or_si256(weights, _mm256_slli_epi64(weights, 32))));
}

template <typename Source>
inline bool channels2(const Source& source, Taps taps, int n, uint8_t* out0, uint8_t* out1) {
  return for_blocks<8>(n, [&](int i) {
    const __m128i bytes = narrow(pairs2(source, taps, i), pairs2(source, taps, i + 4));  // a b a b ...
    const __m128i split = _mm_shuffle_epi8(bytes, _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out0 + i), split);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out1 + i), _mm_unpackhi_epi64(split, split));
  });
}

void resample2(const uint16_t* row, Taps taps, int n, uint8_t* out0, uint8_t* out1) {
  if (!channels2(Blended{row}, taps, n, out0, out1)) kScalar.resample2(row, taps, n, out0, out1);
}

void direct2(const uint8_t* a, const uint8_t* b, int w, Taps taps, int n, uint8_t* out0, uint8_t* out1) {
  if (!channels2(Direct(a, b, w), taps, n, out0, out1)) kScalar.direct2(a, b, w, taps, n, out0, out1);
}

// Two pixels of three channels to 32-bit (a b c 0) of each pixel.
template <typename Source>
inline __m256i pairs3(const Source& source, Taps taps, int i) {
  const __m256i six = source.two3(taps.offset + i);
  const __m256i ordered = _mm256_shuffle_epi8(six, _mm256_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1, -1, -1, 0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, -1, -1,
                                                                    -1, -1));
  const __m256i weights = _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(taps.weights + i))),
                                                      _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
  return rounded(_mm256_madd_epi16(ordered, weights));
}

// Eight pixels: bytes (a b c 0) of pixels 0 1 2 3 in the low half, 4 5 6 7 in the high half.
template <typename Source>
inline __m256i quads3(const Source& source, Taps taps, int i) {
  const __m256i p01 = pairs3(source, taps, i), p23 = pairs3(source, taps, i + 2), p45 = pairs3(source, taps, i + 4), p67 = pairs3(source, taps, i + 6);
  const __m256i low = _mm256_packus_epi32(p01, p23), high = _mm256_packus_epi32(p45, p67);  // words of 0 2 | 1 3 and 4 6 | 5 7
  const __m256i bytes = _mm256_packus_epi16(low, high);                                    // 0 2 4 6 | 1 3 5 7
  return bytes;
}

template <typename Source>
inline bool channels3(const Source& source, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  return for_blocks<8>(n, [&](int i) {
    const __m256i bytes = quads3(source, taps, i);
    // a0 a2 a4 a6 b0 b2 ... | a1 a3 a5 a7 b1 ...
    const __m256i planes = _mm256_shuffle_epi8(bytes, _mm256_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3,
                                                                       7, 11, 15));
    const __m128i even = _mm256_castsi256_si128(planes), odd = _mm256_extracti128_si256(planes, 1);
    const __m128i ab = _mm_unpacklo_epi8(even, odd), c = _mm_unpackhi_epi8(even, odd);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out0 + i), ab);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out1 + i), _mm_unpackhi_epi64(ab, ab));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out2 + i), c);
  });
}

void resample3(const uint16_t* row, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  if (!channels3(Blended{row}, taps, n, out0, out1, out2)) kScalar.resample3(row, taps, n, out0, out1, out2);
}

void direct3(const uint8_t* a, const uint8_t* b, int w, Taps taps, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  if (!channels3(Direct(a, b, w), taps, n, out0, out1, out2)) kScalar.direct3(a, b, w, taps, n, out0, out1, out2);
}

// Sixteen 2 x 2 means of one channel from 32 bytes of both rows, as words.
inline __m256i means(__m256i a, __m256i b) {
  const __m256i one = _mm256_set1_epi8(1);
  const __m256i sum = _mm256_add_epi16(_mm256_maddubs_epi16(a, one), _mm256_maddubs_epi16(b, one));
  return _mm256_srli_epi16(_mm256_add_epi16(sum, _mm256_set1_epi16(2)), 2);
}

inline __m128i narrow_words(__m256i words) { return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)); }

void half1(const uint8_t* a, const uint8_t* b, int n, uint8_t* out) {
  const bool done = for_blocks<16>(n, [&](int i) { store128(out + i, narrow_words(means(load(a + 2 * i), load(b + 2 * i)))); });
  if (!done) kScalar.half1(a, b, n, out);
}

void half2(const uint8_t* a, const uint8_t* b, int n, uint8_t* out0, uint8_t* out1) {
  // (u0 v0 u1 v1) to (u0 u1 v0 v1): neighbours become the two taps
  const __m256i order = _mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  const bool done = for_blocks<8>(n, [&](int i) {
    // words: u u u u v v v v | u u u u v v v v
    const __m256i words = means(_mm256_shuffle_epi8(load(a + 4 * i), order), _mm256_shuffle_epi8(load(b + 4 * i), order));
    const __m128i bytes = narrow_words(words);  // u0-3 v0-3 u4-7 v4-7
    const __m128i split = _mm_shuffle_epi32(bytes, 0xd8);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out0 + i), split);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(out1 + i), _mm_unpackhi_epi64(split, split));
  });
  if (!done) kScalar.half2(a, b, n, out0, out1);
}

// Words of vertical sums of 8 pixels of three channels, as three vectors of eight words (24 sums).
void half3(const uint8_t* a, const uint8_t* b, int n, uint8_t* out0, uint8_t* out1, uint8_t* out2) {
  // Sixteen source pixels (48 bytes, three vectors) of each row give eight outputs. Shuffles pick channel c of all sixteen pixels.
  const __m128i pick[3][3] = {
      {_mm_setr_epi8(0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1), _mm_setr_epi8(-1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1, 4, 7, 10, 13)},
      {_mm_setr_epi8(1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1), _mm_setr_epi8(-1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 5, 8, 11, 14)},
      {_mm_setr_epi8(2, 5, 8, 11, 14, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1), _mm_setr_epi8(-1, -1, -1, -1, -1, 1, 4, 7, 10, 13, -1, -1, -1, -1, -1, -1),
       _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 3, 6, 9, 12, 15)}};
  __m256i wide[3][3];
  for (int c = 0; c < 3; ++c)
    for (int v = 0; v < 3; ++v) wide[c][v] = _mm256_broadcastsi128_si256(pick[c][v]);
  uint8_t* const out[3] = {out0, out1, out2};
  const bool done = for_blocks<8>(n, [&](int i) {
    const uint8_t *p = a + 6 * i, *q = b + 6 * i;
    __m256i v[3];  // row a in the low half, row b in the high half
    for (int k = 0; k < 3; ++k) v[k] = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p + 16 * k)), load128(q + 16 * k), 1);
    for (int c = 0; c < 3; ++c) {
      const __m256i bytes = _mm256_or_si256(_mm256_or_si256(_mm256_shuffle_epi8(v[0], wide[c][0]), _mm256_shuffle_epi8(v[1], wide[c][1])),
                                            _mm256_shuffle_epi8(v[2], wide[c][2]));
      const __m256i sums = _mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1));
      const __m128i sum = _mm_add_epi16(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
      const __m128i mean = _mm_srli_epi16(_mm_add_epi16(sum, _mm_set1_epi16(2)), 2);
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out[c] + i), _mm_packus_epi16(mean, mean));
    }
  });
  if (!done) kScalar.half3(a, b, n, out0, out1, out2);
}

void split_yuyv(const uint8_t* packed, int n, uint8_t* y, uint8_t* uv) {
  const __m256i low = _mm256_set1_epi16(0xff);
  const bool done = for_blocks<16>(n, [&](int i) {
    const __m256i a = load(packed + 4 * i), b = load(packed + 4 * i + 32);
    store(y + 2 * i, _mm256_permute4x64_epi64(_mm256_packus_epi16(_mm256_and_si256(a, low), _mm256_and_si256(b, low)), 0xd8));
    store(uv + 2 * i, _mm256_permute4x64_epi64(_mm256_packus_epi16(_mm256_srli_epi16(a, 8), _mm256_srli_epi16(b, 8)), 0xd8));
  });
  if (!done) kScalar.split_yuyv(packed, n, y, uv);
}

void split_uyvy(const uint8_t* packed, int n, uint8_t* y, uint8_t* uv) { split_yuyv(packed, n, uv, y); }

void accumulate(const uint8_t* row, int n, uint16_t* sum) {
  int i = 0;
  for (; i + 16 <= n; i += 16) store(sum + i, _mm256_add_epi16(load(sum + i), _mm256_cvtepu8_epi16(load128(row + i))));
  kScalar.accumulate(row + i, n - i, sum + i);
}

inline __m128i to_bytes(__m256i v) { return narrow_words(_mm256_srai_epi16(v, 6)); }

void yuv_to_rgb(const uint8_t* y, const uint8_t* u, const uint8_t* v, int n, const YuvCoefficients& k, uint8_t* r, uint8_t* g, uint8_t* b) {
  const __m256i offset = _mm256_set1_epi16(k.y_offset), gain = _mm256_set1_epi16(k.y_gain), half = _mm256_set1_epi16(32), centre = _mm256_set1_epi16(128);
  const __m256i red_v = _mm256_set1_epi16(k.red_v), green_u = _mm256_set1_epi16(k.green_u), green_v = _mm256_set1_epi16(k.green_v),
                blue_u = _mm256_set1_epi16(k.blue_u);
  const bool done = for_blocks<16>(n, [&](int i) {
    __m256i luma = _mm256_slli_epi16(_mm256_sub_epi16(_mm256_cvtepu8_epi16(load128(y + i)), offset), 7);
    luma = _mm256_add_epi16(_mm256_mulhrs_epi16(luma, gain), half);
    const __m256i cu = _mm256_slli_epi16(_mm256_sub_epi16(_mm256_cvtepu8_epi16(load128(u + i)), centre), 8);
    const __m256i cv = _mm256_slli_epi16(_mm256_sub_epi16(_mm256_cvtepu8_epi16(load128(v + i)), centre), 8);
    // Saturation cannot be seen: what saturates is 255 or 0 in the end.
    store128(r + i, to_bytes(_mm256_adds_epi16(luma, _mm256_mulhrs_epi16(cv, red_v))));
    store128(g + i, to_bytes(_mm256_subs_epi16(luma, _mm256_add_epi16(_mm256_mulhrs_epi16(cu, green_u), _mm256_mulhrs_epi16(cv, green_v)))));
    store128(b + i, to_bytes(_mm256_adds_epi16(luma, _mm256_mulhrs_epi16(cu, blue_u))));
  });
  if (!done) kScalar.yuv_to_rgb(y, u, v, n, k, r, g, b);
}

void copy_flip(const uint8_t* in, int n, uint8_t flip, uint8_t* out) {
  const __m256i f = _mm256_set1_epi8(static_cast<char>(flip));
  const bool done = for_blocks<32>(n, [&](int i) { store(out + i, _mm256_xor_si256(load(in + i), f)); });
  if (!done) kScalar.copy_flip(in, n, flip, out);
}

void interleave_flip(const uint8_t* c0, const uint8_t* c1, const uint8_t* c2, int n, uint8_t flip, uint8_t* out) {
  const __m128i f = _mm_set1_epi8(static_cast<char>(flip));
  // Output vector v of sixteen pixels takes byte j from channel (16 v + j) % 3, pixel (16 v + j) / 3.
  const __m128i place[3][3] = {
      {_mm_setr_epi8(0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1, 5), _mm_setr_epi8(-1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1, -1),
       _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1)},
      {_mm_setr_epi8(-1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10, -1), _mm_setr_epi8(5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1, 10),
       _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, 8, -1, -1, 9, -1, -1)},
      {_mm_setr_epi8(-1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1, -1), _mm_setr_epi8(-1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15, -1),
       _mm_setr_epi8(10, -1, -1, 11, -1, -1, 12, -1, -1, 13, -1, -1, 14, -1, -1, 15)}};
  const bool done = for_blocks<16>(n, [&](int i) {
    const __m128i x = _mm_xor_si128(load128(c0 + i), f), y = _mm_xor_si128(load128(c1 + i), f), z = _mm_xor_si128(load128(c2 + i), f);
    for (int v = 0; v < 3; ++v)
      store128(out + 3 * i + 16 * v, _mm_or_si128(_mm_or_si128(_mm_shuffle_epi8(x, place[v][0]), _mm_shuffle_epi8(y, place[v][1])), _mm_shuffle_epi8(z, place[v][2])));
  });
  if (!done) kScalar.interleave_flip(c0, c1, c2, n, flip, out);
}

void to_float(const uint8_t* in, int n, float* out) {
  const __m256 scale = _mm256_set1_ps(1.0f / 128.0f);
  const bool done = for_blocks<8>(n, [&](int i) {
    const __m256i centred = _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(in + i))), _mm256_set1_epi32(128));
    _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_cvtepi32_ps(centred), scale));
  });
  if (!done) kScalar.to_float(in, n, out);
}

void reverse(uint8_t* row, int n) {
  const __m128i order = _mm_setr_epi8(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  int i = 0, j = n - 16;
  for (; i + 16 <= j; i += 16, j -= 16) {
    const __m128i a = load128(row + i), b = load128(row + j);
    store128(row + i, _mm_shuffle_epi8(b, order));
    store128(row + j, _mm_shuffle_epi8(a, order));
  }
  kScalar.reverse(row + i, j + 16 - i);
}

// Sixteen by sixteen bytes: four rounds of interleaving row r with row r + 8 transpose the block.
inline void transpose16(const uint8_t* in, ptrdiff_t in_stride, uint8_t* out, ptrdiff_t out_stride) {
  __m128i a[16], b[16];
  for (int r = 0; r < 16; ++r) a[r] = load128(in + r * in_stride);
  for (int round = 0; round < 4; ++round) {
    for (int r = 0; r < 8; ++r) {
      b[2 * r] = _mm_unpacklo_epi8(a[r], a[r + 8]);
      b[2 * r + 1] = _mm_unpackhi_epi8(a[r], a[r + 8]);
    }
    for (int r = 0; r < 16; ++r) a[r] = b[r];
  }
  for (int r = 0; r < 16; ++r) store128(out + r * out_stride, a[r]);
}

void transpose(const uint8_t* in, ptrdiff_t in_stride, int columns, int rows, uint8_t* out, ptrdiff_t out_stride) {
  bool done = rows == 16;
  if (done) done = for_blocks<16>(columns, [&](int x) { transpose16(in + x, in_stride, out + x * out_stride, out_stride); });
  if (!done) kScalar.transpose(in, in_stride, columns, rows, out, out_stride);
}

}  // namespace

const Kernels kAvx2 = {EF_ISA_AVX2, blend_rows, resample1, resample2, resample3, direct2, direct3, half1, half2, half3, split_yuyv, split_uyvy,
                        accumulate, yuv_to_rgb, copy_flip, interleave_flip, to_float, reverse, transpose};

}  // namespace ef
