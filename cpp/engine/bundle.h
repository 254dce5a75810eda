// An open bundle: its archive, its manifest, and what has been unpacked of it.
#ifndef EDGEFACE_ENGINE_BUNDLE_H
#define EDGEFACE_ENGINE_BUNDLE_H

#include <map>
#include <string>
#include <vector>

#include "archive.h"
#include "edgeface/edgeface_engine.h"
#include "manifest.h"

struct ef_bundle {
  ef::Archive archive;
  ef::Manifest manifest;
  std::map<std::string, std::vector<uint8_t>> files;  // unpacked and checked; nodes do not move

  ef_status open();
  // Unpacks `file` once and compares its sha256. `out` lives as long as the bundle and ends in a 0 that does not count.
  ef_status read(const ef::File& file, const std::vector<uint8_t>** out);
  ef_status network(uint32_t index, const ef::Network** out) const;
};

namespace ef {

// The size that a network is to run at: 0, 0 is its own or the bundle's.
ef_status choose_size(const ef_bundle& bundle, const Network& network, uint32_t* width, uint32_t* height);

ef_status check_outputs(const ef_bundle& bundle, const Network& network, const ef_output* outputs, uint32_t count);

}  // namespace ef

#endif
