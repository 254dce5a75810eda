// ef_decode: raw head tensors to faces, rule edgeface-v1 (docs/bundle.md).
//
// The score threshold is turned into the tensor's own numbers first, so that a cell that holds no face costs one comparison. The
// candidates are sorted by keys that are all different, which makes the result independent of the sort.
#include "context.h"
#include "fault.h"
#include "math.h"
#include "memory.h"
#include "neighbours.h"

namespace ef {
namespace {

constexpr float kMaxLogSize = 20.0f;
constexpr float kNear = 0.6f;    // boxes of a larger IoU are measurements of one box,
constexpr float kAlike = 0.75f;  // and of a larger one yet the same face seen from neighbouring cells
constexpr float kHeard = 0.1f;   // cells of a lower score add nothing to the face that suppresses them
constexpr double kUsual = 2.0;   // the sum of scores that leaves a face's score as its best cell has it

// Monotone: a larger float has a larger key.
uint32_t ordered(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

float unordered(uint32_t key) {
  const uint32_t bits = key & 0x80000000u ? key & 0x7fffffffu : ~key;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The smallest logit whose sigmoid, as a float, is at least `score`.
float logit_threshold(float score) {
  uint32_t low = ordered(-200.0f), high = ordered(200.0f);  // sigmoid(low) = 0 < score <= sigmoid(high) = 1
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    (sigmoid(unordered(middle)) >= score ? high : low) = middle;
  }
  return unordered(high);
}

struct Level {
  const ef_output* output;
  ptrdiff_t cell_step, row_step, channel_step;
  uint32_t first;                 // index of the first cell among those of all levels
  float scale[EF_HEAD_CHANNELS];  // of each channel

  float logit(float q, int channel) const { return (q - static_cast<float>(output->zero_point)) * scale[channel]; }

  float stored(uint32_t column, uint32_t row, int channel) const {
    const ptrdiff_t at = static_cast<ptrdiff_t>(row) * row_step + static_cast<ptrdiff_t>(column) * cell_step + channel * channel_step;
    switch (output->dtype) {
      case EF_DTYPE_INT8: return static_cast<const int8_t*>(output->data)[at];
      case EF_DTYPE_UINT8: return static_cast<const uint8_t*>(output->data)[at];
      default: return static_cast<const float*>(output->data)[at];
    }
  }
};

// Calls found(column, row, q) for each cell whose score channel is at least `threshold`.
template <typename T, typename Found>
void scan(const Level& level, T threshold, Found found) {
  const T* data = static_cast<const T*>(level.output->data);
  for (uint32_t y = 0; y < level.output->rows; ++y) {
    const T* row = data + static_cast<ptrdiff_t>(y) * level.row_step;
    for (uint32_t x = 0; x < level.output->columns; ++x) {
      const T q = row[static_cast<ptrdiff_t>(x) * level.cell_step];
      if (q >= threshold) found(x, y, static_cast<float>(q));
    }
  }
}

// The smallest stored integer of [low, low + 255] whose logit is at least `threshold`; false where there is none.
bool integer_threshold(const Level& level, float threshold, int low, int* out) {
  for (int q = low; q < low + 256; ++q)
    if (level.logit(static_cast<float>(q), 0) >= threshold) return *out = q, true;
  return false;
}

template <typename Found>
void scan(const Level& level, float threshold, Found found) {
  int q;
  switch (level.output->dtype) {
    case EF_DTYPE_INT8:
      if (integer_threshold(level, threshold, -128, &q)) scan<int8_t>(level, static_cast<int8_t>(q), found);
      return;
    case EF_DTYPE_UINT8:
      if (integer_threshold(level, threshold, 0, &q)) scan<uint8_t>(level, static_cast<uint8_t>(q), found);
      return;
    default: {
      const float* data = static_cast<const float*>(level.output->data);
      for (uint32_t y = 0; y < level.output->rows; ++y) {
        const float* row = data + static_cast<ptrdiff_t>(y) * level.row_step;
        for (uint32_t x = 0; x < level.output->columns; ++x) {
          const float q = row[static_cast<ptrdiff_t>(x) * level.cell_step];
          if (level.logit(q, 0) >= threshold) found(x, y, q);
        }
      }
    }
  }
}

void sift(uint64_t* keys, size_t root, size_t n) {
  for (size_t child; (child = 2 * root + 1) < n; root = child) {
    if (child + 1 < n && keys[child] < keys[child + 1]) ++child;
    if (keys[root] >= keys[child]) return;
    const uint64_t t = keys[root];
    keys[root] = keys[child];
    keys[child] = t;
  }
}

// Heapsort, ascending: in place and never quadratic, whatever the network says.
void sort(uint64_t* keys, size_t n) {
  for (size_t i = n / 2; i-- > 0;) sift(keys, i, n);
  for (size_t end = n; end-- > 1;) {
    const uint64_t t = keys[0];
    keys[0] = keys[end];
    keys[end] = t;
    sift(keys, 0, end);
  }
}

// Whether the IoU of two boxes is larger than a number, without a division.
class Overlap {
 public:
  Overlap(const float a[4], const float b[4]) {
    const float left = a[0] > b[0] ? a[0] : b[0], top = a[1] > b[1] ? a[1] : b[1];
    const float right = a[2] < b[2] ? a[2] : b[2], bottom = a[3] < b[3] ? a[3] : b[3];
    if (right <= left || bottom <= top) return;
    both_ = (right - left) * (bottom - top);
    either_ = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both_;
  }
  bool above(float iou) const { return both_ > iou * either_; }

 private:
  float both_ = 0, either_ = 0;
};

// Gram-Schmidt of two columns (Zhou et al. 2019), in double, to a row-major matrix; the identity where they do not span a plane.
void rotation_of(const float six[6], float r[9]) {
  double a[3] = {six[0], six[1], six[2]}, b[3] = {six[3], six[4], six[5]};
  const double na = __builtin_sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
  double nb = 0;
  if (na > 1e-8) {
    for (double& v : a) v /= na;
    const double dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    for (int i = 0; i < 3; ++i) b[i] -= dot * a[i];
    nb = __builtin_sqrt(b[0] * b[0] + b[1] * b[1] + b[2] * b[2]);
  }
  if (!(nb > 1e-8)) {
    for (int i = 0; i < 9; ++i) r[i] = i % 4 == 0;
    return;
  }
  for (double& v : b) v /= nb;
  const double c[3] = {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
  for (int i = 0; i < 3; ++i) r[3 * i] = static_cast<float>(a[i]), r[3 * i + 1] = static_cast<float>(b[i]), r[3 * i + 2] = static_cast<float>(c[i]);
}

class Decoder {
 public:
  Decoder(const Level* levels, int count, const ef_decode_options& options, const double m[6], const ef_context& context)
      : levels_(levels),
        count_(count),
        options_(options),
        m_(m),
        keys_(context.scratch.keys),
        neighbours_(context.scratch.heads, context.head_count, keys_, static_cast<float>(levels[0].output->stride)) {}

  // Fills `faces` and returns how many.
  uint32_t run(ef_faces& faces) {
    size_t n = 0;
    const float threshold = logit_threshold(options_.min_score < kHeard ? options_.min_score : kHeard);
    for (int i = 0; i < count_; ++i) {
      const Level& level = levels_[i];
      scan(level, threshold, [&](uint32_t x, uint32_t y, float q) {
        const float logit = level.logit(q, 0);
        if (finite(logit)) keys_[n++] = static_cast<uint64_t>(~ordered(logit)) << 32 | (level.first + y * level.output->columns + x);
      });
    }
    sort(keys_, n);
    uint32_t kept = 0;
    for (size_t i = 0; i < n; ++i) {
      float channels[EF_HEAD_CHANNELS];
      const Level* level;
      uint32_t column, row;
      if (!read(static_cast<uint32_t>(keys_[i]), channels, &level, &column, &row)) continue;
      ef_face candidate;
      if (!places_of(*level, column, row, channels, candidate)) continue;
      const uint32_t k = suppressing(faces, kept, candidate.box);
      if (k < kept) {
        const float score = sigmoid(channels[0]);
        if (score < kHeard) continue;
        ef_face& better = at(faces, k);
        better.rotation[kSupport] += score;
        const Overlap overlap(better.box, candidate.box);
        if (overlap.above(kAlike)) {
          fill(channels, candidate);
          average(candidate, better);
        }
        const bool finer = level->output->stride < level_of(keys_[k]).output->stride;
        if (!finer && overlap.above(kNear)) {
          float before[4];
          memcpy(before, better.box, sizeof before);
          average_box(candidate.box, score, better);
          if (kept >= Neighbours::kFrom) neighbours_.move(k, before, better.box);
        }
      } else if (kept < faces.capacity) {
        fill(channels, candidate);
        keys_[kept] = keys_[i];  // those before i are not needed any more
        at(faces, kept++) = candidate;
        remember(faces, kept);
      }  // else there is no room for it; what follows may still belong to a face that is there
    }
    kept = best_first(faces, kept);
    uint32_t left = 0;
    for (uint32_t k = 0; k < kept; ++k) {
      ef_face& face = at(faces, k);
      float columns[6];
      memcpy(columns, face.rotation, sizeof columns);
      rotation_of(columns, face.rotation);
      if (to_frame(face)) at(faces, left++) = face;
    }
    return left;
  }

 private:
  // Faces lie face_size apart, which may be more than this library's own sizeof.
  static ef_face& at(ef_faces& faces, uint32_t i) {
    return *reinterpret_cast<ef_face*>(reinterpret_cast<unsigned char*>(faces.items) + static_cast<size_t>(i) * faces.face_size);
  }

  // Takes the last of the kept boxes into the index, which begins when there are enough of them.
  void remember(ef_faces& faces, uint32_t kept) {
    if (kept < Neighbours::kFrom) return;
    if (kept == Neighbours::kFrom) {
      neighbours_.clear();
      for (uint32_t k = 0; k < kept - 1; ++k) neighbours_.insert(k, at(faces, k).box);
    }
    neighbours_.insert(kept - 1, at(faces, kept - 1).box);
  }

  // The best face whose box overlaps `box` too much, or `kept`.
  uint32_t suppressing(ef_faces& faces, uint32_t kept, const float box[4]) const {
    if (kept >= Neighbours::kFrom) {
      uint32_t best = kept;
      const bool looked_up = neighbours_.each(box, options_.nms_iou, kept, [&](uint32_t k) {
        if (k < best && Overlap(at(faces, k).box, box).above(options_.nms_iou)) best = k;
      });
      if (looked_up) return best;
    }
    uint32_t k = 0;
    while (k < kept && !Overlap(at(faces, k).box, box).above(options_.nms_iou)) ++k;
    return k;
  }

  // A face that many cells see is likelier one than a face that a single cell sees: the odds of its best cell are multiplied by the
  // root of the sum of all scores there, over what is usual. Sorts by what comes of it, drops what is below min_score, and returns how
  // many are left.
  uint32_t best_first(ef_faces& faces, uint32_t kept) {
    size_t left = 0;
    for (uint32_t k = 0; k < kept; ++k) {
      ef_face& face = at(faces, k);
      const double own = face.score, agreed = own * __builtin_sqrt(face.rotation[kSupport] / kUsual);
      face.score = static_cast<float>(agreed / (agreed + (1 - own)));
      if (!(face.score >= options_.min_score)) continue;
      at(faces, static_cast<uint32_t>(left)) = face;
      keys_[left] = static_cast<uint64_t>(~ordered(face.score)) << 32 | left;
      ++left;
    }
    sort(keys_, left);
    // each cycle of the permutation once; what is in its place refers to itself
    for (uint32_t i = 0; i < left; ++i) {
      const ef_face first = at(faces, i);
      uint32_t to = i;
      for (uint32_t from; (from = static_cast<uint32_t>(keys_[to])) != i; to = from) {
        at(faces, to) = at(faces, from);
        keys_[to] = to;
      }
      at(faces, to) = first;
      keys_[to] = to;
    }
    return static_cast<uint32_t>(left);
  }

  // The mean of landmarks, rotation and quality goes on over another cell, whose weight is its score over the face's, cubed (West 1979:
  // nothing but the sum of weights is kept besides).
  static void average(const ef_face& cell, ef_face& face) {
    const float ratio = cell.score / face.score, share = share_of(ratio * ratio * ratio, face.rotation[kWeights]);
    for (int i = 0; i < EF_LANDMARKS; ++i)
      for (int j = 0; j < 2; ++j) face.landmarks[i][j] += (cell.landmarks[i][j] - face.landmarks[i][j]) * share;
    for (int i = 0; i < 6; ++i) face.rotation[i] += (cell.rotation[i] - face.rotation[i]) * share;
    face.quality += (cell.quality - face.quality) * share;
  }

  // The same of the box, by the score itself, but for cells of finer levels: they see a part of a large face, and think it smaller.
  // What is suppressed next is told by the mean.
  static void average_box(const float box[4], float score, ef_face& face) {
    const float share = share_of(score / face.score, face.rotation[kBoxWeights]);
    for (int i = 0; i < 4; ++i) face.box[i] += (box[i] - face.box[i]) * share;
  }

  static float share_of(float weight, float& sum) {
    sum += weight;
    return weight / sum;
  }

  // Real numbers of all channels of a cell; false where one is not finite.
  bool read(uint32_t index, float channels[EF_HEAD_CHANNELS], const Level** level, uint32_t* column, uint32_t* row) const {
    *level = &level_of(index);
    index -= (*level)->first;
    *row = index / (*level)->output->columns;
    *column = index % (*level)->output->columns;
    bool ok = true;
    for (int c = 0; c < EF_HEAD_CHANNELS; ++c) {
      channels[c] = (*level)->logit((*level)->stored(*column, *row, c), c);
      ok = ok && finite(channels[c]);
    }
    return ok;
  }

  // Of a cell, whose index is the lower half of its key.
  const Level& level_of(uint64_t key) const {
    int i = count_ - 1;
    while (levels_[i].first > static_cast<uint32_t>(key)) --i;
    return levels_[i];
  }

  // Box and landmarks; false where they are no face's: a number beyond float's range, or a box without area.
  static bool places_of(const Level& level, uint32_t column, uint32_t row, const float* channels, ef_face& face) {
    const float s = static_cast<float>(level.output->stride);
    const float x = (static_cast<float>(column) + 0.5f + channels[2]) * s, y = (static_cast<float>(row) + 0.5f + channels[3]) * s;
    const float w = size_of(channels[4], s), h = size_of(channels[5], s);
    float* const box = face.box;
    box[0] = x - w * 0.5f, box[1] = y - h * 0.5f, box[2] = x + w * 0.5f, box[3] = y + h * 0.5f;
    for (int i = 0; i < EF_LANDMARKS; ++i) {
      face.landmarks[i][0] = (static_cast<float>(column) + 0.5f + channels[6 + 2 * i]) * s;
      face.landmarks[i][1] = (static_cast<float>(row) + 0.5f + channels[7 + 2 * i]) * s;
    }
    return box[2] > box[0] && box[3] > box[1] && all_finite(face);
  }

  static bool all_finite(const ef_face& face) {
    bool ok = true;
    for (const float v : face.box) ok = ok && finite(v);
    for (const auto& p : face.landmarks) ok = ok && finite(p[0]) && finite(p[1]);
    return ok;
  }

  static float size_of(float log_size, float s) { return static_cast<float>(exp64(log_size > kMaxLogSize ? kMaxLogSize : log_size)) * s; }

  // All but box and landmarks. Until all cells are seen, `rotation` holds the two first columns, one after the other, and behind them the sums of
  // weights, of scores, and of the box's weights.
  static void fill(const float* channels, ef_face& face) {
    face.score = sigmoid(channels[0]);
    face.quality = sigmoid(channels[1]);
    float r[9];
    rotation_of(channels + 16, r);
    for (int i = 0; i < 3; ++i) face.rotation[i] = r[3 * i], face.rotation[3 + i] = r[3 * i + 1];
    face.rotation[kWeights] = 1;
    face.rotation[kSupport] = face.score;
    face.rotation[kBoxWeights] = 1;
  }

  void map(float x, float y, float* out_x, float* out_y) const {
    *out_x = narrowed(m_[0] * x + m_[1] * y + m_[2]);
    *out_y = narrowed(m_[3] * x + m_[4] * y + m_[5]);
  }

  // To float, without asking for what float cannot hold.
  static float narrowed(double v) {
    const double limit = 3.4028234e38;
    return v > limit ? __builtin_inff() : v < -limit ? -__builtin_inff() : static_cast<float>(v);
  }

  // From the tensor to the frame; false where that is beyond float's range. The transform is made of scales and a turn by a multiple of 90
  // degrees about the optical axis.
  bool to_frame(ef_face& face) const {
    float x[2], y[2];
    map(face.box[0], face.box[1], &x[0], &y[0]);
    map(face.box[2], face.box[3], &x[1], &y[1]);
    const bool sx = x[0] > x[1], sy = y[0] > y[1];
    face.box[0] = x[sx], face.box[1] = y[sy], face.box[2] = x[!sx], face.box[3] = y[!sy];
    for (auto& p : face.landmarks) map(p[0], p[1], &p[0], &p[1]);
    float turned[2][3];
    for (int i = 0; i < 2; ++i) {
      const float a = sign(m_[3 * i]), b = sign(m_[3 * i + 1]);
      for (int j = 0; j < 3; ++j) turned[i][j] = a * face.rotation[j] + b * face.rotation[3 + j];
    }
    for (int i = 0; i < 6; ++i) face.rotation[i] = turned[i / 3][i % 3];
    return all_finite(face);
  }

  static float sign(double v) { return v > 0 ? 1.0f : v < 0 ? -1.0f : 0.0f; }

  static constexpr int kWeights = 6, kSupport = 7, kBoxWeights = 8;

  const Level* levels_;
  int count_;
  const ef_decode_options& options_;
  const double* m_;
  uint64_t* keys_;  // of the faces kept so far: the cell in the lower half, a link of the index in the upper
  Neighbours neighbours_;
};

bool finite64(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  return (bits >> 52 & 0x7ff) != 0x7ff;
}

// Scales and a quarter turn, nothing else: exactly one of each pair of the 2 x 2 part is zero, and the determinant is positive.
bool valid(const double m[6]) {
  for (int i = 0; i < 6; ++i)
    if (!finite64(m[i])) return false;
  if (m[1] == 0 && m[3] == 0) return m[0] * m[4] > 0;
  return m[0] == 0 && m[4] == 0 && m[1] * m[3] < 0;
}

ef_status level_of(const ef_output* outputs, uint32_t index, Level* level) {
  const ef_output& output = outputs[index];
  const auto fault = [index](ef_status status, const char* member) { return ef::fault(status, "outputs", index, member); };
  if (output.struct_size < sizeof(ef_output)) return fault(EF_ERROR_STRUCT_SIZE, "struct_size");
  if (output.dtype > EF_DTYPE_FLOAT32) return fault(EF_ERROR_ARGUMENT, "dtype");
  if (output.layout > EF_LAYOUT_NCHW) return fault(EF_ERROR_ARGUMENT, "layout");
  if (!output.stride || output.stride > EF_MAX_SIDE) return fault(EF_ERROR_ARGUMENT, "stride");
  if (!output.columns || output.columns > EF_MAX_SIDE) return fault(EF_ERROR_SIZE, "columns");
  if (!output.rows || output.rows > EF_MAX_SIDE) return fault(EF_ERROR_SIZE, "rows");
  if (!output.data) return fault(EF_ERROR_NULL, "data");
  if (output.dtype == EF_DTYPE_FLOAT32 && reinterpret_cast<uintptr_t>(output.data) % sizeof(float)) return fault(EF_ERROR_ARGUMENT, "data");
  if (!(output.scale >= 0) || !finite(output.scale)) return fault(EF_ERROR_ARGUMENT, "scale");
  const float scale = output.scale == 0 ? 1.0f : output.scale;
  for (int c = 0; c < EF_HEAD_CHANNELS; ++c) {
    level->scale[c] = scale * (output.channel_scales ? output.channel_scales[c] : 1.0f);
    if (!(level->scale[c] > 0) || !finite(level->scale[c])) return fault(EF_ERROR_ARGUMENT, output.channel_scales ? "channel_scales" : "scale");
  }
  level->output = &output;
  level->cell_step = output.cell_step;
  level->row_step = output.row_step;
  level->channel_step = output.channel_step;
  if (!output.cell_step && !output.row_step && !output.channel_step) {
    const bool planar = output.layout == EF_LAYOUT_NCHW;
    level->cell_step = planar ? 1 : EF_HEAD_CHANNELS;
    level->row_step = level->cell_step * static_cast<ptrdiff_t>(output.columns);
    level->channel_step = planar ? level->row_step * static_cast<ptrdiff_t>(output.rows) : 1;
  }
  const Extent extents[] = {{output.columns, level->cell_step}, {output.rows, level->row_step}, {EF_HEAD_CHANNELS, level->channel_step}};
  if (!reachable(output.data, output.dtype == EF_DTYPE_FLOAT32 ? sizeof(float) : 1, extents)) return fault(EF_ERROR_STRIDE, "row_step");
  return EF_OK;
}

}  // namespace
}  // namespace ef

extern "C" ef_status ef_decode(ef_context* context, const ef_output* outputs, uint32_t output_count, const ef_transform* transform,
                               const ef_decode_options* options, ef_faces* faces) {
  using ef::fault;
  if (!context || !outputs || !options || !faces)
    return fault(EF_ERROR_NULL, !context ? "context" : !outputs ? "outputs" : !options ? "options" : "faces");
  if (options->struct_size < sizeof(ef_decode_options)) return fault(EF_ERROR_STRUCT_SIZE, "options.struct_size");
  if (faces->struct_size < sizeof(ef_faces)) return fault(EF_ERROR_STRUCT_SIZE, "faces.struct_size");
  if (transform && transform->struct_size < sizeof(ef_transform)) return fault(EF_ERROR_STRUCT_SIZE, "transform.struct_size");
  faces->count = 0;
  if (faces->face_size < sizeof(ef_face) || faces->face_size % alignof(ef_face)) return fault(EF_ERROR_STRUCT_SIZE, "faces.face_size");
  if (faces->capacity && !faces->items) return fault(EF_ERROR_NULL, "faces.items");
  if (!output_count || output_count > EF_MAX_LEVELS) return fault(EF_ERROR_ARGUMENT, "output_count");
  if (!(options->min_score > 0) || !(options->min_score < 1)) return fault(EF_ERROR_ARGUMENT, "options.min_score");
  if (!(options->nms_iou >= 0) || !(options->nms_iou <= 1)) return fault(EF_ERROR_ARGUMENT, "options.nms_iou");
  static const double kIdentity[6] = {1, 0, 0, 0, 1, 0};
  const double* m = transform ? transform->m : kIdentity;
  if (!ef::valid(m)) return fault(EF_ERROR_ARGUMENT, "transform.m");

  ef::Level levels[EF_MAX_LEVELS];
  for (uint32_t i = 0; i < output_count; ++i) {
    ef::Level level;
    if (const ef_status status = ef::level_of(outputs, i, &level)) return status;
    uint32_t j = i;  // kept in order of stride: of two equal scores, the lower stride's face is the better one
    for (; j > 0 && levels[j - 1].output->stride > outputs[i].stride; --j) levels[j] = levels[j - 1];
    levels[j] = level;
  }
  uint64_t cells = 0;
  for (uint32_t i = 0; i < output_count; ++i) {
    levels[i].first = static_cast<uint32_t>(cells);
    cells += static_cast<uint64_t>(levels[i].output->columns) * levels[i].output->rows;
    if (cells > context->max_cells) return fault(EF_ERROR_SIZE, "outputs", i, "columns");
  }
  faces->count = ef::Decoder(levels, static_cast<int>(output_count), *options, m, *context).run(*faces);
  return EF_OK;
}
