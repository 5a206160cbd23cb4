// An image on disk: a directory (0700) with
//   manifest   magic, format version, what the image is of, and name, size and XXH3 of every other file; its own hash
//   last objects    the SandboxState (state.h) pages-N    contents of memory, page-aligned
//   layer, layer-data    what a mount view keeps of its own (layer.h)
//
// A writer works in DIR.partial beside the place that it is for, and commit() makes the image appear there by one
// rename, after everything has reached the disk. A reader believes nothing: the manifest is checked by its hash, every
// file by its size and hash, before anything is made of it.
#pragma once

#include <xxhash.h>
#include <zstd.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "migrate/codec.h"
#include "migrate/fields.h"
#include "migrate/state.h"
#include "migrate/write_behind.h"

namespace beam::migrate {

// Of the manifest; what is inside has versions of its own (fields.h).
inline constexpr std::uint32_t kImageFormat = 1;

struct ImageFile {
  std::string name;
  std::uint64_t size = 0;         // of the contents
  std::uint64_t hash = 0;         // of the file as it is stored
  bool compressed = false;        // one zstd frame
  std::uint64_t stored_size = 0;  // of the file
  // Where it was written, and when last: while these hold, nobody has written to it since (inode(7): the change time
  // can't be set). A copy has others.
  std::uint64_t inode = 0;
  std::int64_t changed_ns = 0;
};
BEAM_STATE(ImageFile, 1, name, size, hash, compressed, stored_size, inode, changed_ns)

struct Manifest {
  std::string beam_version;
  std::string kernel;
  std::string workstation;
  std::int64_t created_ms = 0;
  std::string sandbox;  // the runtime's description of the sandbox, its own encoding
  std::vector<ImageFile> files;
  std::vector<std::string> cpu_features;  // cpu.h
};
BEAM_STATE(Manifest, 1, beam_version, kernel, workstation, created_ms, sandbox, files, cpu_features)

// One file of an image, written from its start to its end; a large one by a thread of its own, so that an error may
// show at a later call, and in finish() at the latest.
class ImageFileWriter {
 public:
  ImageFileWriter(UniqueFd fd, std::string path, std::string name, bool compress = false);
  ImageFileWriter(ImageFileWriter&&) = default;
  Result<> append(const void* bytes, std::size_t size);
  // The same without a copy: room to fill, never none; of which so many bytes are then appended.
  Result<std::span<char>> room();
  Result<> append_room(std::size_t size);
  // Of what was appended.
  [[nodiscard]] std::uint64_t size() const { return size_; }
  // Lets it be executed.
  Result<> make_executable();
  [[nodiscard]] const std::string& name() const { return name_; }
  // It need not outlive the workstation's next crash.
  void leave_in_memory() { sink_->durable = false; }
  // Flushed to the disk; what the manifest says of it.
  Result<ImageFile> finish();

 private:
  struct FreeState {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  struct FreeCompressor {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  Result<> pass_on();
  // The file itself: what the other thread uses.
  struct Sink {
    Result<> store(const char* bytes, std::size_t size);
    Result<> compress(const void* bytes, std::size_t size, ZSTD_EndDirective end);
    Result<> write(const void* bytes, std::size_t size);

    UniqueFd fd;
    std::string path;
    bool durable = true;
    std::uint64_t stored = 0;
    std::uint64_t flushing = 0;  // up to there the kernel has been asked to write
    // Of what is stored; without compression that is what is appended, and the appending thread's to hash.
    std::unique_ptr<XXH3_state_t, FreeState> hash;
    std::unique_ptr<ZSTD_CCtx, FreeCompressor> compressor;
    std::vector<char> buffer;
  };

  std::string name_;
  std::uint64_t size_ = 0;
  std::unique_ptr<Sink> sink_;
  std::vector<char> room_;               // until there is another thread
  std::size_t used_ = 0;                 // of the room, or of the thread's buffer
  std::unique_ptr<WriteBehind> behind_;  // which uses the sink
};

class ImageWriter {
 public:
  // EEXIST when there is something at `directory` already. What a killed writer has left there makes room. `compress`:
  // the contents of memory.
  static Result<ImageWriter> create(const std::string& directory, bool compress = false);
  ImageWriter(ImageWriter&&) noexcept = default;
  // Removes what was written, unless commit() succeeded.
  ~ImageWriter();

  Result<ImageFileWriter> file(const std::string& name);
  Result<> add(ImageFileWriter&& file);
  // Nothing is flushed to the disk: of an image that is not to be kept.
  void leave_in_memory() { durable_ = false; }
  // From now on files are flushed to the disk by commit(), not by add().
  void flush_later() { flush_later_ = true; }
  Result<> write_objects(const SandboxState& state);
  // Completes `manifest` with the files, and makes the image appear. Its size.
  Result<std::uint64_t> commit(Manifest manifest);

 private:
  explicit ImageWriter(std::string directory);
  std::string directory_;
  std::string partial_;
  UniqueFd partial_fd_;  // locked (flock(2)) while it is written
  bool compress_ = false;
  bool durable_ = true;
  std::vector<ImageFile> files_;
  bool flush_later_ = false;
  std::vector<ImageFileWriter> unflushed_;
};

class Image {
 public:
  // Reads and checks the manifest, and the size of every file.
  static Result<Image> open(const std::string& directory);

  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] const std::string& directory() const { return directory_; }
  // Compares every file with its hash; with `trust_unchanged` not one that nobody has written to since it was made
  // here.
  Result<> verify(bool trust_unchanged = false) const;
  // Decodes `objects`, and checks what refers to what.
  [[nodiscard]] Result<SandboxState> load() const;
  // The contents of a file that the manifest names, for reading.
  [[nodiscard]] Result<UniqueFd> file(const std::string& name) const;
  [[nodiscard]] const ImageFile* find(const std::string& name) const;

 private:
  [[nodiscard]] Result<UniqueFd> stored_file(const ImageFile& entry) const;
  Image(std::string directory, UniqueFd fd, Manifest manifest)
      : directory_(std::move(directory)), fd_(std::move(fd)), manifest_(std::move(manifest)) {}
  std::string directory_;
  UniqueFd fd_;
  Manifest manifest_;
};

// What is inside a manifest file. Separate, so that the fuzzer reaches it.
[[nodiscard]] std::string encode_manifest(const Manifest& manifest);
[[nodiscard]] Result<Manifest> decode_manifest(std::string_view bytes);
// Indices, references, ranges and sizes of a decoded state, against each other and against the page files that the
// manifest names: a restorer may rely on them.
[[nodiscard]] Result<> check_references(const SandboxState& state, const Manifest& manifest);

}  // namespace beam::migrate
