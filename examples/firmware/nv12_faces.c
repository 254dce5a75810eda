/* Faces in a raw NV12 file, the way a camera's firmware would do it: planes with a stride, one context, no allocation per frame.
 *
 *   nv12_faces PLUGIN MODEL FILE WIDTH HEIGHT [STRIDE]     every frame of the file
 *   nv12_faces --self-test                                 a drawn frame through blob_network
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "inference.h"

#define MAX_FACES 32

static void die(const char *what, ef_status status) {
  fprintf(stderr, "%s: %s\n", what, ef_status_string(status));
  exit(1);
}

/* One frame: planes to tensor, network, tensors to faces. */
static uint32_t process(ef_context *context, network *net, const ef_image *image, ef_face *items) {
  ef_transform transform = {.struct_size = sizeof transform};
  const ef_decode_options options = {.struct_size = sizeof options, .min_score = 0.5f, .nms_iou = 0.45f};
  ef_faces faces = {.struct_size = sizeof faces, .face_size = sizeof(ef_face), .capacity = MAX_FACES, .items = items};
  ef_status status = ef_preprocess(context, image, &net->input, &transform);
  if (status != EF_OK) die("ef_preprocess", status);
  if (net->run(net->state) != 0) {
    fprintf(stderr, "the network failed\n");
    exit(1);
  }
  status = ef_decode(context, net->outputs, net->output_count, &transform, &options, &faces);
  if (status != EF_OK) die("ef_decode", status);
  return faces.count;
}

static ef_context *create(const network *net, uint32_t width, uint32_t height) {
  ef_config config = {.struct_size = sizeof config,
                      .max_width = width,
                      .max_height = height,
                      .tensor_width = net->input.width,
                      .tensor_height = net->input.height};
  ef_context *context;
  const ef_status status = ef_create(&config, &context);
  if (status != EF_OK) die("ef_create", status);
  fprintf(stderr, "libedgeface %s, %s kernels, %zu bytes\n", ef_version(), ef_isa_name(ef_context_isa(context)), ef_query_memory(&config));
  return context;
}

static ef_image nv12(const uint8_t *frame, uint32_t width, uint32_t height, uint32_t stride) {
  ef_image image = {.struct_size = sizeof image, .format = EF_FORMAT_NV12, .width = width, .height = height};
  image.planes[0] = frame;
  image.planes[1] = frame + (size_t)stride * height;
  image.strides[0] = image.strides[1] = (ptrdiff_t)stride;
  return image;
}

static void print(long frame, const ef_face *items, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i)
    printf("%ld\t%.1f %.1f %.1f %.1f\tscore %.3f\tquality %.3f\tnose %.1f %.1f\n", frame, items[i].box[0], items[i].box[1], items[i].box[2], items[i].box[3],
           items[i].score, items[i].quality, items[i].landmarks[2][0], items[i].landmarks[2][1]);
}

static int self_test(const char *program) {
  enum { WIDTH = 640, HEIGHT = 480, STRIDE = 704 };
  static uint8_t frame[STRIDE * HEIGHT * 3 / 2];
  char plugin[4096];
  network net;
  ef_face items[MAX_FACES];
  ef_image image = nv12(frame, WIDTH, HEIGHT, STRIDE);
  const char *slash = strrchr(program, '/');
  snprintf(plugin, sizeof plugin, "%.*s/blob_network.so", slash ? (int)(slash - program) : 1, slash ? program : ".");
  if (open_network(plugin, NULL, &net)) return 1;
  memset(frame, 16, (size_t)STRIDE * HEIGHT);
  memset(frame + (size_t)STRIDE * HEIGHT, 128, (size_t)STRIDE * HEIGHT / 2);
  for (int y = 192; y < 256; ++y) memset(frame + y * STRIDE + 320, 235, 64); /* one bright cell: pixels 320..383, 192..255 */
  ef_context *context = create(&net, WIDTH, HEIGHT);
  for (uint32_t rotation = 0; rotation < 360; rotation += 180) { /* the frame's own coordinates, however the camera is mounted */
    image.rotation = rotation;
    const uint32_t count = process(context, &net, &image, items);
    print((long)rotation, items, count);
    if (rotation == 0) {
      const float x = (items[0].box[0] + items[0].box[2]) / 2, y = (items[0].box[1] + items[0].box[3]) / 2;
      if (count != 1 || x != 352 || y != 224) {
        fprintf(stderr, "the face must be one at 352, 224, but got %u, the first at %g, %g\n", count, x, y);
        return 1;
      }
    } else if (count < 1 || items[0].rotation[0] > -0.99f) {
      fprintf(stderr, "a camera that hangs upside down must see a head that is upside down\n");
      return 1;
    }
  }
  ef_destroy(context);
  net.close(net.state);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--self-test") == 0) return self_test(argv[0]);
  if (argc < 6) {
    fprintf(stderr, "usage: %s PLUGIN MODEL FILE WIDTH HEIGHT [STRIDE]\n", argv[0]);
    return 2;
  }
  const long width = strtol(argv[4], NULL, 10), height = strtol(argv[5], NULL, 10), stride = argc > 6 ? strtol(argv[6], NULL, 10) : width;
  if (width < 2 || height < 2 || width % 2 || height % 2 || width > EF_MAX_SIDE || height > EF_MAX_SIDE || stride < width || stride > 65536) {
    fprintf(stderr, "WIDTH and HEIGHT must be even and at most %d, STRIDE at least WIDTH\n", EF_MAX_SIDE);
    return 2;
  }
  network net;
  if (open_network(argv[1], argv[2], &net)) return 1;
  FILE *file = fopen(argv[3], "rb");
  const size_t size = (size_t)stride * (size_t)height * 3 / 2;
  uint8_t *frame = malloc(size);
  if (!file || !frame) {
    perror(argv[3]);
    return 1;
  }
  ef_context *context = create(&net, (uint32_t)width, (uint32_t)height);
  ef_face items[MAX_FACES];
  const ef_image image = nv12(frame, (uint32_t)width, (uint32_t)height, (uint32_t)stride);
  long number = 0;
  for (; fread(frame, 1, size, file) == size; ++number) print(number, items, process(context, &net, &image, items));
  fprintf(stderr, "%ld frames\n", number);
  ef_destroy(context);
  net.close(net.state);
  free(frame);
  fclose(file);
  return number ? 0 : 1;
}
