/* The step between ef_preprocess and ef_decode: any runtime or NPU, behind a table of functions that a plugin exports.
 *
 * A plugin is a shared object with one symbol, `edgeface_network`, that fills a `network`. For LiteRT, onnxruntime, RKNN or another vendor's
 * runtime, `open` loads the model, `run` calls it, and the tensors it reports are the runtime's own buffers: ef_preprocess writes straight into
 * the input, ef_decode reads straight from the outputs. blob_network.c is the smallest possible one. */
#ifndef EDGEFACE_EXAMPLES_INFERENCE_H
#define EDGEFACE_EXAMPLES_INFERENCE_H

#include <edgeface/edgeface.h>

typedef struct network {
  void *state;
  ef_input input;                    /* where ef_preprocess writes, and in which format */
  ef_output outputs[EF_MAX_LEVELS];  /* where ef_decode reads after `run` */
  uint32_t output_count;
  int (*run)(void *state);           /* 0: done */
  void (*close)(void *state);
} network;

/* What a plugin exports under the name "edgeface_network": 0, or a number that says what failed. `model` may be NULL. */
typedef int (*network_open)(const char *model, network *out);

/* Loads a plugin; returns 0, or prints why not. */
int open_network(const char *plugin, const char *model, network *out);

#endif
