// Several threads at once, each with a context of its own, on the same frame and the same head tensors: whatever these are, all threads
// come to the same result, and none touches what is another's. For the thread sanitizer; contexts are also made and destroyed meanwhile.
#include <pthread.h>
#include <string.h>

#include "bytes.h"
#include "edgeface/edgeface.h"

namespace {

constexpr uint32_t kFrame = 40, kTensor = 32, kCells = 10, kFaces = 90;
constexpr int kThreads = 3;

struct Result {  // zeroed, gaps included: results are compared byte by byte
  ef_status preprocessed = EF_OK, decoded = EF_OK;
  ef_transform transform = {};
  uint8_t tensor[3 * kTensor * kTensor] = {};
  ef_face items[kFaces] = {};
  uint32_t count = 0;
};

struct Task {
  const ef_image& image;
  ef_input input;
  const ef_output& output;
  const ef_decode_options& options;
  Result* result;
};

// The counters of coverage would be races.
__attribute__((no_sanitize("coverage"))) void* run(void* argument) {
  const Task& task = *static_cast<Task*>(argument);
  Result& result = *task.result;
  ef_input input = task.input;
  ef_config config = {};
  config.struct_size = sizeof config;
  config.max_width = config.max_height = kFrame;
  config.tensor_width = config.tensor_height = 8 * kCells;
  ef_context* context = nullptr;
  if (ef_create(&config, &context) != EF_OK) abort();
  input.data = result.tensor;
  result.transform.struct_size = sizeof result.transform;
  result.preprocessed = ef_preprocess(context, &task.image, &input, &result.transform);
  ef_faces faces = {sizeof faces, sizeof(ef_face), kFaces, 0, result.items};
  const bool mapped = result.preprocessed == EF_OK;
  result.decoded = ef_decode(context, &task.output, 1, mapped ? &result.transform : nullptr, &task.options, &faces);
  result.count = faces.count;
  if (!ef_version()[0] || !ef_status_string(result.decoded)[0] || !ef_isa_name(ef_context_isa(context))[0]) abort();
  ef_destroy(context);
  return nullptr;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes bytes(data, size);
  ef_image image = {};
  image.struct_size = sizeof image;
  image.format = bytes.number(1, 8);
  image.width = 1 + bytes.take<uint8_t>() % kFrame;
  image.height = 1 + bytes.take<uint8_t>() % kFrame;
  image.rotation = 90 * (bytes.take<uint8_t>() % 4);
  ef_input input = {};
  input.struct_size = sizeof input;
  input.width = 1 + bytes.take<uint8_t>() % kTensor;
  input.height = 1 + bytes.take<uint8_t>() % kTensor;
  input.dtype = bytes.take<uint8_t>() % 2;
  input.layout = bytes.take<uint8_t>() % 2;
  input.filter = bytes.take<uint8_t>() % 2;
  ef_output output = {};
  output.struct_size = sizeof output;
  output.dtype = EF_DTYPE_INT8;
  output.stride = 8;
  output.columns = output.rows = kCells;
  output.scale = 0.05f;
  const ef_decode_options options = {sizeof options, 0.3f, bytes.take<uint8_t>() / 255.0f};
  uint8_t* planes[3];
  for (int p = 0; p < 3; ++p) {
    planes[p] = bytes.block(3 * kFrame * kFrame);
    image.planes[p] = planes[p];
    image.strides[p] = 3 * kFrame;
  }
  uint8_t* const head = bytes.block(kCells * kCells * EF_HEAD_CHANNELS);
  output.data = head;

  static Result results[kThreads];
  pthread_t threads[kThreads];
  Task tasks[] = {{image, input, output, options, &results[0]}, {image, input, output, options, &results[1]}, {image, input, output, options, &results[2]}};
  for (int i = 0; i < kThreads; ++i) {
    memset(static_cast<void*>(&results[i]), 0, sizeof(Result));
    if (pthread_create(&threads[i], nullptr, run, &tasks[i])) abort();
  }
  for (const pthread_t thread : threads) pthread_join(thread, nullptr);
  for (const Result& result : results)
    if (memcmp(&result, &results[0], sizeof result)) abort();
  for (uint8_t* p : planes) free(p);
  free(head);
  return 0;
}
