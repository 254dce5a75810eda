// ef_decode_points: the per-face network's numbers to points in the frame (docs/bundle.md, rule edgeface-points-v1).
#include "crop.h"
#include "fault.h"
#include "math.h"

namespace ef {
namespace {

constexpr int kCounts[EF_POINTS_OUTPUTS] = {2 * EF_POINTS, EF_POINTS, EF_POINTS, EF_POINTS, 9};
constexpr double kFarthest = 100;  // crop sides; and the largest logarithm of a spread is that of it
constexpr double kLeastLog = -20, kMostLog = 4.6;

double clamped(double v, double low, double high) { return v < low ? low : v > high ? high : v; }

// A stored number as a real one, exact in double.
double number(const ef_points_output& o, int i) {
  double q;
  if (o.dtype == EF_DTYPE_FLOAT32)
    q = static_cast<const float*>(o.data)[i];
  else if (o.dtype == EF_DTYPE_INT8)
    q = static_cast<const int8_t*>(o.data)[i];
  else
    q = static_cast<const uint8_t*>(o.data)[i];
  return (q - o.zero_point) * (o.scale == 0 ? 1.0 : static_cast<double>(o.scale));
}

ef_status check(const ef_points_output* outputs, const ef_points_output* by_role[EF_POINTS_OUTPUTS]) {
  for (uint32_t i = 0; i < EF_POINTS_OUTPUTS; ++i) {
    const ef_points_output& o = outputs[i];
    const auto wrong = [i](ef_status status, const char* member) { return fault(status, "outputs", i, member); };
    if (o.struct_size < sizeof(ef_points_output)) return wrong(EF_ERROR_STRUCT_SIZE, "struct_size");
    if (o.role >= EF_POINTS_OUTPUTS || by_role[o.role]) return wrong(EF_ERROR_ARGUMENT, "role");
    if (o.dtype > EF_DTYPE_FLOAT32) return wrong(EF_ERROR_ARGUMENT, "dtype");
    if (!(o.scale >= 0) || o.scale > 1e6f) return wrong(EF_ERROR_ARGUMENT, "scale");
    if (!o.data) return wrong(EF_ERROR_NULL, "data");
    if (o.dtype == EF_DTYPE_FLOAT32 && reinterpret_cast<uintptr_t>(o.data) % sizeof(float)) return wrong(EF_ERROR_ARGUMENT, "data");
    by_role[o.role] = &o;
  }
  for (uint32_t i = 0; i < EF_POINTS_OUTPUTS; ++i)
    if (outputs[i].dtype == EF_DTYPE_FLOAT32)
      for (int k = 0; k < kCounts[outputs[i].role]; ++k)
        if (!finite(static_cast<const float*>(outputs[i].data)[k])) return fault(EF_ERROR_RUNTIME, "outputs", i, "data");
  return EF_OK;
}

}  // namespace
}  // namespace ef

extern "C" ef_status ef_decode_points(const ef_points_output* outputs, uint32_t output_count, const ef_crop* crop, ef_points* points) {
  using namespace ef;
  if (!outputs || !crop || !points) return fault(EF_ERROR_NULL, !outputs ? "outputs" : !crop ? "crop" : "points");
  if (points->struct_size < sizeof(ef_points)) return fault(EF_ERROR_STRUCT_SIZE, "points.struct_size");
  if (output_count != EF_POINTS_OUTPUTS) return fault(EF_ERROR_ARGUMENT, "output_count");
  if (const ef_status status = check_crop(*crop)) return status;
  const ef_points_output* by_role[EF_POINTS_OUTPUTS] = {};
  if (const ef_status status = check(outputs, by_role)) return status;

  const double* m = crop->m;
  const double side = __builtin_sqrt(m[0] * m[0] + m[3] * m[3]), width = crop->face_width;
  double places[EF_POINTS][3], mean[3] = {0, 0, 0};
  for (int i = 0; i < EF_POINTS; ++i) {
    const double x = clamped(number(*by_role[EF_POINTS_PLACE], 2 * i), -kFarthest, kFarthest);
    const double y = clamped(number(*by_role[EF_POINTS_PLACE], 2 * i + 1), -kFarthest, kFarthest);
    places[i][0] = m[0] * x + m[1] * y + m[2];
    places[i][1] = m[3] * x + m[4] * y + m[5];
    places[i][2] = side * clamped(number(*by_role[EF_POINTS_DEPTH], i), -kFarthest, kFarthest);
    for (int k = 0; k < 3; ++k) mean[k] += places[i][k] / EF_POINTS;
  }
  for (int i = 0; i < EF_POINTS; ++i) {
    for (int k = 0; k < 2; ++k) points->points[i][k] = static_cast<float>(places[i][k]);
    for (int k = 0; k < 3; ++k) points->points3d[i][k] = static_cast<float>((places[i][k] - mean[k]) / width);
    points->spread[i] = static_cast<float>(side * exp64(clamped(number(*by_role[EF_POINTS_SPREAD], i), kLeastLog, kMostLog)));
    points->visible[i] = sigmoid(static_cast<float>(number(*by_role[EF_POINTS_VISIBLE], i)));
  }
  float state[9];
  for (int i = 0; i < 9; ++i) state[i] = sigmoid(static_cast<float>(number(*by_role[EF_POINTS_STATE], i)));
  points->eyes_open[0] = state[0], points->eyes_open[1] = state[1], points->mouth_open = state[2];
  for (int i = 0; i < 6; ++i) points->cover[i] = state[3 + i];
  return EF_OK;
}
