/* Faces in a picture by libedgeface_engine alone: bundle in, faces out, no Python and no runtime of your own.
 *
 *   engine_faces BUNDLE.efm PICTURE.ppm [MIN_FACES]    a P6 file; exit status 1 where fewer faces are found
 *   engine_faces BUNDLE.efm --verify                   compares this machine's kernels with the bundle's golden vectors
 *
 * `detect` below is all that an integrator writes. */
#include <edgeface/edgeface_engine.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FACES 32

/* -1, or the number of faces. */
static int detect(const char *bundle, const ef_image *image, ef_face *items) {
  ef_engine_config config = {.struct_size = sizeof config, .path = bundle};
  ef_engine *engine;
  if (ef_engine_open(&config, &engine) != EF_OK) return -1;
  ef_faces faces = {.struct_size = sizeof faces, .face_size = sizeof(ef_face), .capacity = MAX_FACES, .items = items};
  const ef_status status = ef_engine_detect(engine, image, &faces); /* this call, for every frame */
  ef_engine_close(engine);
  return status == EF_OK ? (int)faces.count : -1;
}

/* The engine with an input of the size of some golden vectors, and what its kernels make of them. */
static ef_status verify_at(const char *path, ef_bundle *bundle, const ef_golden *golden, ef_engine **engine, ef_verdict *verdict) {
  ef_engine_config config = {.struct_size = sizeof config, .path = path, .width = golden->width, .height = golden->height};
  ef_engine_close(*engine);
  const ef_status status = ef_engine_open(&config, engine);
  return status == EF_OK ? ef_engine_verify(*engine, bundle, verdict) : status;
}

static int verify(const char *path) {
  ef_engine *engine = NULL;
  ef_bundle *bundle = NULL;
  ef_golden golden = {.struct_size = sizeof golden};
  ef_engine_info info = {.struct_size = sizeof info};
  ef_verdict verdict = {.struct_size = sizeof verdict};
  ef_status status = ef_bundle_open(path, &bundle);
  if (status == EF_OK) {
    status = EF_ERROR_SIZE; /* networks of other runtimes may have vectors of another size */
    for (uint32_t i = 0; status == EF_ERROR_SIZE || status == EF_ERROR_MISSING; ++i) {
      const ef_status found = ef_bundle_golden(bundle, i, &golden);
      if (found == EF_OK) status = verify_at(path, bundle, &golden, &engine, &verdict);
      if (found == EF_ERROR_ARGUMENT) break; /* no network i */
    }
  }
  int failed = status != EF_OK || ef_engine_describe(engine, &info) != EF_OK;
  if (failed) {
    fprintf(stderr, "%s\n", ef_last_error_message());
  } else if (*verdict.tensor) {
    printf("DIFFERS\t%s\t%s\t%s: %u of %u values, by up to %g, %g allowed\n", info.runtime, info.file, verdict.tensor, verdict.differing,
           verdict.values, (double)verdict.largest, (double)verdict.allowed);
    failed = 1;
  } else {
    printf("ok\t%s\t%s\t%u tensors\n", info.runtime, info.file, verdict.compared);
  }
  ef_bundle_close(bundle);
  ef_engine_close(engine);
  return failed;
}

/* The pixels of a binary PPM file, or NULL. */
static uint8_t *read_ppm(const char *path, uint32_t *width, uint32_t *height) {
  FILE *file = fopen(path, "rb");
  uint8_t *pixels = NULL;
  unsigned most = 0;
  if (file && fscanf(file, "P6 %5u %5u %3u", width, height, &most) == 3 && most == 255 && *width && *height && *width <= EF_MAX_SIDE &&
      *height <= EF_MAX_SIDE && fgetc(file) != EOF) {
    const size_t size = (size_t)*width * *height * 3;
    pixels = malloc(size);
    if (pixels && fread(pixels, 1, size, file) != size) {
      free(pixels);
      pixels = NULL;
    }
  }
  if (file) fclose(file);
  return pixels;
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s BUNDLE.efm PICTURE.ppm [MIN_FACES], or %s BUNDLE.efm --verify\n", argv[0], argv[0]);
    return 2;
  }
  if (strcmp(argv[2], "--verify") == 0) return verify(argv[1]);
  ef_image image = {.struct_size = sizeof image, .format = EF_FORMAT_RGB};
  uint8_t *pixels = read_ppm(argv[2], &image.width, &image.height);
  if (!pixels) {
    fprintf(stderr, "%s must be a binary PPM file (P6, 8 bits)\n", argv[2]);
    return 1;
  }
  image.planes[0] = pixels;
  image.strides[0] = (ptrdiff_t)image.width * 3;
  ef_face items[MAX_FACES];
  const int count = detect(argv[1], &image, items);
  free(pixels);
  if (count < 0) {
    fprintf(stderr, "%s\n", ef_last_error_message());
    return 1;
  }
  for (int i = 0; i < count; ++i)
    printf("%.1f %.1f %.1f %.1f\tscore %.3f\tquality %.3f\tnose %.1f %.1f\n", items[i].box[0], items[i].box[1], items[i].box[2], items[i].box[3],
           items[i].score, items[i].quality, items[i].landmarks[2][0], items[i].landmarks[2][1]);
  return count < (argc > 3 ? atoi(argv[3]) : 0);
}
