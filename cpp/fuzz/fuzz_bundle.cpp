// ef_bundle_* with any bytes: as a whole archive, or as the manifest and the golden vectors' index in an intact one. Whatever they hold, what an
// open bundle says is usable: sizes that the network takes, scales that are positive, files of the size that is given.
#include <zlib.h>

#include <string>

#include "bytes.h"
#include "edgeface/edgeface_engine.h"

namespace {

void put(std::string& out, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(value >> 8 * i & 255);
}

// A zip of stored files.
class Zip {
 public:
  void add(const std::string& name, const std::string& data) {
    const uint32_t at = static_cast<uint32_t>(body_.size());
    std::string fields;
    put(fields, 20, 2), put(fields, 0, 2), put(fields, 0, 2), put(fields, 0, 4);
    put(fields, static_cast<uint32_t>(crc32(0, reinterpret_cast<const Bytef*>(data.data()), static_cast<uInt>(data.size()))), 4);
    put(fields, static_cast<uint32_t>(data.size()), 4), put(fields, static_cast<uint32_t>(data.size()), 4);
    put(fields, static_cast<uint32_t>(name.size()), 2), put(fields, 0, 2);
    body_ += "PK\3\4" + fields + name + data;
    directory_ += std::string("PK\1\2\24\0", 6) + fields;
    put(directory_, 0, 2), put(directory_, 0, 2), put(directory_, 0, 2), put(directory_, 0, 4), put(directory_, at, 4);
    directory_ += name;
    ++count_;
  }
  std::string bytes() const {
    std::string end = "PK\5\6";
    put(end, 0, 4), put(end, count_, 2), put(end, count_, 2);
    put(end, static_cast<uint32_t>(directory_.size()), 4), put(end, static_cast<uint32_t>(body_.size()), 4), put(end, 0, 2);
    return body_ + directory_ + end;
  }

 private:
  std::string body_, directory_;
  uint32_t count_ = 0;
};

void look(ef_bundle* bundle) {
  ef_bundle_info info = {};
  info.struct_size = sizeof info;
  if (ef_bundle_describe(bundle, &info) != EF_OK || !info.network_count) abort();
  for (uint32_t i = 0; i < info.network_count; ++i) {
    ef_network_info network = {};
    network.struct_size = sizeof network;
    ef_input input = {};
    input.struct_size = sizeof input;
    ef_output outputs[EF_MAX_LEVELS] = {};
    for (ef_output& o : outputs) o.struct_size = sizeof o;
    uint32_t count = EF_MAX_LEVELS, found;
    const void* data;
    size_t size;
    if (ef_bundle_network(bundle, i, &network) != EF_OK) abort();
    if (ef_bundle_find(bundle, network.format, network.precision, network.target, network.width, network.height, &found) != EF_OK) abort();
    if (ef_bundle_file(bundle, network.file, &data, &size) == EF_OK && static_cast<const char*>(data)[size]) abort();
    if (ef_bundle_input(bundle, i, 0, 0, &input) == EF_OK) {
      if (!input.width || !input.height || !(input.scale > 0)) abort();
      if (ef_bundle_outputs(bundle, i, input.width, input.height, outputs, &count) != EF_OK || count != info.level_count) abort();
      for (uint32_t k = 0; k < count; ++k)
        for (int c = 0; c < EF_HEAD_CHANNELS; ++c)
          if (!(outputs[k].channel_scales[c] > 0) || !outputs[k].rows || !outputs[k].columns) abort();
    }
    ef_golden golden = {};
    golden.struct_size = sizeof golden;
    if (ef_bundle_golden(bundle, i, &golden) == EF_OK && (!golden.picture || golden.output_count != info.level_count)) abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  if (size && data[0] == '{') {
    Zip zip;
    zip.add("manifest.json", bytes);
    zip.add("golden.json", bytes);
    zip.add("net.tflite", "network");
    bytes = zip.bytes();
  }
  ef_bundle* bundle;
  if (ef_bundle_open_memory(bytes.data(), bytes.size(), &bundle) == EF_OK)
    look(bundle);
  else if (bundle || !*ef_last_error_field())
    abort();
  ef_bundle_close(bundle);
  return 0;
}
