// Why a call failed, for ef_last_error_message and ef_last_error_field.
#ifndef EDGEFACE_ENGINE_MESSAGE_H
#define EDGEFACE_ENGINE_MESSAGE_H

#include <new>

#include "edgeface/edgeface.h"

namespace ef {

// Remembers the field and the sentence "FIELD must be WHAT" for this thread and returns the status.
__attribute__((format(printf, 3, 4))) ef_status refuse(ef_status status, const char* field, const char* what, ...);

// Runs an ABI function's body: memory that ran out is a status, not an exception.
template <typename Body>
ef_status guarded(Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return refuse(EF_ERROR_MEMORY, "memory", "enough for the bundle and its network");
  }
}

}  // namespace ef

#endif
