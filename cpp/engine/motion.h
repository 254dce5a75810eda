// Where a box will be: a Kalman filter of constant velocity for each of its four numbers (edgeface/tracking/motion.py).
#ifndef EDGEFACE_ENGINE_MOTION_H
#define EDGEFACE_ENGINE_MOTION_H

#include "camera.h"

namespace ef {

// Means of five numbers over about the last half second (edgeface/tracking/recent.py).
class Recent {
 public:
  bool known() const { return weights_ != 0; }
  double mean(int i) const { return sums_[i] / weights_; }
  void add(const double values[5], double dt, double weight);

 private:
  double sums_[5] = {}, weights_ = 0;
};

class BoxMotion {
 public:
  explicit BoxMotion(const float box[4]);
  const float* box() const { return box_; }
  double uncertainty() const;  // standard deviation of the predicted centre, in heights of the face
  bool stands() const;
  void predict(double dt, bool coasting);
  void correct(const float box[4]);
  void lose();
  void ride(const CameraMotion& camera, double dt, bool seen);

 private:
  void usual(double out[5]) const;
  double unit(int i) const;
  void make_box();

  double state_[4], velocity_[4] = {}, camera_[2] = {};
  double p00_[4], p01_[4] = {}, p11_[4];
  bool rode_ = false;
  Recent recent_;
  float box_[4];
};

}  // namespace ef

#endif
