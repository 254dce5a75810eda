// Golden vectors: golden.json in the bundle says which files are the picture, the input and the outputs of each network.
#include <string.h>

#include "bundle.h"
#include "json.h"
#include "message.h"

namespace ef {
namespace {

constexpr const char* kIndex = "golden.json";
constexpr size_t kMaxIndex = 1u << 20;
constexpr uint32_t kMaxPicture = 4096;

size_t element(const Tensor& t) { return t.dtype == EF_DTYPE_FLOAT32 ? 4 : 1; }

// "P6 WIDTH HEIGHT 255" and one white space, as edgeface/golden.py writes it.
ef_status picture_of(const std::vector<uint8_t>& bytes, ef_golden* golden) {
  unsigned width = 0, height = 0, most = 0;
  int at = 0;
  if (sscanf(reinterpret_cast<const char*>(bytes.data()), "P6 %5u %5u %3u%n", &width, &height, &most, &at) != 3 || most != 255 || !width ||
      !height || width > kMaxPicture || height > kMaxPicture || bytes.size() - 1 != static_cast<size_t>(at) + 1 + size_t{3} * width * height)
    return refuse(EF_ERROR_BUNDLE, "golden.picture", "a PPM picture (P6, 8 bits), but got something else");
  golden->picture_width = width;
  golden->picture_height = height;
  golden->picture = bytes.data() + at + 1;
  return EF_OK;
}

File file_of(const Json& json) { return {json.get("file").text(200), json.get("sha256").text(64)}; }

ef_status tensor_of(ef_bundle* bundle, const Json& json, size_t size, const void** out) {
  const File file = file_of(json);
  const std::vector<uint8_t>* bytes;
  if (!json.ok()) return EF_ERROR_BUNDLE;
  if (const ef_status status = bundle->read(file, &bytes)) return status;
  if (bytes->size() - 1 != size) return refuse(EF_ERROR_BUNDLE, file.name.c_str(), "of %zu bytes, but got %zu", size, bytes->size() - 1);
  *out = bytes->data();
  return EF_OK;
}

ef_status golden_of(ef_bundle* bundle, const Network& network, ef_golden* out) {
  std::vector<uint8_t> text;
  if (!bundle->archive.has(kIndex))
    return refuse(EF_ERROR_MISSING, "bundle", "one with golden vectors, but %s has none", bundle->manifest.name.c_str());
  if (const ef_status status = bundle->archive.read(kIndex, kMaxIndex, &text)) return status;
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(reinterpret_cast<const char*>(text.data()),
                                                                                         text.size() - 1);
  if (document.HasParseError()) return refuse(EF_ERROR_BUNDLE, "golden", "JSON, but got something else");
  ef_status status = EF_OK;
  const Json top(&document, "golden", &status);
  const Json one = top.get("networks").get(network.file.name.c_str());
  if (status == EF_OK && one.is_null())
    return refuse(EF_ERROR_MISSING, "bundle", "one with golden vectors of %s, but got none of it", network.file.name.c_str());
  if (one.get("sha256").text(64) != network.file.sha256) one.get("sha256").fail("the network's: these vectors are of another one");
  ef_golden golden = {};
  golden.struct_size = out->struct_size;
  golden.width = static_cast<uint32_t>(one.get("size").items(2, 2) ? one.get("size").item(0).integer(1, 8192) : 0);
  golden.height = static_cast<uint32_t>(one.get("size").items(2, 2) ? one.get("size").item(1).integer(1, 8192) : 0);
  const Json outputs = one.get("outputs");
  outputs.items(network.outputs.size(), network.outputs.size());
  const File picture = file_of(top.get("picture"));
  if (status != EF_OK) return status;
  if (!network.serves(golden.width, golden.height)) return refuse(EF_ERROR_BUNDLE, "golden.size", "one that the network takes");
  const std::vector<uint8_t>* bytes;
  if ((status = bundle->read(picture, &bytes))) return status;
  if ((status = picture_of(*bytes, &golden))) return status;
  golden.input_size = size_t{3} * golden.width * golden.height * element(network.input);
  if ((status = tensor_of(bundle, one.get("input"), golden.input_size, &golden.input))) return status;
  golden.output_count = static_cast<uint32_t>(network.outputs.size());
  for (uint32_t i = 0; i < golden.output_count; ++i) {
    const Tensor& t = network.outputs[i];
    const size_t columns = (golden.width + t.stride - 1) / t.stride, rows = (golden.height + t.stride - 1) / t.stride;
    golden.output_sizes[i] = columns * rows * EF_HEAD_CHANNELS * element(t);
    if ((status = tensor_of(bundle, outputs.item(i), golden.output_sizes[i], &golden.outputs[i]))) return status;
  }
  *out = golden;
  return EF_OK;
}

}  // namespace
}  // namespace ef

extern "C" ef_status ef_bundle_golden(ef_bundle* bundle, uint32_t index, ef_golden* golden) {
  if (!bundle || !golden) return ef::refuse(EF_ERROR_NULL, bundle ? "golden" : "bundle", "a pointer, but got NULL");
  if (golden->struct_size < sizeof *golden) return ef::refuse(EF_ERROR_STRUCT_SIZE, "golden.struct_size", "sizeof(ef_golden)");
  return ef::guarded([&]() -> ef_status {
    const ef::Network* network = nullptr;
    if (const ef_status status = bundle->network(index, &network)) return status;
    return ef::golden_of(bundle, *network, golden);
  });
}
