// ef_create, ef_destroy, ef_query_memory and the names of things.
#include "context.h"
#include "fault.h"

#include <stdlib.h>

namespace {

constexpr size_t kAlign = 16;
constexpr size_t kBlockAlign = sizeof(void*) * 2 > 8 ? 8 : sizeof(void*) * 2;  // what every malloc gives

size_t rounded(size_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// Hands out pieces of a block; with no block it only counts.
class Arena {
 public:
  explicit Arena(unsigned char* base) : base_(base) {}
  template <typename T>
  T* take(size_t count) {
    T* piece = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += rounded(count * sizeof(T));
    return piece;
  }
  size_t used() const { return used_; }

 private:
  unsigned char* base_;
  size_t used_ = 0;
};

// The first side that is out of range, or nullptr.
const char* wrong_side(const ef_config& c) {
  const struct {
    const char* name;
    uint32_t side;
  } sides[] = {{"config.max_width", c.max_width},
               {"config.max_height", c.max_height},
               {"config.tensor_width", c.tensor_width},
               {"config.tensor_height", c.tensor_height}};
  for (const auto& s : sides)
    if (s.side < 1 || s.side > EF_MAX_SIDE) return s.name;
  return nullptr;
}

uint32_t cells(const ef_config& c) {
  uint32_t n = 0;
  for (uint32_t stride = 8; stride <= 32; stride *= 2)
    n += ((c.tensor_width + stride - 1) / stride) * ((c.tensor_height + stride - 1) / stride);
  return n;
}

// The largest power of two that is at most the number of cells: one box a bucket where every cell holds a face.
uint32_t heads(const ef_config& c) {
  const uint32_t most = cells(c);
  uint32_t n = 1;
  while (n <= most / 2) n *= 2;
  return n;
}

// Lays the context out from `base` (nullptr: only measures) and returns the bytes used.
size_t lay_out(const ef_config& c, unsigned char* base, ef_context** context) {
  using ef::kBlockRows;
  using ef::kPad;
  Arena arena(base);
  *context = arena.take<ef_context>(1);
  const size_t side = c.tensor_width > c.tensor_height ? c.tensor_width : c.tensor_height;
  const size_t row = static_cast<size_t>(c.max_width) * 3 + kPad;
  ef::Scratch s;
  s.blended = arena.take<uint16_t>(row);
  for (int i = 0; i < 3; ++i)  // interleaved colours or luma, then chroma: at most as many bytes as luma, rounded up to even
    for (auto& p : s.derived[i]) p = arena.take<uint8_t>(i == 0 ? row : c.max_width + 1 + static_cast<size_t>(kPad));
  for (auto& p : s.component) p = arena.take<uint8_t>(side + kPad);
  for (auto& p : s.staged) p = arena.take<uint8_t>(kBlockRows * (side + kPad));
  for (auto& p : s.segment) p = arena.take<uint8_t>(kBlockRows * (side + kPad));
  s.interleaved = arena.take<uint8_t>(3 * side + kPad);
  for (auto& p : s.offsets) p = arena.take<int32_t>(side + kPad);
  for (auto& p : s.weights) p = arena.take<uint32_t>(side + kPad);
  s.keys = arena.take<uint64_t>(cells(c));
  s.heads = arena.take<uint32_t>(heads(c));
  if (base) {
    ef_context& x = **context;
    x.max_width = c.max_width;
    x.max_height = c.max_height;
    x.tensor_width = c.tensor_width;
    x.tensor_height = c.tensor_height;
    x.max_side = static_cast<uint32_t>(side);
    x.max_cells = cells(c);
    x.head_count = heads(c);
    x.scratch = s;
  }
  return arena.used();
}

ef_status choose_kernels(uint32_t isa, const ef::Kernels** kernels) {
  if (isa > EF_ISA_AVX2) return ef::fault(EF_ERROR_ARGUMENT, "config.isa");
  if (isa == EF_ISA_AUTO) {
    const char* name = getenv("EDGEFACE_ISA");
    *kernels = name && *name ? ef::kernels_by_name(name) : ef::best_kernels();
  } else {
    *kernels = ef::kernels_for(static_cast<ef_isa>(isa));
  }
  return *kernels ? EF_OK : ef::fault(EF_ERROR_UNSUPPORTED, isa == EF_ISA_AUTO ? "EDGEFACE_ISA" : "config.isa");
}

}  // namespace

extern "C" {

size_t ef_query_memory(const ef_config* config) {
  if (!config || config->struct_size < sizeof(ef_config) || wrong_side(*config)) return 0;
  ef_context* unused;
  return lay_out(*config, nullptr, &unused);
}

ef_status ef_create(const ef_config* config, ef_context** context) {
  using ef::fault;
  if (context) *context = nullptr;
  if (!config || !context) return fault(EF_ERROR_NULL, config ? "context" : "config");
  if (config->struct_size < sizeof(ef_config)) return fault(EF_ERROR_STRUCT_SIZE, "config.struct_size");
  if (const char* field = wrong_side(*config)) return fault(EF_ERROR_SIZE, field);
  if (!config->allocate != !config->release) return fault(EF_ERROR_NULL, config->allocate ? "config.release" : "config.allocate");
  const ef::Kernels* kernels;
  if (const ef_status status = choose_kernels(config->isa, &kernels)) return status;
  const size_t size = ef_query_memory(config);
  void* block = config->memory;
  if (block) {
    if (config->memory_size < size || reinterpret_cast<uintptr_t>(block) % kBlockAlign)
      return fault(EF_ERROR_MEMORY, config->memory_size < size ? "config.memory_size" : "config.memory");
  } else {
    block = config->allocate ? config->allocate(config->user, size) : malloc(size);
    if (!block) return fault(EF_ERROR_MEMORY, "config.allocate");
  }
  // Padding is read by wide loads (and multiplied by zero), so it must hold something.
  for (size_t i = 0; i < size; ++i) static_cast<unsigned char*>(block)[i] = 0;
  lay_out(*config, static_cast<unsigned char*>(block), context);
  (*context)->kernels = kernels;
  (*context)->block = config->memory ? nullptr : block;
  (*context)->release = config->release;
  (*context)->user = config->user;
  return EF_OK;
}

void ef_destroy(ef_context* context) {
  if (!context || !context->block) return;
  if (context->release)
    context->release(context->user, context->block);
  else
    free(context->block);
}

const char* ef_status_string(ef_status status) {
  switch (status) {
    case EF_OK: return "ok";
    case EF_ERROR_NULL: return "a required pointer is NULL";
    case EF_ERROR_STRUCT_SIZE: return "struct_size is too small";
    case EF_ERROR_ARGUMENT: return "a value is outside its range";
    case EF_ERROR_SIZE: return "a frame, crop or tensor is empty, too large, or larger than ef_create was told";
    case EF_ERROR_STRIDE: return "a row stride is shorter than a row, or a step leads out of the address space";
    case EF_ERROR_MEMORY: return "the memory is too small, not aligned, or could not be allocated";
    case EF_ERROR_UNSUPPORTED: return "this CPU or this build lacks what was asked for";
    case EF_ERROR_FILE: return "a file cannot be read";
    case EF_ERROR_BUNDLE: return "the bundle is damaged, or no bundle";
    case EF_ERROR_TOO_NEW: return "the bundle needs a newer edgeface";
    case EF_ERROR_MISSING: return "the bundle does not hold what was asked for";
    case EF_ERROR_RUNTIME: return "the inference runtime refused the network or failed";
  }
  return "unknown status";
}

#define EF_TEXT_(x) #x
#define EF_TEXT(x) EF_TEXT_(x)
const char* ef_version(void) { return EF_TEXT(EF_VERSION_MAJOR) "." EF_TEXT(EF_VERSION_MINOR) "." EF_TEXT(EF_VERSION_PATCH); }

ef_isa ef_context_isa(const ef_context* context) { return context ? context->kernels->isa : EF_ISA_AUTO; }

int ef_isa_available(ef_isa isa) { return isa == EF_ISA_AUTO || ef::kernels_for(isa) != nullptr; }

const char* ef_isa_name(ef_isa isa) {
  switch (isa) {
    case EF_ISA_AUTO: return "auto";
    case EF_ISA_SCALAR: return "scalar";
    case EF_ISA_NEON: return "neon";
    case EF_ISA_AVX2: return "avx2";
  }
  return "unknown";
}

}  // extern "C"
