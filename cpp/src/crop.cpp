// ef_face_crop: where the head is and how large, by weak perspective from five landmarks and the rotation.
#include "crop.h"

#include "fault.h"
#include "mean_face.h"

namespace ef {
namespace {

constexpr double kFaceWidth = 2.0 * kMeanFace[16][0];        // metres, jaw point 0 to 16
constexpr double kCentre[3] = {0, .055, .028};               // of the smallest ball around the 68 points and the chin of an open mouth
constexpr double kBoxSide = 1.05;                            // face widths: root of the area of a detector's box, at any yaw
constexpr double kSmallest = .6, kLargest = 1.6;             // scale by the landmarks over scale by the box
constexpr double kForeshortened = .25;                       // a head's axis that the picture shows shorter says little of its roll
constexpr float kMargin = 1.7f, kLeastMargin = .5f, kMostMargin = 8;

bool within(double value, double limit) { return value >= -limit && value <= limit; }

// The five landmarks of the mean face, in the order of ef_face.
void five_points(double out[EF_LANDMARKS][3]) {
  constexpr int kRightEye = 36, kLeftEye = 42, kNose = 30, kMouth[2] = {48, 54};
  for (int k = 0; k < 3; ++k) {
    double right = 0, left = 0;
    for (int i = 0; i < 6; ++i) right += kMeanFace[kRightEye + i][k], left += kMeanFace[kLeftEye + i][k];
    out[0][k] = right / 6, out[1][k] = left / 6, out[2][k] = kMeanFace[kNose][k];
    out[3][k] = kMeanFace[kMouth[0]][k], out[4][k] = kMeanFace[kMouth[1]][k];
  }
}

// Which way is down in the crop, as a unit vector of the frame.
void down_axis(const float r[9], double down[2]) {
  down[0] = r[1], down[1] = r[4];
  double length = __builtin_sqrt(down[0] * down[0] + down[1] * down[1]);
  if (length < kForeshortened) {  // looks straight up or down: the axis between the ears shows its roll
    down[0] = -static_cast<double>(r[3]), down[1] = r[0];
    length = __builtin_sqrt(down[0] * down[0] + down[1] * down[1]);
  }
  if (length < 1e-6) down[0] = 0, down[1] = length = 1;  // no rotation at all
  down[0] /= length, down[1] /= length;
}

// The member that no crop comes of, or nullptr.
const char* wrong_member(const ef_face& face) {
  for (const float v : face.box)
    if (!within(v, kLargestFace)) return "face.box";
  if (!(face.box[2] > face.box[0]) || !(face.box[3] > face.box[1])) return "face.box";
  for (const auto& p : face.landmarks)
    if (!within(p[0], kLargestFace) || !within(p[1], kLargestFace)) return "face.landmarks";
  for (const float v : face.rotation)
    if (!within(v, 2)) return "face.rotation";
  return nullptr;
}

}  // namespace

ef_status check_crop(const ef_crop& crop) {
  if (crop.struct_size < sizeof(ef_crop)) return fault(EF_ERROR_STRUCT_SIZE, "crop.struct_size");
  const double* m = crop.m;
  for (int i = 0; i < 6; ++i)
    if (!within(m[i], kLargestCrop)) return fault(EF_ERROR_ARGUMENT, "crop.m");
  const double side = __builtin_sqrt(m[0] * m[0] + m[3] * m[3]), slack = 1e-6 * side;
  if (!(side >= 1e-3) || !within(m[0] - m[4], slack) || !within(m[1] + m[3], slack)) return fault(EF_ERROR_ARGUMENT, "crop.m");
  if (!(crop.face_width > 0) || crop.face_width > kLargestCrop) return fault(EF_ERROR_ARGUMENT, "crop.face_width");
  return EF_OK;
}

}  // namespace ef

extern "C" {

ef_status ef_face_crop(const ef_face* face, float margin, ef_crop* crop) {
  using namespace ef;
  if (!face || !crop) return fault(EF_ERROR_NULL, face ? "crop" : "face");
  if (crop->struct_size < sizeof(ef_crop)) return fault(EF_ERROR_STRUCT_SIZE, "crop.struct_size");
  if (const char* member = wrong_member(*face)) return fault(EF_ERROR_ARGUMENT, member);
  if (margin == 0) margin = kMargin;
  if (!(margin >= kLeastMargin && margin <= kMostMargin)) return fault(EF_ERROR_ARGUMENT, "margin");

  const float* r = face->rotation;
  double model[EF_LANDMARKS][3], seen[EF_LANDMARKS][2], mean_p[2] = {0, 0}, mean_q[2] = {0, 0};
  five_points(model);
  for (int i = 0; i < EF_LANDMARKS; ++i)
    for (int k = 0; k < 2; ++k) {
      seen[i][k] = r[3 * k] * model[i][0] + r[3 * k + 1] * model[i][1] + r[3 * k + 2] * model[i][2];
      mean_p[k] += face->landmarks[i][k] / 5.0;
      mean_q[k] += seen[i][k] / 5.0;
    }
  double both = 0, own = 0;
  for (int i = 0; i < EF_LANDMARKS; ++i)
    for (int k = 0; k < 2; ++k) {
      const double q = seen[i][k] - mean_q[k];
      both += (face->landmarks[i][k] - mean_p[k]) * q;
      own += q * q;
    }
  const double area = (static_cast<double>(face->box[2]) - face->box[0]) * (static_cast<double>(face->box[3]) - face->box[1]);
  const double expected = __builtin_sqrt(area) / (kBoxSide * kFaceWidth);
  double scale = own > 1e-12 ? both / own : expected;  // pixels a metre
  scale = scale < kSmallest * expected ? kSmallest * expected : scale > kLargest * expected ? kLargest * expected : scale;

  double down[2];
  down_axis(r, down);
  const double side = static_cast<double>(margin) * kFaceWidth * scale;
  double centre[2];
  for (int k = 0; k < 2; ++k) {
    const double offset = r[3 * k] * kCentre[0] + r[3 * k + 1] * kCentre[1] + r[3 * k + 2] * kCentre[2];
    centre[k] = mean_p[k] + scale * (offset - mean_q[k]);
  }
  ef_crop made = *crop;
  made.face_width = static_cast<float>(kFaceWidth * scale);
  const double m[6] = {side * down[1], side * down[0], centre[0], -side * down[0], side * down[1], centre[1]};
  for (int i = 0; i < 6; ++i) made.m[i] = m[i];
  if (const ef_status status = check_crop(made)) return status;
  *crop = made;
  return EF_OK;
}

const float* ef_mean_face(void) { return &ef::kMeanFace[0][0]; }

}  // extern "C"
