// What the planes of a frame hold, and the checks that every function makes that reads them.
#ifndef EDGEFACE_SRC_PLANES_H
#define EDGEFACE_SRC_PLANES_H

#include "context.h"
#include "geometry.h"

namespace ef {

struct Format {
  int planes;
  bool yuv;
  int subsample_x, subsample_y;  // of chroma
};

bool format_of(uint32_t format, Format* out);

YuvCoefficients coefficients_of(uint32_t matrix, uint32_t range);

// Whether the frame can be read and the tensor written; what the frame's format and crop are.
ef_status check_call(const ef_context& context, const ef_image& image, const ef_input& input, Format* format, Rect* crop);

}  // namespace ef
#endif
