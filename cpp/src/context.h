// What ef_create sets up: one block that holds the context and all scratch memory.
#ifndef EDGEFACE_SRC_CONTEXT_H
#define EDGEFACE_SRC_CONTEXT_H

#include "kernels.h"

namespace ef {

constexpr int kPad = 16;        // elements that a kernel may read or write past a scratch row
constexpr int kBlockRows = 16;  // rows staged before a quarter turn is transposed

struct Scratch {
  uint16_t* blended;        // one row of vertically blended or summed source elements
  uint8_t* derived[3][2];   // two rows, split or shrunk, of each component
  uint8_t* component[6];    // one output row of each component, before and after colour conversion
  uint8_t* staged[3];       // kBlockRows output rows for quarter turns
  uint8_t* segment[3];      // one transposed segment for each output row of a quarter turn
  uint8_t* interleaved;     // one output row, interleaved, on its way to float
  int32_t* offsets[4];      // taps: luma x, luma y, chroma x, chroma y
  uint32_t* weights[4];
  uint64_t* keys;           // candidates of ef_decode
  uint32_t* heads;          // of its index of kept boxes
};

}  // namespace ef

struct ef_context {
  const ef::Kernels* kernels;
  uint32_t max_width, max_height, tensor_width, tensor_height;
  uint32_t max_side;   // longer side of the largest tensor
  uint32_t max_cells;  // of all levels of the largest tensor
  uint32_t head_count;
  ef::Scratch scratch;
  void (*release)(void* user, void* block);
  void* user;
  void* block;  // nullptr: the caller's memory
};

#endif
