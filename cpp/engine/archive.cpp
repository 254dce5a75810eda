#include "archive.h"

#include <errno.h>
#include <minizip/unzip.h>
#include <string.h>

#include "message.h"

namespace ef {
namespace {

constexpr uint64_t kMaxEntries = 256;
constexpr int kEncrypted = 1;

ef_status damaged(const std::string& name) { return refuse(EF_ERROR_BUNDLE, "bundle", "an intact zip, but %s in it is damaged", name.c_str()); }

}  // namespace

// minizip's view of a block of memory: a file that cannot be written.
struct Archive::Callbacks {
  static Memory& of(voidpf opaque) { return *static_cast<Memory*>(opaque); }
  static voidpf open(voidpf opaque, const void*, int) { return opaque; }
  static uLong read(voidpf opaque, voidpf, void* to, uLong size) {
    Memory& m = of(opaque);
    const uint64_t left = m.size - m.at, n = size < left ? size : left;
    if (n) memcpy(to, m.data + m.at, n);
    m.at += n;
    return static_cast<uLong>(n);
  }
  static uLong write(voidpf, voidpf, const void*, uLong) { return 0; }
  static ZPOS64_T tell(voidpf opaque, voidpf) { return of(opaque).at; }
  static long seek(voidpf opaque, voidpf, ZPOS64_T offset, int origin) {
    Memory& m = of(opaque);
    const uint64_t base = origin == ZLIB_FILEFUNC_SEEK_SET ? 0 : origin == ZLIB_FILEFUNC_SEEK_CUR ? m.at : m.size;
    if (offset > m.size - base) return -1;  // base is never past the end
    m.at = base + offset;
    return 0;
  }
  static int close(voidpf, voidpf) { return 0; }
  static int error(voidpf, voidpf) { return 0; }
};

Archive::~Archive() {
  if (zip_) unzClose(zip_);
}

ef_status Archive::open_file(const char* path) {
  FILE* file = fopen(path, "rb");  // minizip does not say why it cannot open one
  if (!file) return refuse(EF_ERROR_FILE, "path", "a bundle that can be read, but %s is not: %s", path, strerror(errno));
  fclose(file);
  zip_ = unzOpen64(path);
  if (!zip_) return refuse(EF_ERROR_BUNDLE, "path", "a bundle (a zip), but %s is none, or is damaged", path);
  return list();
}

ef_status Archive::open_memory(const void* data, size_t size) {
  memory_ = {static_cast<const uint8_t*>(data), size, 0};
  zlib_filefunc64_def functions = {Callbacks::open, Callbacks::read,  Callbacks::write, Callbacks::tell,
                                   Callbacks::seek, Callbacks::close, Callbacks::error, &memory_};
  zip_ = unzOpen2_64("", &functions);
  if (!zip_) return refuse(EF_ERROR_BUNDLE, "data", "a bundle (a zip), but got %zu bytes that are none, or damaged", size);
  return list();
}

ef_status Archive::list() {
  unz_global_info64 info;
  if (unzGetGlobalInfo64(zip_, &info) != UNZ_OK) return damaged("its directory");
  if (info.number_entry > kMaxEntries)
    return refuse(EF_ERROR_SIZE, "bundle", "of at most %llu files, but got %llu", static_cast<unsigned long long>(kMaxEntries),
                  static_cast<unsigned long long>(info.number_entry));
  int status = info.number_entry ? unzGoToFirstFile(zip_) : UNZ_END_OF_LIST_OF_FILE;
  for (; status == UNZ_OK; status = unzGoToNextFile(zip_)) {
    char name[300];
    unz_file_info64 file;
    unz64_file_pos position;
    if (unzGetCurrentFileInfo64(zip_, &file, name, sizeof name, nullptr, 0, nullptr, 0) != UNZ_OK || file.size_filename >= sizeof name ||
        unzGetFilePos64(zip_, &position) != UNZ_OK)
      return damaged("its directory");
    if (!entries_.emplace(name, Position{position.pos_in_zip_directory, position.num_of_file}).second)
      return refuse(EF_ERROR_BUNDLE, "bundle", "without a file twice, but %s is there twice", name);
  }
  return status == UNZ_END_OF_LIST_OF_FILE ? EF_OK : damaged("its directory");
}

ef_status Archive::read(const std::string& name, size_t limit, std::vector<uint8_t>* out) {
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return refuse(EF_ERROR_MISSING, "bundle", "one that holds %s, but got one without it", name.c_str());
  const unz64_file_pos position = {entry->second.directory, entry->second.number};
  unz_file_info64 info;
  if (unzGoToFilePos64(zip_, &position) != UNZ_OK || unzGetCurrentFileInfo64(zip_, &info, nullptr, 0, nullptr, 0, nullptr, 0) != UNZ_OK)
    return damaged(name);
  if ((info.compression_method != 0 && info.compression_method != Z_DEFLATED) || (info.flag & kEncrypted))
    return refuse(EF_ERROR_BUNDLE, "bundle", "stored or deflated, but %s is packed otherwise", name.c_str());
  if (info.uncompressed_size > limit)
    return refuse(EF_ERROR_SIZE, "bundle", "small, but %s has %llu bytes where %zu are allowed", name.c_str(),
                  static_cast<unsigned long long>(info.uncompressed_size), limit);
  if (unzOpenCurrentFile(zip_) != UNZ_OK) return damaged(name);
  // The size in the directory is a claim: memory is taken as bytes come, so that a small file cannot ask for much of it.
  const size_t size = static_cast<size_t>(info.uncompressed_size);
  out->clear();
  int n = 1;
  while (n > 0 && out->size() < size) {
    const size_t at = out->size(), step = size - at < (1u << 16) ? size - at : 1u << 16;
    out->resize(at + step);
    n = unzReadCurrentFile(zip_, out->data() + at, static_cast<unsigned>(step));
    out->resize(at + static_cast<size_t>(n > 0 ? n : 0));
  }
  uint8_t more;
  const bool whole = n >= 0 && out->size() == size && unzReadCurrentFile(zip_, &more, 1) == 0;
  if (unzCloseCurrentFile(zip_) != UNZ_OK || !whole) return damaged(name);  // closing compares the CRC
  out->push_back(0);
  return EF_OK;
}

}  // namespace ef
