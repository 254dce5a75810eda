// An ncnn network: floats in, one float tensor a stride out.
#ifndef EDGEFACE_ENGINE_NETWORK_H
#define EDGEFACE_ENGINE_NETWORK_H

#include <memory>
#include <vector>

#include "bundle.h"

namespace ef {

class NcnnNetwork {
 public:
  NcnnNetwork();
  ~NcnnNetwork();

  // Loads the network of a bundle, of which nothing is kept, and takes (width, height) as its input's size.
  ef_status open(ef_bundle* bundle, const Network& network, uint32_t width, uint32_t height, uint32_t threads);

  float* input();  // 3 * height * width, NCHW
  // Runs once; `outputs` have their `data` and steps set, valid until the next run.
  ef_status run(ef_output* outputs);
  // The same of a per-face network, whose outputs are rows.
  ef_status run(ef_points_output* outputs);

  static const char* version();

 private:
  ef_status compute();

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ef

#endif
