#include "message.h"

#include <stdarg.h>
#include <stdio.h>

#include "../src/fault.h"
#include "edgeface/edgeface_engine.h"

namespace {

thread_local char last_message[400] = "";

}  // namespace

namespace ef {

ef_status refuse(ef_status status, const char* field, const char* what, ...) {
  const int n = snprintf(last_message, sizeof last_message, "%s must be ", field);
  va_list arguments;
  va_start(arguments, what);
  if (n > 0 && n < static_cast<int>(sizeof last_message)) vsnprintf(last_message + n, sizeof last_message - static_cast<size_t>(n), what, arguments);
  va_end(arguments);
  return fault(status, field);
}

}  // namespace ef

extern "C" const char* ef_last_error_message(void) { return last_message; }
