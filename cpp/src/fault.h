// Which field a status is about, for ef_last_error_field.
#ifndef EDGEFACE_SRC_FAULT_H
#define EDGEFACE_SRC_FAULT_H

#include <stdint.h>

#include "edgeface/edgeface.h"

namespace ef {

// Remembers the field for this thread and returns the status: `return fault(EF_ERROR_ARGUMENT, "image.rotation");`
ef_status fault(ef_status status, const char* field);

// The same for a member of an array: "outputs", 2, "scale" is "outputs[2].scale".
ef_status fault(ef_status status, const char* array, uint32_t index, const char* member);

}  // namespace ef

#endif
