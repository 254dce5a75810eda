#include "camera.h"

#include <math.h>

#include <algorithm>

namespace ef {
namespace {

constexpr double kAgrees = 0.15, kApart = 2.0, kOneSided = 0.05;
constexpr float kAsLarge = 1.5f, kExplains = 0.3f;
constexpr size_t kVoters = 5;
constexpr double kHold = 0.25;

double centre(const float* box, int axis) { return (static_cast<double>(box[axis]) + box[2 + axis]) / 2; }
float height(const float* box) { return std::max(box[3] - box[1], 1.0f); }
float width(const float* box) { return std::max(box[2] - box[0], 1.0f); }

// As numpy.median: of an even number the mean of the middle two. Reorders.
double median(std::vector<double>& v) {
  const size_t middle = v.size() / 2;
  std::nth_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(middle), v.end());
  if (v.size() % 2) return v[middle];
  return (*std::max_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(middle)) + v[middle]) / 2;
}

}  // namespace

bool camera_motion(const Boxes& before, const Boxes& after, Scratch& scratch, CameraMotion* out) {
  const size_t n = before.size();
  if (n < 2) return false;
  std::vector<double>& v = scratch.a;
  v.clear();
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i + 1; j < n; ++j) {
      const double apart = hypot(centre(before[i], 0) - centre(before[j], 0), centre(before[i], 1) - centre(before[j], 1));
      if (apart > kApart * (static_cast<double>(height(before[i])) + height(before[j])))
        v.push_back(hypot(centre(after[i], 0) - centre(after[j], 0), centre(after[i], 1) - centre(after[j], 1)) / apart);
    }
  out->scale = v.empty() ? 1.0 : median(v);
  for (int axis = 0; axis < 2; ++axis) {
    v.clear();
    for (size_t i = 0; i < n; ++i) v.push_back(centre(after[i], axis) - out->scale * centre(before[i], axis));
    out->shift[axis] = median(v);
  }
  size_t agree = 0;
  for (size_t i = 0; i < n; ++i) {
    const double x = centre(after[i], 0) - out->scale * centre(before[i], 0) - out->shift[0];
    const double y = centre(after[i], 1) - out->scale * centre(before[i], 1) - out->shift[1];
    agree += sqrt(x * x + y * y) < kAgrees * height(before[i]);
  }
  return static_cast<double>(agree) >= std::max(2.0, 2.0 / 3 * static_cast<double>(n));
}

bool lone_motion(const float before[4], const float after[4], CameraMotion* out) {
  const double w = log(static_cast<double>(width(after)) / width(before)), h = log(static_cast<double>(height(after)) / height(before));
  if (fabs(w - h) > kOneSided) return false;
  out->scale = 1;
  for (int axis = 0; axis < 2; ++axis) out->shift[axis] = centre(after, axis) - centre(before, axis);
  return true;
}

double travelled(const CameraMotion& camera, const Boxes& boxes, Scratch& scratch) {
  std::vector<double>& v = scratch.a;
  v.clear();
  for (const float* box : boxes)
    v.push_back(hypot((camera.scale - 1) * centre(box, 0) + camera.shift[0], (camera.scale - 1) * centre(box, 1) + camera.shift[1]) / height(box));
  return median(v);
}

void common_shift(const Boxes& predicted, const Boxes& found, Scratch& s, double shift[2]) {
  shift[0] = shift[1] = 0;
  const size_t n = predicted.size(), m = found.size(), fewer = std::min(n, m);
  if (fewer < 2) return;
  s.ways.assign(2 * n * m, 0);
  s.possible.assign(n * m, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < m; ++j) {
      for (int axis = 0; axis < 2; ++axis)
        s.ways[2 * (i * m + j) + static_cast<size_t>(axis)] = static_cast<float>(centre(found[j], axis) - centre(predicted[i], axis));
      const float ratio = height(found[j]) / height(predicted[i]);
      s.possible[i * m + j] = ratio > 1 / kAsLarge && ratio < kAsLarge;
    }
  const auto explains = [&](float x, float y, size_t i, size_t j) {
    const float dx = s.ways[2 * (i * m + j)] - x, dy = s.ways[2 * (i * m + j) + 1] - y, reach = kExplains * height(predicted[i]);
    return s.possible[i * m + j] && dx * dx + dy * dy < reach * reach;
  };
  const auto votes = [&](float x, float y) {
    s.rows.assign(n, 0);
    s.columns.assign(m, 0);
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < m; ++j)
        if (explains(x, y, i, j)) s.rows[i] = s.columns[j] = 1;
    return static_cast<size_t>(std::min(std::count(s.rows.begin(), s.rows.end(), 1), std::count(s.columns.begin(), s.columns.end(), 1)));
  };
  if (static_cast<double>(votes(0, 0)) > kHold * static_cast<double>(fewer)) return;
  // the shifts that the largest faces propose, the shortest first
  s.order.clear();
  for (size_t i = 0; i < n; ++i) s.order.push_back(i);
  std::stable_sort(s.order.begin(), s.order.end(), [&](size_t a, size_t b) { return height(predicted[a]) > height(predicted[b]); });
  s.order.resize(std::min(n, kVoters));
  std::vector<double>& proposed = s.b;  // as i * m + j
  proposed.clear();
  for (const size_t i : s.order)
    for (size_t j = 0; j < m; ++j)
      if (s.possible[i * m + j]) proposed.push_back(static_cast<double>(i * m + j));
  const auto length = [&](double pair) {
    const size_t at = 2 * static_cast<size_t>(pair);
    return sqrtf(s.ways[at] * s.ways[at] + s.ways[at + 1] * s.ways[at + 1]);
  };
  std::stable_sort(proposed.begin(), proposed.end(), [&](double a, double b) { return length(a) < length(b); });
  size_t most = 0, best = 0;
  for (const double pair : proposed) {
    const size_t at = static_cast<size_t>(pair), count = votes(s.ways[2 * at], s.ways[2 * at + 1]);
    if (count > most) most = count, best = at;
  }
  if (static_cast<double>(most) < std::max(2.0, 2.0 / 3 * static_cast<double>(fewer))) return;
  const float x = s.ways[2 * best], y = s.ways[2 * best + 1];
  for (int axis = 0; axis < 2; ++axis) {
    s.a.clear();
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j < m; ++j)
        if (explains(x, y, i, j)) s.a.push_back(s.ways[2 * (i * m + j) + static_cast<size_t>(axis)]);
    shift[axis] = median(s.a);
  }
}

}  // namespace ef
