// Which kernel tables this build and this CPU have.
#include "kernels.h"

#if defined(EF_HAVE_NEON) && defined(__arm__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace ef {
namespace {

bool equal(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

}  // namespace

const Kernels* kernels_for(ef_isa isa) {
  switch (isa) {
    case EF_ISA_SCALAR:
      return &kScalar;
#if defined(EF_HAVE_AVX2)
    case EF_ISA_AVX2:
      __builtin_cpu_init();
      return __builtin_cpu_supports("avx2") ? &kAvx2 : nullptr;
#endif
#if defined(EF_HAVE_NEON)
    case EF_ISA_NEON:
#if defined(__arm__) && defined(__linux__)
      return getauxval(AT_HWCAP) & (1ul << 12) ? &kNeon : nullptr;  // HWCAP_NEON: optional on armv7
#else
      return &kNeon;
#endif
#endif
    default:
      return nullptr;
  }
}

const Kernels* best_kernels() {
  if (const Kernels* k = kernels_for(EF_ISA_AVX2)) return k;
  if (const Kernels* k = kernels_for(EF_ISA_NEON)) return k;
  return &kScalar;
}

const Kernels* kernels_by_name(const char* name) {
  for (int isa = EF_ISA_SCALAR; isa <= EF_ISA_AVX2; ++isa)
    if (equal(name, ef_isa_name(static_cast<ef_isa>(isa)))) return kernels_for(static_cast<ef_isa>(isa));
  return nullptr;
}

}  // namespace ef
