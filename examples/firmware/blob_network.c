/* A plugin without a runtime: a cell of 32 pixels whose middle is bright is a face of 64 by 64 pixels. Replace `run` by your runtime's call. */
#include <string.h>

#include "inference.h"

enum { WIDTH = 320, HEIGHT = 240, STRIDE = 32, COLUMNS = WIDTH / STRIDE, ROWS = 8 /* HEIGHT / STRIDE, rounded up */ };

static int8_t input[HEIGHT * WIDTH * 3];
static int8_t output[ROWS * COLUMNS * EF_HEAD_CHANNELS];

static int run(void *state) {
  (void)state;
  memset(output, 0, sizeof output);
  for (int row = 0; row < ROWS; ++row)
    for (int column = 0; column < COLUMNS; ++column) {
      const int y = row * STRIDE + STRIDE / 2 < HEIGHT ? row * STRIDE + STRIDE / 2 : HEIGHT - 1;
      int8_t *head = output + (row * COLUMNS + column) * EF_HEAD_CHANNELS;
      head[0] = input[(y * WIDTH + column * STRIDE + STRIDE / 2) * 3] > 64 ? 100 : -100; /* score: logit 5 or -5 */
      head[4] = head[5] = 14;                                                             /* log 2, nearly: twice the stride */
      head[16] = head[20] = 20;                                                           /* the identity rotation */
    }
  return 0;
}

static void close_it(void *state) { (void)state; }

int edgeface_network(const char *model, network *out) {
  (void)model;
  out->input.struct_size = sizeof out->input;
  out->input.width = WIDTH;
  out->input.height = HEIGHT;
  out->input.dtype = EF_DTYPE_INT8;
  out->input.layout = EF_LAYOUT_NHWC;
  out->input.data = input;
  out->outputs[0].struct_size = sizeof out->outputs[0];
  out->outputs[0].dtype = EF_DTYPE_INT8;
  out->outputs[0].layout = EF_LAYOUT_NHWC;
  out->outputs[0].stride = STRIDE;
  out->outputs[0].columns = COLUMNS;
  out->outputs[0].rows = ROWS;
  out->outputs[0].scale = 0.05f;
  out->outputs[0].data = output;
  out->output_count = 1;
  out->run = run;
  out->close = close_it;
  return 0;
}
