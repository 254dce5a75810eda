// ef_engine: a bundle's ncnn network between the two halves.
#include <math.h>
#include <string.h>

#include <string>
#include <vector>

#ifdef EF_HAVE_NCNN
#include <ncnn/cpu.h>
#endif

#include "bundle.h"
#include "message.h"
#include "network.h"
#include "tracker.h"

namespace {

constexpr uint32_t kRoom = 256;  // faces that are kept before the best are given: which are best is known once all cells are heard
constexpr uint32_t kMaxFrame = 1920;
// What ncnn's kernels may differ by from those that made the golden vectors, as real numbers before channel scales: in fp16
// arithmetic, in int8 (other kernels round otherwise), in float32.
constexpr float kHalf = 0.25f, kInt8 = 0.5f, kFloat = 1e-3f;

bool half_arithmetic() {
#ifdef EF_HAVE_NCNN
  return ncnn::cpu_support_arm_asimdhp();
#else
  return false;
#endif
}

constexpr bool kIsArm =
#if defined(__aarch64__) || defined(__arm__)
    true;
#else
    false;
#endif

// The precisions to look for, in this order.
std::vector<const char*> precisions(uint32_t wanted) {
  if (wanted == EF_PRECISION_INT8) return {"int8"};
  if (wanted == EF_PRECISION_FLOAT32) return {"float32"};
  if (kIsArm && !half_arithmetic()) return {"int8", "float32"};
  return {"float32", "int8"};
}

}  // namespace

struct ef_engine {
  ~ef_engine() {
    ef_destroy(context);
    ef_tracker_destroy(tracker);
  }

  ef_status open(const ef_engine_config& config);
  ef_status open_network(const ef_engine_config& config);
  ef_status open_points(const ef_engine_config& config);
  ef_status detect(const ef_image& image, float min_score, ef_faces* faces);
  ef_status describe(const ef_image& image, const ef_face& face, ef_points* points);

  ef_bundle* bundle = nullptr;  // while opening
  ef_context* context = nullptr;
  ef_tracker* tracker = nullptr;
  ef::Timeline timeline;  // of the frames of ef_engine_track
  ef::NcnnNetwork network;
  ef_input input = {};
  ef_output outputs[EF_MAX_LEVELS] = {};
  uint32_t output_count = EF_MAX_LEVELS;
  std::vector<std::vector<float>> channel_scales;
  ef_decode_options options = {};
  float track_score = 0;
  uint32_t threads = 1, index = 0;
  ef::NcnnNetwork points_network;
  ef_input points_input = {};
  ef_points_output points_outputs[EF_POINTS_OUTPUTS] = {};
  float points_margin = 0;  // 0: no such network
  ef_face room[kRoom];
  std::string model, version, licence, file, sha256, precision, runtime;
};

ef_status ef_engine::open(const ef_engine_config& config) {
  using ef::refuse;
  if (!config.path == !config.data) return refuse(EF_ERROR_ARGUMENT, "config.path", "given, or config.data, and not both");
  if (config.precision > EF_PRECISION_FLOAT32) return refuse(EF_ERROR_ARGUMENT, "config.precision", "an ef_precision, but got %u", config.precision);
  if (config.threads > 256) return refuse(EF_ERROR_ARGUMENT, "config.threads", "at most 256, but got %u", config.threads);
  if (!config.width != !config.height) return refuse(EF_ERROR_ARGUMENT, "config.width", "given together with config.height");
  if (!config.max_width != !config.max_height) return refuse(EF_ERROR_ARGUMENT, "config.max_width", "given together with config.max_height");
  if (!(config.min_score >= 0 && config.min_score < 1)) return refuse(EF_ERROR_ARGUMENT, "config.min_score", "from 0 to 1, but got %g", config.min_score);
  if (!(config.nms_iou >= 0 && config.nms_iou <= 1)) return refuse(EF_ERROR_ARGUMENT, "config.nms_iou", "from 0 to 1, but got %g", config.nms_iou);
  if (config.isa > EF_ISA_AVX2) return refuse(EF_ERROR_ARGUMENT, "config.isa", "an ef_isa, but got %u", config.isa);
  if (config.points_path && config.points_data) return refuse(EF_ERROR_ARGUMENT, "config.points_path", "left out, or config.points_data");
  ef_status status = EF_OK;
  if (config.points_path || config.points_data) {
    status = config.points_path ? ef_bundle_open(config.points_path, &bundle) : ef_bundle_open_memory(config.points_data, config.points_size, &bundle);
    if (status == EF_OK) status = open_points(config);
    ef_bundle_close(bundle);
    bundle = nullptr;
  }
  if (status != EF_OK) return status;
  status = config.path ? ef_bundle_open(config.path, &bundle) : ef_bundle_open_memory(config.data, config.size, &bundle);
  if (status == EF_OK) status = open_network(config);
  ef_bundle_close(bundle);
  bundle = nullptr;
  return status;
}

// The per-face network of `bundle`; run once.
ef_status ef_engine::open_points(const ef_engine_config& config) {
  points_input.struct_size = sizeof points_input;
  for (ef_points_output& o : points_outputs) o.struct_size = sizeof o;
  ef_status status = EF_ERROR_MISSING;
  uint32_t found = 0;
  for (const char* wanted : precisions(EF_PRECISION_AUTO))
    if (status == EF_ERROR_MISSING) status = ef_bundle_find(bundle, "ncnn", wanted, "", 0, 0, &found);
  if (status != EF_OK) return status;
  if ((status = ef_bundle_points_outputs(bundle, found, points_outputs, &points_margin))) return status;
  if ((status = ef_bundle_input(bundle, found, 0, 0, &points_input))) return status;
  const uint32_t computing = config.threads ? config.threads : 1;
  if ((status = points_network.open(bundle, bundle->manifest.networks[found], points_input.width, points_input.height, computing))) return status;
  points_input.data = points_network.input();
  return points_network.run(points_outputs);
}

ef_status ef_engine::open_network(const ef_engine_config& config) {
  const ef::Manifest& manifest = bundle->manifest;
  const uint32_t width = config.width ? config.width : manifest.width, height = config.height ? config.height : manifest.height;
  ef_status status = EF_ERROR_MISSING;
  for (const char* wanted : precisions(config.precision))
    if (status == EF_ERROR_MISSING) status = ef_bundle_find(bundle, "ncnn", wanted, "", width, height, &index);
  if (status != EF_OK) return status;
  const ef::Network& chosen = manifest.networks[index];
  input.struct_size = sizeof input;
  for (ef_output& o : outputs) o.struct_size = sizeof o;
  if ((status = ef_bundle_input(bundle, index, width, height, &input))) return status;
  if ((status = ef_bundle_outputs(bundle, index, width, height, outputs, &output_count))) return status;
  for (uint32_t i = 0; i < output_count; ++i) {  // the bundle will be gone
    channel_scales.emplace_back(outputs[i].channel_scales, outputs[i].channel_scales + EF_HEAD_CHANNELS);
    outputs[i].channel_scales = channel_scales[i].data();
  }
  options = {sizeof options, config.min_score > 0 ? config.min_score : manifest.min_score, config.nms_iou > 0 ? config.nms_iou : manifest.nms_iou};
  threads = config.threads ? config.threads : 1;
  if ((status = network.open(bundle, chosen, width, height, threads))) return status;
  input.data = network.input();
  if ((status = network.run(outputs))) return status;

  ef_config core = {};
  core.struct_size = sizeof core;
  core.max_width = config.max_width ? config.max_width : kMaxFrame;
  core.max_height = config.max_height ? config.max_height : kMaxFrame;
  core.tensor_width = width > points_input.width ? width : points_input.width;
  core.tensor_height = height > points_input.height ? height : points_input.height;
  core.isa = config.isa;
  if ((status = ef_create(&core, &context))) {
    const std::string field = ef_last_error_field();
    return ef::refuse(status, field.c_str(), "other: %s", ef_status_string(status));
  }
  ef_tracker_config tracking = config.tracker;
  tracking.struct_size = sizeof tracking;
  if (tracking.new_score == 0) tracking.new_score = options.min_score;
  if ((status = ef_tracker_create(&tracking, &tracker))) return status;
  track_score = fminf(tracker->config.new_score, tracker->config.low_score);

  model = manifest.name;
  version = manifest.version;
  licence = manifest.licence;
  file = chosen.file.name;
  sha256 = chosen.file.sha256;
  precision = chosen.precision;
  runtime = std::string("ncnn ") + ef::NcnnNetwork::version();
  return EF_OK;
}

ef_status ef_engine::detect(const ef_image& image, float min_score, ef_faces* faces) {
  ef_transform transform = {};
  transform.struct_size = sizeof transform;
  ef_status status = ef_preprocess(context, &image, &input, &transform);
  if (status == EF_OK) {
    if ((status = network.run(outputs))) return status;
    ef_decode_options now = options;
    now.min_score = min_score;
    status = ef_decode(context, outputs, output_count, &transform, &now, faces);
  }
  if (status == EF_OK) return status;
  const std::string field = ef_last_error_field();  // refuse overwrites it
  return ef::refuse(status, field.c_str(), "other: %s", ef_status_string(status));
}

ef_status ef_engine::describe(const ef_image& image, const ef_face& face, ef_points* points) {
  if (points_margin == 0) return ef::refuse(EF_ERROR_MISSING, "config.points_path", "given to ef_engine_open for this call");
  ef_crop crop = {};
  crop.struct_size = sizeof crop;
  ef_status status = ef_face_crop(&face, points_margin, &crop);
  if (status == EF_OK) status = ef_preprocess_face(context, &image, &crop, &points_input, nullptr);
  if (status == EF_OK) {
    if ((status = points_network.run(points_outputs))) return status;
    status = ef_decode_points(points_outputs, EF_POINTS_OUTPUTS, &crop, points);
  }
  if (status == EF_OK) return status;
  const std::string field = ef_last_error_field();  // refuse overwrites it
  return ef::refuse(status, field.c_str(), "other: %s", ef_status_string(status));
}

extern "C" {

ef_status ef_engine_open(const ef_engine_config* config, ef_engine** engine) {
  if (engine) *engine = nullptr;
  if (!config || !engine) return ef::refuse(EF_ERROR_NULL, config ? "engine" : "config", "a pointer, but got NULL");
  if (config->struct_size < sizeof *config) return ef::refuse(EF_ERROR_STRUCT_SIZE, "config.struct_size", "sizeof(ef_engine_config)");
  return ef::guarded([&]() -> ef_status {
    auto made = std::make_unique<ef_engine>();
    if (const ef_status status = made->open(*config)) return status;
    *engine = made.release();
    return EF_OK;
  });
}

void ef_engine_close(ef_engine* engine) { delete engine; }

ef_status ef_engine_describe(const ef_engine* engine, ef_engine_info* info) {
  if (!engine || !info) return ef::refuse(EF_ERROR_NULL, engine ? "info" : "engine", "a pointer, but got NULL");
  if (info->struct_size < sizeof *info) return ef::refuse(EF_ERROR_STRUCT_SIZE, "info.struct_size", "sizeof(ef_engine_info)");
  info->width = engine->input.width;
  info->height = engine->input.height;
  info->threads = engine->threads;
  info->isa = ef_context_isa(engine->context);
  info->min_score = engine->options.min_score;
  info->nms_iou = engine->options.nms_iou;
  info->model = engine->model.c_str();
  info->version = engine->version.c_str();
  info->licence = engine->licence.c_str();
  info->file = engine->file.c_str();
  info->precision = engine->precision.c_str();
  info->runtime = engine->runtime.c_str();
  return EF_OK;
}

ef_status ef_engine_detect(ef_engine* engine, const ef_image* image, ef_faces* faces) {
  if (faces && faces->struct_size >= sizeof *faces) faces->count = 0;
  if (!engine || !image || !faces) return ef::refuse(EF_ERROR_NULL, !engine ? "engine" : !image ? "image" : "faces", "a pointer, but got NULL");
  if (faces->struct_size < sizeof *faces) return ef::refuse(EF_ERROR_STRUCT_SIZE, "faces.struct_size", "sizeof(ef_faces)");
  if (faces->face_size < sizeof(ef_face) || faces->face_size % alignof(ef_face))
    return ef::refuse(EF_ERROR_STRUCT_SIZE, "faces.face_size", "sizeof(ef_face)");
  if (faces->capacity && !faces->items) return ef::refuse(EF_ERROR_NULL, "faces.items", "a pointer, but got NULL");
  return ef::guarded([&]() -> ef_status {
    ef_faces all = {sizeof all, sizeof(ef_face), kRoom, 0, engine->room};
    if (const ef_status status = engine->detect(*image, engine->options.min_score, &all)) return status;
    for (; faces->count < all.count && faces->count < faces->capacity; ++faces->count)
      memcpy(reinterpret_cast<unsigned char*>(faces->items) + size_t{faces->count} * faces->face_size, &all.items[faces->count], sizeof(ef_face));
    return EF_OK;
  });
}

ef_status ef_engine_points(ef_engine* engine, const ef_image* image, const ef_face* face, ef_points* points) {
  if (!engine || !image) return ef::refuse(EF_ERROR_NULL, engine ? "image" : "engine", "a pointer, but got NULL");
  if (!face || !points) return ef::refuse(EF_ERROR_NULL, face ? "points" : "face", "a pointer, but got NULL");
  if (points->struct_size < sizeof *points) return ef::refuse(EF_ERROR_STRUCT_SIZE, "points.struct_size", "sizeof(ef_points)");
  return ef::guarded([&]() -> ef_status { return engine->describe(*image, *face, points); });
}

ef_status ef_engine_track(ef_engine* engine, const ef_image* image, ef_tracks* tracks) {
  if (tracks && tracks->struct_size >= sizeof *tracks) tracks->count = 0;
  if (!engine || !image || !tracks) return ef::refuse(EF_ERROR_NULL, !engine ? "engine" : !image ? "image" : "tracks", "a pointer, but got NULL");
  return ef::guarded([&]() -> ef_status {
    ef_faces all = {sizeof all, sizeof(ef_face), kRoom, 0, engine->room};
    if (const ef_status status = engine->detect(*image, engine->track_score, &all)) return status;
    // where the tracks cannot be taken, no time has passed either
    ef::Timeline timeline = engine->timeline;
    const ef_status status = ef::track(engine->tracker, &all, timeline.time_of(image->timestamp_ns), {image->width, image->height, image->rotation}, tracks);
    if (status == EF_OK) engine->timeline = timeline;
    return status;
  });
}

void ef_engine_reset_tracks(ef_engine* engine) {
  if (!engine) return;
  ef_tracker_reset(engine->tracker);
  engine->timeline.reset();
}

ef_status ef_engine_verify(ef_engine* engine, ef_bundle* from, ef_verdict* verdict) {
  if (!engine || !from || !verdict) return ef::refuse(EF_ERROR_NULL, !engine ? "engine" : !from ? "bundle" : "verdict", "a pointer, but got NULL");
  if (verdict->struct_size < sizeof *verdict) return ef::refuse(EF_ERROR_STRUCT_SIZE, "verdict.struct_size", "sizeof(ef_verdict)");
  return ef::guarded([&]() -> ef_status {
    if (engine->index >= from->manifest.networks.size() || from->manifest.networks[engine->index].file.sha256 != engine->sha256)
      return ef::refuse(EF_ERROR_ARGUMENT, "bundle", "the one that the engine was opened from");
    ef_golden golden = {};
    golden.struct_size = sizeof golden;
    if (const ef_status status = ef_bundle_golden(from, engine->index, &golden)) return status;
    if (golden.width != engine->input.width || golden.height != engine->input.height)
      return ef::refuse(EF_ERROR_SIZE, "engine", "opened for %ux%u, the golden vectors' size", golden.width, golden.height);
    const ef::Network& network = from->manifest.networks[engine->index];
    *verdict = {};
    verdict->struct_size = sizeof *verdict;
    verdict->tensor = "";
    const auto compare = [verdict](const char* tensor, float allowed, size_t count, auto got, auto wanted) {
      ef_verdict v = {};
      for (size_t i = 0; i < count; ++i) {
        float off = fabsf(got(i) - wanted(i));
        if (!(off == off)) off = INFINITY;
        v.differing += off != 0;
        if (off > v.largest) v.largest = off;
      }
      ++verdict->compared;
      if (*verdict->tensor || v.largest <= allowed) return;
      verdict->values = static_cast<uint32_t>(count);
      verdict->differing = v.differing;
      verdict->largest = v.largest;
      verdict->allowed = allowed;
      verdict->tensor = tensor;
    };
    ef_context* context;
    ef_config core = {};
    core.struct_size = sizeof core;
    core.max_width = golden.picture_width;
    core.max_height = golden.picture_height;
    core.tensor_width = golden.width;
    core.tensor_height = golden.height;
    core.isa = ef_context_isa(engine->context);
    if (const ef_status status = ef_create(&core, &context)) return status;
    ef_image image = {};
    image.struct_size = sizeof image;
    image.format = EF_FORMAT_RGB;
    image.width = golden.picture_width;
    image.height = golden.picture_height;
    image.planes[0] = golden.picture;
    image.strides[0] = static_cast<ptrdiff_t>(golden.picture_width) * 3;
    const ef_status status = ef_preprocess(context, &image, &engine->input, nullptr);
    ef_destroy(context);
    if (status != EF_OK) return status;
    const float *made = engine->network.input(), *input = static_cast<const float*>(golden.input);
    compare("input", 0, golden.input_size / sizeof(float), [=](size_t i) { return made[i]; }, [=](size_t i) { return input[i]; });
    memcpy(engine->network.input(), golden.input, golden.input_size);  // outputs are compared whatever became of the input
    if (const ef_status ran = engine->network.run(engine->outputs)) return ran;
    const float allowed = engine->precision == "int8" ? kInt8 : half_arithmetic() ? kHalf : kFloat;
    for (uint32_t k = 0; k < engine->output_count; ++k) {
      const ef_output& o = engine->outputs[k];
      const float *got = static_cast<const float*>(o.data), *wanted = static_cast<const float*>(golden.outputs[k]);
      const size_t cells = size_t{o.columns} * o.rows;
      compare(network.outputs[k].name.c_str(), allowed, cells * EF_HEAD_CHANNELS,
              [&](size_t i) { return got[i / cells * static_cast<size_t>(o.channel_step) + i % cells]; }, [=](size_t i) { return wanted[i]; });
    }
    return EF_OK;
  });
}

}  // extern "C"
