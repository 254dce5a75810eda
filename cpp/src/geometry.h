// Where every pixel of the tensor comes from.
#ifndef EDGEFACE_SRC_GEOMETRY_H
#define EDGEFACE_SRC_GEOMETRY_H

#include "edgeface/edgeface.h"

namespace ef {

struct Rect {
  uint32_t x, y, width, height;
};

struct Geometry {
  Rect crop;                   // in the frame
  uint32_t rotation;           // degrees clockwise
  uint32_t width, height;      // of the resized crop, as the camera sees it (before the rotation)
  uint32_t left, top;          // where the upright picture lies in the tensor
  uint32_t upright_width, upright_height;

  static Geometry of(const Rect& crop, uint32_t rotation, uint32_t tensor_width, uint32_t tensor_height, bool letterbox);
  void transform(double m[6]) const;
};

// One axis of one plane: `count` output pixels over `length` frame pixels from `start`, on a plane that holds every `subsample`th.
struct Axis {
  uint32_t first;   // plane pixel of the first box
  uint32_t boxes;   // boxes of `box` plane pixels that the taps run over
  uint32_t box;     // 1: plane pixels themselves
  bool half;        // every output is the mean of boxes 2 i and 2 i + 1
  bool same;        // every output is box i

  // offsets[i] = index of the first box times `step`; weights[i] = w0 | w1 << 16 with w0 + w1 = 128
  static Axis of(uint32_t start, uint32_t length, uint32_t subsample, uint32_t count, bool area, int step, int32_t* offsets, uint32_t* weights);
};

}  // namespace ef
#endif
