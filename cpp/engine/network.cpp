#include "network.h"

#include <string.h>

#ifdef EF_HAVE_NCNN
#include <ncnn/allocator.h>
#include <ncnn/datareader.h>
#include <ncnn/net.h>
#endif

#include "message.h"

namespace ef {

#ifdef EF_HAVE_NCNN

namespace {

// Weights from memory that end where they end: ncnn's own reader knows no length.
class Weights : public ncnn::DataReader {
 public:
  Weights(const uint8_t* data, size_t size) : data_(data), left_(size) {}
  size_t read(void* to, size_t size) const override {
    if (size > left_) return 0;
    memcpy(to, data_, size);
    data_ += size;
    left_ -= size;
    return size;
  }
  size_t left() const { return left_; }

 private:
  mutable const uint8_t* data_;
  mutable size_t left_;
};

}  // namespace

struct NcnnNetwork::State {
  ncnn::UnlockedPoolAllocator blobs;
  ncnn::PoolAllocator workspace;  // layers may ask from several threads
  ncnn::Net net;
  ncnn::Mat input;
  std::vector<ncnn::Mat> outputs;
  std::string file, input_name;
  std::vector<std::string> output_names;

  ~State() {  // before the allocators that they came from
    outputs.clear();
    input.release();
    net.clear();
  }
};

NcnnNetwork::NcnnNetwork() = default;
NcnnNetwork::~NcnnNetwork() = default;

ef_status NcnnNetwork::open(ef_bundle* bundle, const Network& network, uint32_t width, uint32_t height, uint32_t threads) {
  const char* file = network.file.name.c_str();
  if (network.weights.name.empty()) return refuse(EF_ERROR_BUNDLE, file, "with weights, but the manifest names none");
  if (network.input.dtype != EF_DTYPE_FLOAT32 || network.input.layout != EF_LAYOUT_NCHW || network.input.scale != 1)
    return refuse(EF_ERROR_BUNDLE, file, "of a float32 NCHW input of scale 1, as ncnn's are");
  for (const Tensor& t : network.outputs)
    if (t.dtype != EF_DTYPE_FLOAT32 || t.layout != EF_LAYOUT_NCHW) return refuse(EF_ERROR_BUNDLE, file, "of float32 NCHW outputs, as ncnn's are");
  const std::vector<uint8_t>*layers, *weights;
  if (const ef_status status = bundle->read(network.file, &layers)) return status;
  if (const ef_status status = bundle->read(network.weights, &weights)) return status;
  state_ = std::make_unique<State>();
  ncnn::Option& option = state_->net.opt;
  option.num_threads = static_cast<int>(threads);
  option.openmp_blocktime = 0;  // no thread spins
  option.use_vulkan_compute = false;
  if (network.precision == "int8")  // 16-bit floats between layers differ from core to core, and int8 gains nothing from them
    option.use_fp16_packed = option.use_fp16_storage = option.use_fp16_arithmetic = false;
  option.blob_allocator = &state_->blobs;
  option.workspace_allocator = &state_->workspace;
  const Weights reader(weights->data(), weights->size() - 1);
  if (state_->net.load_param_mem(reinterpret_cast<const char*>(layers->data())) != 0 || state_->net.load_model(reader) != 0 || reader.left())
    return refuse(EF_ERROR_RUNTIME, file, "a network that ncnn %s takes", version());
  state_->file = file;
  state_->input_name = network.input.name;
  for (const Tensor& t : network.outputs) state_->output_names.push_back(t.name);
  state_->outputs.resize(network.outputs.size());
  state_->input.create(static_cast<int>(width), static_cast<int>(height), 3);
  if (state_->input.empty()) return refuse(EF_ERROR_MEMORY, "memory", "enough for the network's input");
  if (state_->input.cstep != size_t{width} * height) return refuse(EF_ERROR_SIZE, "width", "such that width * height is a multiple of 4");
  memset(state_->input.data, 0, size_t{3} * width * height * sizeof(float));
  return EF_OK;
}

float* NcnnNetwork::input() { return static_cast<float*>(state_->input.data); }

ef_status NcnnNetwork::compute() {
  for (ncnn::Mat& mat : state_->outputs) mat.release();
  ncnn::Extractor extractor = state_->net.create_extractor();
  if (extractor.input(state_->input_name.c_str(), state_->input) != 0)
    return refuse(EF_ERROR_RUNTIME, state_->file.c_str(), "a network with the input %s", state_->input_name.c_str());
  for (size_t i = 0; i < state_->outputs.size(); ++i) {
    const char* name = state_->output_names[i].c_str();
    if (extractor.extract(name, state_->outputs[i]) != 0) return refuse(EF_ERROR_RUNTIME, state_->file.c_str(), "a network with the output %s", name);
  }
  return EF_OK;
}

ef_status NcnnNetwork::run(ef_points_output* outputs) {
  constexpr int kCounts[EF_POINTS_OUTPUTS] = {2 * EF_POINTS, EF_POINTS, EF_POINTS, EF_POINTS, 9};
  if (const ef_status status = compute()) return status;
  for (size_t i = 0; i < state_->outputs.size(); ++i) {
    const ncnn::Mat& mat = state_->outputs[i];
    const int wanted = kCounts[outputs[i].role];
    if (mat.dims != 1 || mat.elempack != 1 || mat.elemsize != sizeof(float) || mat.w != wanted)
      return refuse(EF_ERROR_RUNTIME, state_->file.c_str(), "one whose output %s is a row of %d, but got %d dimensions, %d wide",
                    state_->output_names[i].c_str(), wanted, mat.dims, mat.w);
    outputs[i].data = mat.data;
  }
  return EF_OK;
}

ef_status NcnnNetwork::run(ef_output* outputs) {
  if (const ef_status status = compute()) return status;
  for (size_t i = 0; i < state_->outputs.size(); ++i) {
    const ncnn::Mat& mat = state_->outputs[i];
    const char* name = state_->output_names[i].c_str();
    if (mat.dims != 3 || mat.elempack != 1 || mat.elemsize != sizeof(float) || mat.c != EF_HEAD_CHANNELS ||
        mat.w != static_cast<int>(outputs[i].columns) || mat.h != static_cast<int>(outputs[i].rows))
      return refuse(EF_ERROR_RUNTIME, state_->file.c_str(), "one whose output %s is %d x %u x %u, but got %d x %d x %d", name, EF_HEAD_CHANNELS,
                    outputs[i].rows, outputs[i].columns, mat.c, mat.h, mat.w);
    outputs[i].data = mat.data;
    outputs[i].cell_step = 1;
    outputs[i].row_step = mat.w;
    outputs[i].channel_step = static_cast<ptrdiff_t>(mat.cstep);
  }
  return EF_OK;
}

const char* NcnnNetwork::version() { return NCNN_VERSION_STRING; }

#else

struct NcnnNetwork::State {};
NcnnNetwork::NcnnNetwork() = default;
NcnnNetwork::~NcnnNetwork() = default;
ef_status NcnnNetwork::open(ef_bundle*, const Network&, uint32_t, uint32_t, uint32_t) {
  return refuse(EF_ERROR_UNSUPPORTED, "engine", "built with ncnn (EDGEFACE_NCNN=ON), but this library is not");
}
float* NcnnNetwork::input() { return nullptr; }
ef_status NcnnNetwork::run(ef_output*) { return EF_ERROR_UNSUPPORTED; }
ef_status NcnnNetwork::run(ef_points_output*) { return EF_ERROR_UNSUPPORTED; }
const char* NcnnNetwork::version() { return "none"; }

#endif

}  // namespace ef
