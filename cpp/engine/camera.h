// How the camera moved, from faces alone (edgeface/tracking/camera.py and jerk.py). Boxes are float[4]: x1 y1 x2 y2.
#ifndef EDGEFACE_ENGINE_CAMERA_H
#define EDGEFACE_ENGINE_CAMERA_H

#include <stddef.h>

#include <vector>

namespace ef {

// Where things that stand still went: new = scale * old + shift, in pixels.
struct CameraMotion {
  double scale = 1;
  double shift[2] = {0, 0};
};

// Memory that the functions below use again at every frame.
struct Scratch {
  std::vector<double> a, b;
  std::vector<float> ways;
  std::vector<size_t> order;
  std::vector<unsigned char> possible, rows, columns;
};

using Boxes = std::vector<const float*>;

// From two faces or more; false where fewer than two, or fewer than two thirds of them, agree.
bool camera_motion(const Boxes& before, const Boxes& after, Scratch& scratch, CameraMotion* out);

// From a single face that stands still; false where one side of it changed more than the other.
bool lone_motion(const float before[4], const float after[4], CameraMotion* out);

// How far the camera's motion takes faces, in their heights: the median of them.
double travelled(const CameraMotion& camera, const Boxes& boxes, Scratch& scratch);

// What a jerk of the camera added to all predictions, before it is known which face is which; 0 where there was none.
void common_shift(const Boxes& predicted, const Boxes& found, Scratch& scratch, double shift[2]);

}  // namespace ef

#endif
