/* Nothing is allocated after ef_create. The linker routes every malloc of the library and of this program through the counters below
 * (--wrap); a C program cannot have another allocator, and `new` would not link. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <edgeface/edgeface.h>

static int allocations;
void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size) { return allocations++, __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return allocations++, __real_calloc(n, size); }
void *__wrap_realloc(void *block, size_t size) { return allocations++, __real_realloc(block, size); }
void __wrap_free(void *block) { allocations += block != NULL, __real_free(block); }

static unsigned char pixels[3][640 * 240 * 3];
static float tensor[160 * 120 * 3];
static signed char head[40 * 30 * EF_HEAD_CHANNELS];
static ef_face items[100];

int main(void) {
  ef_config config;
  ef_context *context;
  int calls = 0;
  memset(&config, 0, sizeof config);
  config.struct_size = sizeof config;
  config.max_width = 640;
  config.max_height = 480;
  config.tensor_width = 320;
  config.tensor_height = 240;
  if (ef_create(&config, &context) != EF_OK || allocations != 1) {
    fprintf(stderr, "ef_create made %d allocations instead of 1\n", allocations);
    return 1;
  }
  for (uint32_t format = EF_FORMAT_BGR; format <= EF_FORMAT_UYVY; ++format)
    for (uint32_t rotation = 0; rotation < 360; rotation += 90)
      for (uint32_t kind = 0; kind < 12; ++kind) {
        ef_image image;
        ef_input input;
        memset(&image, 0, sizeof image);
        memset(&input, 0, sizeof input);
        image.struct_size = sizeof image;
        image.format = format;
        image.width = kind & 1 ? 320 : 250;
        image.height = 240;
        image.rotation = rotation;
        for (int i = 0; i < 3; ++i) {
          image.planes[i] = pixels[i];
          image.strides[i] = 640 * 3;
        }
        input.struct_size = sizeof input;
        input.width = 160;
        input.height = 120;
        input.dtype = kind % 3;
        input.layout = kind & 1;
        input.filter = kind / 6;
        input.data = tensor;
        if (ef_preprocess(context, &image, &input, NULL) != EF_OK) {
          fprintf(stderr, "ef_preprocess failed\n");
          return 1;
        }
        ++calls;
        if (rotation == 0) {
          ef_crop crop = {sizeof crop, 100, {180, 90, 200, -90, 180, 100}};
          input.width = input.height = 112;
          if (ef_preprocess_face(context, &image, &crop, &input, NULL) != EF_OK) {
            fprintf(stderr, "ef_preprocess_face failed\n");
            return 1;
          }
          ++calls;
        }
      }
  for (int i = 0; i < (int)sizeof head; ++i) head[i] = (signed char)(i * 37 % 251 - 125);
  for (int capacity = 0; capacity <= 100; capacity += 20) {
    ef_output output;
    ef_decode_options options = {sizeof options, 0.5f, 0.3f};
    ef_faces faces = {sizeof faces, sizeof(ef_face), 0, 0, NULL};
    memset(&output, 0, sizeof output);
    output.struct_size = sizeof output;
    output.stride = 8;
    output.columns = 40;
    output.rows = 30;
    output.scale = 0.05f;
    output.data = head;
    faces.capacity = (uint32_t)capacity;
    faces.items = items;
    if (ef_decode(context, &output, 1, NULL, &options, &faces) != EF_OK || (capacity && !faces.count)) {
      fprintf(stderr, "ef_decode failed\n");
      return 1;
    }
    ++calls;
  }
  if (allocations != 1) {
    fprintf(stderr, "%d allocations after ef_create\n", allocations - 1);
    return 1;
  }
  ef_destroy(context);
  printf("no allocation in %d calls; ef_create took %zu bytes\n", calls, ef_query_memory(&config));
  return 0;
}
