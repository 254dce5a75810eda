// The zip that a bundle is, read by minizip from a file or from the caller's memory.
#ifndef EDGEFACE_ENGINE_ARCHIVE_H
#define EDGEFACE_ENGINE_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edgeface/edgeface.h"

namespace ef {

class Archive {
 public:
  ~Archive();
  // One of both; the memory is read as long as the archive lives.
  ef_status open_file(const char* path);
  ef_status open_memory(const void* data, size_t size);

  bool has(const std::string& name) const { return entries_.count(name) != 0; }

  // Unpacks a file that is stored or deflated and has at most `limit` bytes; a byte 0 follows the `size` bytes.
  ef_status read(const std::string& name, size_t limit, std::vector<uint8_t>* out);

 private:
  struct Memory {
    const uint8_t* data;
    uint64_t size, at;
  };
  struct Callbacks;
  struct Position {
    uint64_t directory, number;
  };

  ef_status list();

  void* zip_ = nullptr;  // unzFile
  Memory memory_ = {};
  std::map<std::string, Position> entries_;
};

}  // namespace ef

#endif
