// The aligned crop of a face.
#ifndef EDGEFACE_SRC_CROP_H
#define EDGEFACE_SRC_CROP_H

#include "edgeface/edgeface.h"

namespace ef {

constexpr double kLargestFace = 1 << 20;  // of a coordinate of a face, in pixels
constexpr double kLargestCrop = 1 << 24;  // of a number in a crop's matrix: 24 bits more of fraction fit 64

// EF_OK, or the fault of a crop that the caller gave.
ef_status check_crop(const ef_crop& crop);

}  // namespace ef
#endif
