// What this library needs of a bundle's manifest (docs/bundle.md), checked as edgeface/manifest.py checks it.
#ifndef EDGEFACE_ENGINE_MANIFEST_H
#define EDGEFACE_ENGINE_MANIFEST_H

#include <array>
#include <string>
#include <vector>

#include "edgeface/edgeface.h"

namespace ef {

struct Tensor {
  std::string name;
  uint32_t dtype = 0, layout = 0, color = 0, stride = 0, role = 0;  // stride of a face network's output, role of a per-face one's
  float scale = 0;
  int32_t zero_point = 0;
};

struct File {
  std::string name, sha256;
};

struct Network {
  File file, weights;  // no weights: an empty name
  std::string format, precision, target;
  uint32_t width = 0, height = 0, size_multiple = 1;  // 0: any size
  Tensor input;
  std::vector<Tensor> outputs;

  bool serves(uint32_t w, uint32_t h) const;
};

struct Manifest {
  std::string name, version, licence;
  uint32_t width = 0, height = 0;
  float min_score = 0, nms_iou = 0;
  float margin = 0;  // of a per-face network (rule edgeface-points-v1); 0: one that finds faces
  std::vector<uint32_t> strides;
  std::vector<std::array<float, EF_HEAD_CHANNELS>> channel_scales;  // of each stride
  std::vector<Network> networks;

  const float* channel_scales_of(uint32_t stride) const;

  // `text` ends in a 0 that `size` does not count.
  ef_status parse(const char* text, size_t size);
};

}  // namespace ef

#endif
