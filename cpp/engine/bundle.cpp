#include "bundle.h"

#include <sha256.h>
#include <string.h>

#include <memory>

#include "../src/fault.h"
#include "message.h"

namespace {

constexpr size_t kMaxManifest = 4u << 20, kMaxFile = 128u << 20;
constexpr const char* kManifest = "manifest.json";

std::string sha256_of(const uint8_t* data, size_t size) {
  SHA2_CTX context;
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256Init(&context);
  SHA256Update(&context, data, size);
  SHA256Final(digest, &context);
  std::string text;
  for (const uint8_t byte : digest) {
    text += "0123456789abcdef"[byte >> 4];
    text += "0123456789abcdef"[byte & 15];
  }
  return text;
}

template <typename Open>
ef_status open_bundle(ef_bundle** bundle, Open open) {
  return ef::guarded([&]() -> ef_status {
    auto made = std::make_unique<ef_bundle>();
    if (const ef_status status = open(made->archive)) return status;
    if (const ef_status status = made->open()) return status;
    *bundle = made.release();
    return EF_OK;
  });
}

bool same(const char* wanted, const std::string& got) { return !wanted || got == wanted; }

}  // namespace

ef_status ef_bundle::open() {
  std::vector<uint8_t> text;
  const ef_status status = archive.read(kManifest, kMaxManifest, &text);
  if (status == EF_ERROR_MISSING) return ef::refuse(EF_ERROR_BUNDLE, "bundle", "a zip with a manifest.json, but got one without it");
  if (status != EF_OK) return status;
  return manifest.parse(reinterpret_cast<const char*>(text.data()), text.size() - 1);
}

ef_status ef_bundle::read(const ef::File& file, const std::vector<uint8_t>** out) {
  const auto known = files.find(file.name);
  if (known != files.end()) return *out = &known->second, EF_OK;
  std::vector<uint8_t> bytes;
  if (const ef_status status = archive.read(file.name, kMaxFile, &bytes)) return status;
  const std::string digest = sha256_of(bytes.data(), bytes.size() - 1);
  if (digest != file.sha256)
    return ef::refuse(EF_ERROR_BUNDLE, file.name.c_str(), "of sha256 %s, but got %s", file.sha256.c_str(), digest.c_str());
  *out = &(files[file.name] = std::move(bytes));
  return EF_OK;
}

ef_status ef_bundle::network(uint32_t index, const ef::Network** out) const {
  if (index >= manifest.networks.size())
    return ef::refuse(EF_ERROR_ARGUMENT, "index", "below %zu, the number of networks, but got %u", manifest.networks.size(), index);
  *out = &manifest.networks[index];
  return EF_OK;
}

namespace ef {

ef_status choose_size(const ef_bundle& bundle, const Network& network, uint32_t* width, uint32_t* height) {
  if (!*width && !*height) {
    *width = network.width ? network.width : bundle.manifest.width;
    *height = network.height ? network.height : bundle.manifest.height;
  }
  if (network.serves(*width, *height)) return EF_OK;
  if (network.width)
    return refuse(EF_ERROR_SIZE, "width", "%u and height %u, which %s is made for, but got %ux%u", network.width, network.height,
                  network.file.name.c_str(), *width, *height);
  return refuse(EF_ERROR_SIZE, "width", "a multiple of %u, as height, for %s, but got %ux%u", network.size_multiple,
                network.file.name.c_str(), *width, *height);
}

ef_status check_outputs(const ef_bundle& bundle, const Network& network, const ef_output* outputs, uint32_t count) {
  if (count != network.outputs.size())
    return refuse(EF_ERROR_ARGUMENT, "output_count", "%zu, one for each stride, but got %u", network.outputs.size(), count);
  for (uint32_t i = 0; i < count; ++i) {
    const ef_output& o = outputs[i];
    const auto wrong = [i](const char* member, const char* text) {
      char field[40];
      snprintf(field, sizeof field, "outputs[%u].%s", i, member);
      return refuse(EF_ERROR_ARGUMENT, field, "%s", text);
    };
    if (o.struct_size < sizeof(ef_output)) return wrong("struct_size", "sizeof(ef_output)"), EF_ERROR_STRUCT_SIZE;
    const Tensor* tensor = nullptr;
    for (const Tensor& t : network.outputs)
      if (t.stride == o.stride) tensor = &t;
    for (uint32_t j = 0; j < i; ++j)
      if (outputs[j].stride == o.stride) tensor = nullptr;
    if (!tensor) return wrong("stride", "one of the network's, each once");
    if (o.dtype != tensor->dtype) return wrong("dtype", "the manifest's");
    if ((o.scale == 0 ? 1 : o.scale) != tensor->scale) return wrong("scale", "the manifest's");
    if (o.zero_point != tensor->zero_point) return wrong("zero_point", "the manifest's");
    const float* scales = bundle.manifest.channel_scales_of(o.stride);
    for (int c = 0; c < EF_HEAD_CHANNELS; ++c)
      if ((o.channel_scales ? o.channel_scales[c] : 1.0f) != scales[c])
        return wrong("channel_scales", o.channel_scales ? "the manifest's (decode.channel_scale of this stride)"
                                                        : "given: this bundle has channel scales (ef_bundle_outputs fills them in)");
  }
  return EF_OK;
}

// Refuses a per-face network where strides are needed.
ef_status finds_faces(const ef_bundle& bundle) {
  if (bundle.manifest.margin == 0) return EF_OK;
  return refuse(EF_ERROR_ARGUMENT, "bundle", "one that finds faces (rule edgeface-v1), but %s looks at one face's crop: ef_bundle_points_outputs",
                bundle.manifest.name.c_str());
}

}  // namespace ef

extern "C" {

ef_status ef_bundle_open(const char* path, ef_bundle** bundle) {
  if (bundle) *bundle = nullptr;
  if (!path || !bundle) return ef::refuse(EF_ERROR_NULL, path ? "bundle" : "path", "a pointer, but got NULL");
  return open_bundle(bundle, [path](ef::Archive& archive) { return archive.open_file(path); });
}

ef_status ef_bundle_open_memory(const void* data, size_t size, ef_bundle** bundle) {
  if (bundle) *bundle = nullptr;
  if (!data || !bundle) return ef::refuse(EF_ERROR_NULL, data ? "bundle" : "data", "a pointer, but got NULL");
  return open_bundle(bundle, [=](ef::Archive& archive) { return archive.open_memory(data, size); });
}

void ef_bundle_close(ef_bundle* bundle) { delete bundle; }

ef_status ef_bundle_describe(const ef_bundle* bundle, ef_bundle_info* info) {
  if (!bundle || !info) return ef::refuse(EF_ERROR_NULL, bundle ? "info" : "bundle", "a pointer, but got NULL");
  if (info->struct_size < sizeof *info) return ef::refuse(EF_ERROR_STRUCT_SIZE, "info.struct_size", "sizeof(ef_bundle_info)");
  const ef::Manifest& m = bundle->manifest;
  info->network_count = static_cast<uint32_t>(m.networks.size());
  info->level_count = static_cast<uint32_t>(m.strides.size());
  info->width = m.width;
  info->height = m.height;
  info->min_score = m.min_score;
  info->nms_iou = m.nms_iou;
  info->name = m.name.c_str();
  info->version = m.version.c_str();
  info->licence = m.licence.c_str();
  return EF_OK;
}

ef_status ef_bundle_network(const ef_bundle* bundle, uint32_t index, ef_network_info* info) {
  if (!bundle || !info) return ef::refuse(EF_ERROR_NULL, bundle ? "info" : "bundle", "a pointer, but got NULL");
  if (info->struct_size < sizeof *info) return ef::refuse(EF_ERROR_STRUCT_SIZE, "info.struct_size", "sizeof(ef_network_info)");
  const ef::Network* n = nullptr;
  if (const ef_status status = bundle->network(index, &n)) return status;
  info->width = n->width;
  info->height = n->height;
  info->size_multiple = n->size_multiple;
  info->output_count = static_cast<uint32_t>(n->outputs.size());
  info->format = n->format.c_str();
  info->precision = n->precision.c_str();
  info->target = n->target.c_str();
  info->file = n->file.name.c_str();
  info->weights = n->weights.name.c_str();
  info->input_name = n->input.name.c_str();
  for (uint32_t i = 0; i < EF_MAX_LEVELS; ++i) info->output_names[i] = i < n->outputs.size() ? n->outputs[i].name.c_str() : "";
  return EF_OK;
}

ef_status ef_bundle_find(const ef_bundle* bundle, const char* format, const char* precision, const char* target, uint32_t width,
                         uint32_t height, uint32_t* index) {
  if (!bundle || !index) return ef::refuse(EF_ERROR_NULL, bundle ? "index" : "bundle", "a pointer, but got NULL");
  int best = -1;
  uint32_t found = 0;
  const std::vector<ef::Network>& networks = bundle->manifest.networks;
  for (uint32_t i = 0; i < networks.size(); ++i) {
    const ef::Network& n = networks[i];
    if (!same(format, n.format) || !same(precision, n.precision) || !same(target, n.target)) continue;
    if ((width || height) && !n.serves(width, height)) continue;
    const int rank = 4 * n.target.empty() + 2 * (n.precision == "int8") + (n.width != 0);
    if (rank > best) best = rank, found = i;
  }
  if (best < 0)
    return ef::refuse(EF_ERROR_MISSING, "bundle", "one with a network of format %s, precision %s, target %s, size %ux%u, but %s has none",
                      format ? format : "any", precision ? precision : "any", target ? target : "any", width, height,
                      bundle->manifest.name.c_str());
  *index = found;
  return EF_OK;
}

ef_status ef_bundle_file(ef_bundle* bundle, const char* name, const void** data, size_t* size) {
  if (data) *data = nullptr;
  if (!bundle || !name || !data || !size)
    return ef::refuse(EF_ERROR_NULL, !bundle ? "bundle" : !name ? "name" : !data ? "data" : "size", "a pointer, but got NULL");
  return ef::guarded([&]() -> ef_status {
    for (const ef::Network& n : bundle->manifest.networks)
      for (const ef::File* file : {&n.file, &n.weights}) {
        if (file->name.empty() || file->name != name) continue;
        const std::vector<uint8_t>* bytes;
        if (const ef_status status = bundle->read(*file, &bytes)) return status;
        *data = bytes->data();
        *size = bytes->size() - 1;
        return EF_OK;
      }
    return ef::refuse(EF_ERROR_MISSING, "name", "a file of the manifest, but got %s", name);
  });
}

ef_status ef_bundle_input(const ef_bundle* bundle, uint32_t index, uint32_t width, uint32_t height, ef_input* input) {
  if (!bundle || !input) return ef::refuse(EF_ERROR_NULL, bundle ? "input" : "bundle", "a pointer, but got NULL");
  if (input->struct_size < sizeof *input) return ef::refuse(EF_ERROR_STRUCT_SIZE, "input.struct_size", "sizeof(ef_input)");
  const ef::Network* n = nullptr;
  if (const ef_status status = bundle->network(index, &n)) return status;
  if (const ef_status status = ef::choose_size(*bundle, *n, &width, &height)) return status;
  input->width = width;
  input->height = height;
  input->dtype = n->input.dtype;
  input->layout = n->input.layout;
  input->color = n->input.color;
  input->fit = EF_FIT_LETTERBOX;
  input->filter = EF_FILTER_BILINEAR;
  input->scale = n->input.scale;
  input->zero_point = n->input.zero_point;
  return EF_OK;
}

ef_status ef_bundle_outputs(const ef_bundle* bundle, uint32_t index, uint32_t width, uint32_t height, ef_output* outputs, uint32_t* count) {
  if (!bundle || !outputs || !count)
    return ef::refuse(EF_ERROR_NULL, !bundle ? "bundle" : !outputs ? "outputs" : "count", "a pointer, but got NULL");
  const ef::Network* n = nullptr;
  if (const ef_status status = bundle->network(index, &n)) return status;
  if (const ef_status status = ef::finds_faces(*bundle)) return status;
  if (const ef_status status = ef::choose_size(*bundle, *n, &width, &height)) return status;
  const uint32_t levels = static_cast<uint32_t>(n->outputs.size());
  if (*count < levels) return ef::refuse(EF_ERROR_ARGUMENT, "count", "at least %u, but got %u", levels, *count);
  for (uint32_t i = 0; i < levels; ++i)
    if (outputs[i].struct_size < sizeof(ef_output)) return ef::refuse(EF_ERROR_STRUCT_SIZE, "outputs.struct_size", "sizeof(ef_output) in each");
  for (uint32_t i = 0; i < levels; ++i) {
    const ef::Tensor& t = n->outputs[i];
    ef_output& o = outputs[i];
    o.dtype = t.dtype;
    o.layout = t.layout;
    o.stride = t.stride;
    o.columns = (width + t.stride - 1) / t.stride;
    o.rows = (height + t.stride - 1) / t.stride;
    o.scale = t.scale;
    o.zero_point = t.zero_point;
    o.channel_scales = bundle->manifest.channel_scales_of(t.stride);
    o.cell_step = o.row_step = o.channel_step = 0;
  }
  *count = levels;
  return EF_OK;
}

ef_status ef_bundle_points_outputs(const ef_bundle* bundle, uint32_t index, ef_points_output* outputs, float* margin) {
  if (!bundle || !outputs) return ef::refuse(EF_ERROR_NULL, bundle ? "outputs" : "bundle", "a pointer, but got NULL");
  const ef::Network* n = nullptr;
  if (const ef_status status = bundle->network(index, &n)) return status;
  if (bundle->manifest.margin == 0)
    return ef::refuse(EF_ERROR_ARGUMENT, "bundle", "one of a per-face network (rule edgeface-points-v1), but %s finds faces", bundle->manifest.name.c_str());
  for (uint32_t i = 0; i < EF_POINTS_OUTPUTS; ++i)
    if (outputs[i].struct_size < sizeof(ef_points_output))
      return ef::refuse(EF_ERROR_STRUCT_SIZE, "outputs.struct_size", "sizeof(ef_points_output) in each");
  for (uint32_t i = 0; i < EF_POINTS_OUTPUTS; ++i) {
    const ef::Tensor& t = n->outputs[i];
    outputs[i].role = t.role;
    outputs[i].dtype = t.dtype;
    outputs[i].scale = t.scale;
    outputs[i].zero_point = t.zero_point;
  }
  if (margin) *margin = bundle->manifest.margin;
  return EF_OK;
}

ef_status ef_bundle_decode_options(const ef_bundle* bundle, ef_decode_options* options) {
  if (!bundle || !options) return ef::refuse(EF_ERROR_NULL, bundle ? "options" : "bundle", "a pointer, but got NULL");
  if (options->struct_size < sizeof *options) return ef::refuse(EF_ERROR_STRUCT_SIZE, "options.struct_size", "sizeof(ef_decode_options)");
  options->min_score = bundle->manifest.min_score;
  options->nms_iou = bundle->manifest.nms_iou;
  return EF_OK;
}

ef_status ef_bundle_decode(const ef_bundle* bundle, uint32_t index, ef_context* context, const ef_output* outputs, uint32_t output_count,
                           const ef_transform* transform, const ef_decode_options* options, ef_faces* faces) {
  if (faces && faces->struct_size >= sizeof *faces) faces->count = 0;
  if (!bundle || !outputs) return ef::refuse(EF_ERROR_NULL, bundle ? "outputs" : "bundle", "a pointer, but got NULL");
  const ef::Network* n = nullptr;
  if (const ef_status status = bundle->network(index, &n)) return status;
  if (const ef_status status = ef::finds_faces(*bundle)) return status;
  if (const ef_status status = ef::check_outputs(*bundle, *n, outputs, output_count)) return status;
  const ef_decode_options own = {sizeof own, bundle->manifest.min_score, bundle->manifest.nms_iou};
  return ef_decode(context, outputs, output_count, transform, options ? options : &own, faces);
}

}  // extern "C"
