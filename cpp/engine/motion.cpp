#include "motion.h"

#include <math.h>

namespace ef {
namespace {

constexpr double kMeasured[4] = {0.03, 0.03, 0.05, 0.05};
constexpr double kAcceleration[4] = {30, 30, 3, 3};
constexpr double kFirstVelocity[4] = {8, 8, 2, 2};
constexpr double kCoast = 1.0, kRemembered = 0.5, kHidden = 0.1, kStands = 0.5, kLargest = 12.0;

double clamp(double v, double low, double high) { return v < low ? low : v > high ? high : v; }
double square(double v) { return v * v; }

void measure(const float box[4], double out[4]) {
  const double x1 = box[0], y1 = box[1], x2 = box[2], y2 = box[3];
  out[0] = (x1 + x2) / 2;
  out[1] = (y1 + y2) / 2;
  out[2] = log(x2 - x1 > 1 ? x2 - x1 : 1.0);
  out[3] = log(y2 - y1 > 1 ? y2 - y1 : 1.0);
}

}  // namespace

void Recent::add(const double values[5], double dt, double weight) {
  const double share = weight * (1 - exp(-dt / kRemembered));
  weights_ += share * (1 - weights_);
  for (int i = 0; i < 5; ++i) sums_[i] += share * (values[i] - sums_[i]);
}

BoxMotion::BoxMotion(const float box[4]) {
  measure(box, state_);
  for (int i = 0; i < 4; ++i) {
    p00_[i] = square(kMeasured[i] * unit(i));
    p11_[i] = square(kFirstVelocity[i] * unit(i));
  }
  make_box();
}

double BoxMotion::unit(int i) const { return i < 2 ? exp(clamp(state_[3], 0, kLargest)) : 1.0; }

double BoxMotion::uncertainty() const { return sqrt(p00_[0] > p00_[1] ? p00_[0] : p00_[1]) / unit(0); }

bool BoxMotion::stands() const {
  double u[5];
  usual(u);
  return hypot(u[1], u[2]) < kStands * unit(0);
}

void BoxMotion::predict(double dt, bool coasting) {
  const double slower = coasting ? exp(-dt / kCoast) : 1.0;
  const double height = unit(0);
  if (!coasting) {
    const double own[5] = {state_[2] - state_[3], velocity_[0] - camera_[0], velocity_[1] - camera_[1], velocity_[2], velocity_[3]};
    const double known = 1 - p11_[0] / square(kFirstVelocity[0] * height);
    recent_.add(own, dt, known > 0 ? known : 0);
  }
  for (int i = 0; i < 4; ++i) {
    state_[i] += velocity_[i] * dt;
    velocity_[i] *= slower;
    if (i < 2) camera_[i] *= slower;
    const double q = square(kAcceleration[i] * (i < 2 ? height : 1.0));
    p00_[i] += 2 * dt * p01_[i] + dt * dt * p11_[i] + q * dt * dt * dt * dt / 4;
    p01_[i] += dt * p11_[i] + q * dt * dt * dt / 2;
    p11_[i] += q * dt * dt;
  }
  make_box();
}

void BoxMotion::correct(const float box[4]) {
  double measured[4];
  measure(box, measured);
  const double height = unit(0);
  for (int i = 0; i < 4; ++i) {
    const double total = p00_[i] + square(kMeasured[i] * (i < 2 ? height : 1.0));
    const double gain0 = p00_[i] / total, gain1 = p01_[i] / total, error = measured[i] - state_[i];
    state_[i] += gain0 * error;
    velocity_[i] += gain1 * error;
    p11_[i] -= gain1 * p01_[i];
    p00_[i] *= 1 - gain0;
    p01_[i] *= 1 - gain0;
  }
  make_box();
}

void BoxMotion::lose() {
  double u[5];
  usual(u);
  const double missing = u[0] - (state_[2] - state_[3]);
  if (!rode_ && fabs(missing) < kHidden) return;
  const double usual_velocity[4] = {u[1] + camera_[0], u[2] + camera_[1], u[3], u[4]};
  const int axis = missing > 0 ? 0 : 1;
  const double seen = exp(state_[2 + axis]);
  state_[2 + axis] += fabs(missing);
  const double hidden = exp(state_[2 + axis]) - seen;
  state_[axis] -= copysign(hidden / 2, velocity_[axis] - usual_velocity[axis]);
  for (int i = 0; i < 4; ++i) velocity_[i] = usual_velocity[i];
  make_box();
}

void BoxMotion::ride(const CameraMotion& camera, double dt, bool seen) {
  rode_ = true;
  const double x = state_[0] - velocity_[0] * dt, y = state_[1] - velocity_[1] * dt;
  for (int i = 0; i < 2; ++i) {
    const double moved = (camera.scale - 1) * (i ? y : x) + camera.shift[i];
    const double change = moved / dt - camera_[i];
    camera_[i] += change;
    if (seen) continue;
    state_[i] += change * dt;
    velocity_[i] += change;
  }
  if (seen) return;
  const double grown = clamp(log(camera.scale > 0.1 ? camera.scale : 0.1), -0.2, 0.2);
  for (int i = 2; i < 4; ++i) {
    state_[i] += grown - velocity_[i] * dt;
    velocity_[i] = 0;
  }
  make_box();
}

void BoxMotion::usual(double out[5]) const {
  for (int i = 0; i < 5; ++i) out[i] = recent_.known() ? recent_.mean(i) : i ? 0.0 : state_[2] - state_[3];
}

void BoxMotion::make_box() {
  const double w = exp(clamp(state_[2], -1, kLargest)) / 2, h = exp(clamp(state_[3], -1, kLargest)) / 2;
  box_[0] = static_cast<float>(state_[0] - w);
  box_[1] = static_cast<float>(state_[1] - h);
  box_[2] = static_cast<float>(state_[0] + w);
  box_[3] = static_cast<float>(state_[1] + h);
}

}  // namespace ef
