// edgeface's own code allocates nothing a frame after the first ones: engine_memory_test BUNDLE.efm PICTURE.ppm
//
// The program's malloc is that of every library in it, the C++ runtime included. What is allocated between the beginning and the end of
// NcnnNetwork::run, which the linker routes through here (--wrap), is counted apart: it is ncnn's.
#include <edgeface/edgeface_engine.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "network.h"

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* block, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* block);
}

namespace {

bool inside_ncnn;
unsigned long own, ncnns;
void* counted(void* block) { return ++(inside_ncnn ? ncnns : own), block; }

int fail(const char* what) { return fprintf(stderr, "%s: %s\n", what, ef_last_error_message()), 1; }

}  // namespace

extern "C" {
void* malloc(size_t size) { return counted(__libc_malloc(size)); }
void* calloc(size_t count, size_t size) { return counted(__libc_calloc(count, size)); }
void* realloc(void* block, size_t size) { return counted(__libc_realloc(block, size)); }
void* memalign(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size)); }
void* aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }
int posix_memalign(void** block, size_t alignment, size_t size) { return (*block = memalign(alignment, size)) ? 0 : ENOMEM; }
void free(void* block) { __libc_free(block); }

ef_status __real__ZN2ef11NcnnNetwork3runEP9ef_output(ef::NcnnNetwork* network, ef_output* outputs);
ef_status __wrap__ZN2ef11NcnnNetwork3runEP9ef_output(ef::NcnnNetwork* network, ef_output* outputs) {
  inside_ncnn = true;
  const ef_status status = __real__ZN2ef11NcnnNetwork3runEP9ef_output(network, outputs);
  inside_ncnn = false;
  return status;
}
}

int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "usage: engine_memory_test BUNDLE.efm PICTURE.ppm\n"), 2;
  FILE* file = fopen(argv[2], "rb");
  unsigned width = 0, height = 0;
  if (!file || fscanf(file, "P6 %u %u 255", &width, &height) != 2 || fgetc(file) == EOF) return fprintf(stderr, "no P6 picture: %s\n", argv[2]), 2;
  // three views of the picture, moved and turned, so that faces come, go and are lost
  std::vector<unsigned char> pixels(size_t{3} * width * height), blank(pixels.size());
  if (fread(pixels.data(), 1, pixels.size(), file) != pixels.size()) return fprintf(stderr, "a short picture\n"), 2;
  fclose(file);

  ef_engine_config config = {};
  config.struct_size = sizeof config;
  config.path = argv[1];
  ef_engine* engine;
  if (ef_engine_open(&config, &engine)) return fail("ef_engine_open");

  static ef_face faces[64];
  static ef_track tracks[64];
  unsigned found = 0, followed = 0, calls = 0;
  constexpr int kWarm = 4, kFrames = 40;
  unsigned long before = 0, before_ncnn = 0;
  for (int i = 0; i < kFrames; ++i) {
    if (i == kWarm) before = own, before_ncnn = ncnns;
    ef_image image = {};
    image.struct_size = sizeof image;
    image.format = EF_FORMAT_RGB;
    image.width = width;
    image.height = height;
    image.planes[0] = i % 10 > 7 ? blank.data() : pixels.data();
    image.strides[0] = static_cast<ptrdiff_t>(width) * 3;
    image.rotation = i < 30 ? 0 : 180;  // another scene
    image.timestamp_ns = 1 + (i < 20 ? i : i - 19) * INT64_C(33000000) + (i == 15) * INT64_C(5000000000);  // an outage, and a clock that is set back
    ef_faces all = {sizeof all, sizeof(ef_face), 64, 0, faces};
    ef_tracks known = {sizeof known, sizeof(ef_track), 64, 0, tracks};
    if (ef_engine_detect(engine, &image, &all)) return fail("ef_engine_detect");
    if (ef_engine_track(engine, &image, &known)) return fail("ef_engine_track");
    found += all.count;
    followed += known.count;
    calls += i >= kWarm ? 2 : 0;
  }
  const unsigned long mine = own - before, theirs = ncnns - before_ncnn;
  // the counters see what they are to see
  if (!before || !before_ncnn) return fprintf(stderr, "opening must allocate, but nothing was counted\n"), 1;
  if (!found || !followed) return fprintf(stderr, "faces must be found and followed, but got %u and %u\n", found, followed), 1;
  if (mine) return fprintf(stderr, "edgeface made %lu allocations in %u calls\n", mine, calls), 1;
  printf("edgeface: no allocation in %u calls after warm-up; ncnn: %.1f a call\n", calls, static_cast<double>(theirs) / calls);
  ef_engine_close(engine);
  return 0;
}
