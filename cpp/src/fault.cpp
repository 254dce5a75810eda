#include "fault.h"

#include <stdio.h>

namespace {

thread_local char last_field[160] = "";

}  // namespace

namespace ef {

ef_status fault(ef_status status, const char* field) {
  snprintf(last_field, sizeof last_field, "%s", field);
  return status;
}

ef_status fault(ef_status status, const char* array, uint32_t index, const char* member) {
  snprintf(last_field, sizeof last_field, "%s[%u].%s", array, static_cast<unsigned>(index), member);
  return status;
}

}  // namespace ef

extern "C" const char* ef_last_error_field(void) { return last_field; }
