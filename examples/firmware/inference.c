#include "inference.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

int open_network(const char *plugin, const char *model, network *out) {
  void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
  network_open open_it = NULL;
  int status;
  if (!library) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  *(void **)&open_it = dlsym(library, "edgeface_network"); /* the form that POSIX gives for functions */
  if (!open_it) {
    fprintf(stderr, "%s must export edgeface_network, but does not\n", plugin);
    return 1;
  }
  memset(out, 0, sizeof *out);
  status = open_it(model, out);
  if (status) fprintf(stderr, "%s: opening %s failed with %d\n", plugin, model ? model : "its model", status);
  return status;
}
