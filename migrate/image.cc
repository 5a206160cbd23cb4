#include "migrate/image.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <thread>
#include <utility>

#include "base/fault.h"
#include "migrate/codec.h"

namespace beam::migrate {
namespace {

constexpr std::array<char, 8> kMagic{'B', 'E', 'A', 'M', 'I', 'M', 'G', '\n'};
constexpr const char* kManifestName = "manifest";
constexpr const char* kObjectsName = "objects";
constexpr std::uint64_t kLargestManifest = 64ULL << 20;
constexpr std::uint64_t kLargestObjects = 4ULL << 30;
constexpr std::size_t kBuffer = 1U << 20;
constexpr int kCompressionLevel = 1;
// Zeros become a thirty-thousandth (RFC 8878: blocks of 128 KiB, 4 bytes each at least). More is no honest image.
constexpr std::uint64_t kMostCompressed = 1U << 16;

struct ManifestHead {
  std::array<char, 8> magic;
  std::uint32_t format;
  std::uint32_t reserved;
  std::uint64_t size;  // of what follows, without the hash at the end
};

Result<> sync_directory(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::fsync(fd.get()) != 0) {
    return Error::from_errno(path + ": flush to the disk");
  }
  return success();
}

std::string parent_of(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

// A name of a file in the image, and of nothing else.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name.size() < 256 && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos && name != kManifestName;
}

Result<std::string> read_all(int fd, std::uint64_t size, const std::string& path) {
  std::string bytes(size, '\0');
  std::size_t got = 0;
  while (got < size) {
    const ssize_t n = ::pread(fd, bytes.data() + got, size - got, static_cast<off_t>(got));
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return Error::from_errno(path + ": read");
    }
    if (n == 0) {
      return Error(kDamaged, path + ": it ends early");
    }
    got += static_cast<std::size_t>(n);
  }
  return bytes;
}

std::int64_t changed_ns(const struct stat& info) {
  return info.st_ctim.tv_sec * 1'000'000'000LL + info.st_ctim.tv_nsec;
}

// What a writer has left that was killed: one that lives holds a lock on it.
bool remove_abandoned(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd || ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    errno = EEXIST;
    return false;
  }
  std::error_code fault;
  std::filesystem::remove_all(path, fault);
  errno = fault.value();
  return !fault;
}

}  // namespace

// --- writing ---

ImageFileWriter::ImageFileWriter(UniqueFd fd, std::string path, std::string name, bool compress)
    : name_(std::move(name)), sink_(std::make_unique<Sink>()) {
  sink_->fd = std::move(fd);
  sink_->path = std::move(path);
  sink_->hash.reset(XXH3_createState());
  XXH3_64bits_reset(sink_->hash.get());
  if (compress) {
    sink_->compressor.reset(ZSTD_createCCtx());
    ZSTD_CCtx* const context = sink_->compressor.get();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, kCompressionLevel);
    // A library that was built without threads compresses in this one.
    (void)ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, static_cast<int>(std::thread::hardware_concurrency()));
    sink_->buffer.resize(ZSTD_CStreamOutSize());
  }
}

Result<> ImageFileWriter::append(const void* bytes, std::size_t size) {
  const auto* at = static_cast<const char*>(bytes);
  while (size > 0) {
    BEAM_TRY_ASSIGN(const auto to, room());
    const std::size_t part = std::min(size, to.size());
    std::memcpy(to.data(), at, part);
    BEAM_TRY(append_room(part));
    at += part;
    size -= part;
  }
  return success();
}

Result<std::span<char>> ImageFileWriter::room() {
  char* buffer = nullptr;
  if (behind_ != nullptr) {
    BEAM_TRY_ASSIGN(buffer, behind_->buffer());
  } else {
    room_.resize(WriteBehind::kBuffer);
    buffer = room_.data();
  }
  return std::span<char>(buffer, WriteBehind::kBuffer).subspan(used_);
}

Result<> ImageFileWriter::append_room(std::size_t size) {
  if (fault_point("image.write")) {
    return Error(ENOSPC, sink_->path + ": write");
  }
  BEAM_TRY_ASSIGN(const auto filled, room());
  size_ += size;
  used_ += size;
  if (sink_->compressor == nullptr) {
    XXH3_64bits_update(sink_->hash.get(), filled.data(), size);
  }
  return used_ == WriteBehind::kBuffer ? pass_on() : success();
}

Result<> ImageFileWriter::pass_on() {
  const std::size_t size = std::exchange(used_, 0);
  if (behind_ != nullptr) {
    behind_->put(size);
    return success();
  }
  BEAM_TRY(sink_->store(room_.data(), size));
  constexpr std::uint64_t kWorthAThread = 4U << 20U;  // bytes
  if (size_ >= kWorthAThread) {
    behind_ = std::make_unique<WriteBehind>(
        [sink = sink_.get()](const char* bytes, std::size_t part) { return sink->store(bytes, part); });
    room_ = {};
  }
  return success();
}

Result<> ImageFileWriter::Sink::store(const char* bytes, std::size_t size) {
  return compressor != nullptr ? compress(bytes, size, ZSTD_e_continue) : write(bytes, size);
}

Result<> ImageFileWriter::Sink::compress(const void* bytes, std::size_t size, ZSTD_EndDirective end) {
  ZSTD_inBuffer in{bytes, size, 0};
  for (;;) {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    const std::size_t left = ZSTD_compressStream2(compressor.get(), &out, &in, end);
    if (ZSTD_isError(left) != 0) {
      return Error(ENOMEM, path + ": compress: " + ZSTD_getErrorName(left));
    }
    XXH3_64bits_update(hash.get(), buffer.data(), out.pos);
    BEAM_TRY(write(buffer.data(), out.pos));
    if (end == ZSTD_e_end ? left == 0 : in.pos == in.size) {
      return success();
    }
  }
}

Result<> ImageFileWriter::Sink::write(const void* bytes, std::size_t size) {
  const auto* at = static_cast<const char*>(bytes);
  while (size > 0) {
    const ssize_t put = ::write(fd.get(), at, size);
    if (put < 0 && errno == EINTR) {
      continue;
    }
    if (put <= 0) {
      return Error::from_errno(path + ": write");
    }
    at += put;
    stored += static_cast<std::uint64_t>(put);
    size -= static_cast<std::size_t>(put);
  }
  // The disk works while the rest is read: little is left for fsync(2) to wait for. Where it can't, nothing is lost.
  constexpr std::uint64_t kAhead = 8 << 20;
  if (durable && stored - flushing >= kAhead) {
    (void)::sync_file_range(fd.get(), static_cast<off_t>(flushing), static_cast<off_t>(stored - flushing),
                            SYNC_FILE_RANGE_WRITE);
    flushing = stored;
  }
  return success();
}

Result<> ImageFileWriter::make_executable() {
  return ::fchmod(sink_->fd.get(), 0700) == 0 ? success()
                                              : Result<>(Error::from_errno(sink_->path + ": make executable"));
}

Result<ImageFile> ImageFileWriter::finish() {
  BEAM_TRY(pass_on());
  if (behind_ != nullptr) {
    BEAM_TRY(behind_->finish());
  }
  if (sink_->compressor != nullptr) {
    BEAM_TRY(sink_->compress(nullptr, 0, ZSTD_e_end));
  }
  struct stat info {};
  if (fault_point("image.sync")) {
    return Error(EIO, sink_->path + ": flush to the disk");
  }
  if ((sink_->durable && ::fsync(sink_->fd.get()) != 0) || ::fstat(sink_->fd.get(), &info) != 0) {
    return Error::from_errno(sink_->path + ": flush to the disk");
  }
  return ImageFile{
      name_,       size_,           XXH3_64bits_digest(sink_->hash.get()), sink_->compressor != nullptr, sink_->stored,
      info.st_ino, changed_ns(info)};
}

ImageWriter::ImageWriter(std::string directory) : directory_(std::move(directory)), partial_(directory_ + ".partial") {}

Result<ImageWriter> ImageWriter::create(const std::string& directory, bool compress) {
  ImageWriter writer(std::filesystem::path(directory).lexically_normal().string());
  while (writer.directory_.size() > 1 && writer.directory_.back() == '/') {
    writer.directory_.pop_back();
  }
  writer.compress_ = compress;
  writer.partial_ = writer.directory_ + ".partial";
  struct stat info {};
  if (::lstat(writer.directory_.c_str(), &info) == 0) {
    return Error(EEXIST, "image " + directory).remedy("choose another place, or remove what is there");
  }
  if (::mkdir(writer.partial_.c_str(), 0700) != 0 &&
      (errno != EEXIST || !remove_abandoned(writer.partial_) || ::mkdir(writer.partial_.c_str(), 0700) != 0)) {
    const int code = errno;
    Error error(code, "image " + writer.partial_);
    return code == EEXIST ? std::move(error).remedy("another freeze writes it: wait for it, or choose another place")
                          : std::move(error);
  }
  writer.partial_fd_.reset(::open(writer.partial_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!writer.partial_fd_ || ::flock(writer.partial_fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    return Error::from_errno("image " + writer.partial_);
  }
  return writer;
}

ImageWriter::~ImageWriter() {
  if (partial_fd_) {
    std::error_code ignored;
    std::filesystem::remove_all(partial_, ignored);
  }
}

Result<ImageFileWriter> ImageWriter::file(const std::string& name) {
  std::string path = partial_ + "/" + name;
  UniqueFd fd(::openat(partial_fd_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) {
    return Error::from_errno(path + ": create");
  }
  const bool compressible =
      name.starts_with("pages") || name.starts_with("shared-") || name.starts_with("sysv-") || name == "layer-data";
  ImageFileWriter writer(std::move(fd), std::move(path), name, compress_ && compressible);
  if (!durable_) {
    writer.leave_in_memory();
  }
  return writer;
}

Result<> ImageWriter::add(ImageFileWriter&& file) {
  if (flush_later_) {
    unflushed_.push_back(std::move(file));
    return success();
  }
  BEAM_TRY_ASSIGN(auto entry, file.finish());
  files_.push_back(std::move(entry));
  return success();
}

Result<> ImageWriter::write_objects(const SandboxState& state) {
  BEAM_TRY_ASSIGN(auto objects, file(kObjectsName));
  const std::string bytes = encode(state);
  BEAM_TRY(objects.append(bytes.data(), bytes.size()));
  return add(std::move(objects));
}

Result<std::uint64_t> ImageWriter::commit(Manifest manifest) {
  flush_later_ = false;
  for (ImageFileWriter& file : std::exchange(unflushed_, {})) {
    BEAM_TRY(add(std::move(file)));
  }
  manifest.files = files_;
  const std::string bytes = encode_manifest(manifest);
  BEAM_TRY_ASSIGN(auto out, file(kManifestName));
  BEAM_TRY(out.append(bytes.data(), bytes.size()));
  BEAM_TRY(out.finish());
  if (durable_ && ::fsync(partial_fd_.get()) != 0) {
    return Error::from_errno(partial_ + ": flush to the disk");
  }
  if (fault_point("image.rename") ||
      ::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, directory_.c_str(), RENAME_NOREPLACE) != 0) {
    return Error(errno != 0 ? errno : EIO, "image " + directory_ + ": rename into its place");
  }
  auto synced = fault_point("image.directory")
                    ? Result<>(Error(EIO, "image " + directory_ + ": flush its directory to the disk"))
                : durable_ ? sync_directory(parent_of(directory_))
                           : success();
  if (!synced.ok()) {
    // It may be there after a crash or not: then it must not be.
    ::rename(directory_.c_str(), partial_.c_str());
    return std::move(synced).error();
  }
  partial_fd_.reset();  // from here on it stays
  std::uint64_t size = bytes.size();
  for (const ImageFile& file : files_) {
    size += file.stored_size;
  }
  return size;
}

std::string encode_manifest(const Manifest& manifest) {
  const std::string payload = encode(manifest);
  const ManifestHead head{kMagic, kImageFormat, 0, payload.size()};
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  bytes += payload;
  const std::uint64_t hash = XXH3_64bits(bytes.data(), bytes.size());
  bytes.append(reinterpret_cast<const char*>(&hash), sizeof hash);
  return bytes;
}

// --- reading ---

namespace {

struct FreeDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Into a memory file.
Result<UniqueFd> decompress(UniqueFd stored, std::uint64_t size, const std::string& path) {
  UniqueFd memory(::memfd_create("beam-image", MFD_CLOEXEC));
  if (!memory) {
    return Error::from_errno(path + ": decompress");
  }
  const std::unique_ptr<ZSTD_DCtx, FreeDecompressor> context(ZSTD_createDCtx());
  std::vector<char> in_bytes(ZSTD_DStreamInSize());
  std::vector<char> out_bytes(ZSTD_DStreamOutSize());
  std::uint64_t written = 0;
  std::size_t left = 1;
  for (;;) {
    const ssize_t got = ::read(stored.get(), in_bytes.data(), in_bytes.size());
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got < 0) {
      return Error::from_errno(path);
    }
    if (got == 0) {
      break;
    }
    ZSTD_inBuffer in{in_bytes.data(), static_cast<std::size_t>(got), 0};
    ZSTD_outBuffer out{};
    do {
      out = {out_bytes.data(), out_bytes.size(), 0};
      left = ZSTD_decompressStream(context.get(), &out, &in);
      if (ZSTD_isError(left) != 0 || out.pos > size - written) {
        return Error(kDamaged, path + ": what is compressed in it is damaged");
      }
      if (out.pos > 0 && ::write(memory.get(), out_bytes.data(), out.pos) != static_cast<ssize_t>(out.pos)) {
        return Error::from_errno(path + ": decompress");
      }
      written += out.pos;
      // At the end of the frame another call would begin the next one, which there is not.
    } while (left != 0 && (in.pos < in.size || out.pos == out.size));
    if (in.pos < in.size) {
      return Error(kDamaged, path + ": something follows what is compressed in it");
    }
  }
  if (left != 0 || written != size) {
    return Error(kDamaged, path + ": what is compressed in it ends early");
  }
  ::lseek(memory.get(), 0, SEEK_SET);
  return memory;
}

}  // namespace

Result<Manifest> decode_manifest(std::string_view bytes) {
  ManifestHead head{};
  std::uint64_t hash = 0;
  if (bytes.size() < sizeof head + sizeof hash) {
    return Error(kDamaged, "it is too short");
  }
  std::memcpy(&head, bytes.data(), sizeof head);
  if (head.magic != kMagic) {
    return Error(kDamaged, "it is not the manifest of an image");
  }
  if (head.format != kImageFormat) {
    return Error(kDamaged, "format " + std::to_string(head.format) + " is newer than this Beam reads")
        .remedy("use the Beam that wrote it");
  }
  if (head.size != bytes.size() - sizeof head - sizeof hash) {
    return Error(kDamaged, "its size is wrong");
  }
  std::memcpy(&hash, bytes.data() + bytes.size() - sizeof hash, sizeof hash);
  if (hash != XXH3_64bits(bytes.data(), bytes.size() - sizeof hash)) {
    return Error(kDamaged, "its hash is wrong");
  }
  BEAM_TRY_ASSIGN(auto manifest, decode<Manifest>(bytes.substr(sizeof head, head.size)));
  for (const ImageFile& file : manifest.files) {
    if (!is_plain_name(file.name)) {
      return Error(kDamaged, "it names a file outside the image");
    }
  }
  return manifest;
}

Result<Image> Image::open(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) {
    return Error::from_errno("image " + directory);
  }
  const std::string path = directory + "/" + kManifestName;
  const UniqueFd manifest_fd(::openat(fd.get(), kManifestName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!manifest_fd) {
    // A directory without a manifest is no image, or one that lost it: the first is the likelier.
    return Error(errno == ENOENT ? kDamaged : errno, "image " + path);
  }
  struct stat info {};
  if (::fstat(manifest_fd.get(), &info) != 0) {
    return Error::from_errno("image " + path);
  }
  if (!S_ISREG(info.st_mode) || static_cast<std::uint64_t>(info.st_size) > kLargestManifest) {
    return Error(kDamaged, "image " + path + ": not a manifest");
  }
  BEAM_TRY_ASSIGN(const auto bytes, read_all(manifest_fd.get(), static_cast<std::uint64_t>(info.st_size), path));
  auto manifest = decode_manifest(bytes);
  if (!manifest.ok()) {
    return std::move(manifest).error().context("image " + path);
  }
  Image image(directory, std::move(fd), std::move(*manifest));
  for (const ImageFile& file : image.manifest_.files) {
    BEAM_TRY(image.stored_file(file));
  }
  return image;
}

const ImageFile* Image::find(const std::string& name) const {
  const auto it = std::find_if(manifest_.files.begin(), manifest_.files.end(),
                               [&](const ImageFile& file) { return file.name == name; });
  return it == manifest_.files.end() ? nullptr : &*it;
}

Result<UniqueFd> Image::stored_file(const ImageFile& entry) const {
  const std::string path = "image " + directory_ + "/" + entry.name;
  UniqueFd fd(::openat(fd_.get(), entry.name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) {
    return Error(errno == ENOENT || errno == ELOOP ? kDamaged : errno, path);
  }
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) {
    return Error::from_errno(path);
  }
  if (!S_ISREG(info.st_mode) || static_cast<std::uint64_t>(info.st_size) != entry.stored_size) {
    return Error(kDamaged,
                 path + ": its size is " + std::to_string(info.st_size) + ", not " + std::to_string(entry.stored_size));
  }
  const bool plausible =
      entry.compressed ? entry.size / kMostCompressed <= entry.stored_size : entry.size == entry.stored_size;
  if (!plausible) {
    return Error(kDamaged, path + ": its size is impossible");
  }
  return fd;
}

Result<UniqueFd> Image::file(const std::string& name) const {
  const std::string path = "image " + directory_ + "/" + name;
  const ImageFile* entry = find(name);
  if (entry == nullptr) {
    return Error(kDamaged, path + ": not in the manifest");
  }
  BEAM_TRY_ASSIGN(UniqueFd stored, stored_file(*entry));
  return entry->compressed ? decompress(std::move(stored), entry->size, path) : Result<UniqueFd>(std::move(stored));
}

Result<> Image::verify(bool trust_unchanged) const {
  std::vector<char> buffer(kBuffer);
  for (const ImageFile& entry : manifest_.files) {
    BEAM_TRY_ASSIGN(const auto fd, stored_file(entry));
    struct stat info {};
    if (trust_unchanged && ::fstat(fd.get(), &info) == 0 && info.st_ino == entry.inode &&
        changed_ns(info) == entry.changed_ns) {
      continue;
    }
    const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> hash(XXH3_createState(), &XXH3_freeState);
    XXH3_64bits_reset(hash.get());
    for (;;) {
      const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) {
        continue;
      }
      if (got < 0) {
        return Error::from_errno("image " + directory_ + "/" + entry.name);
      }
      if (got == 0) {
        break;
      }
      XXH3_64bits_update(hash.get(), buffer.data(), static_cast<std::size_t>(got));
    }
    if (XXH3_64bits_digest(hash.get()) != entry.hash) {
      return Error(kDamaged, "image " + directory_ + "/" + entry.name + ": its hash is wrong");
    }
  }
  return success();
}

Result<SandboxState> Image::load() const {
  const std::string path = "image " + directory_ + "/" + kObjectsName;
  BEAM_TRY_ASSIGN(const auto fd, file(kObjectsName));
  const ImageFile* entry = find(kObjectsName);
  if (entry->size > kLargestObjects) {
    return Error(kDamaged, path + ": too large");
  }
  BEAM_TRY_ASSIGN(const auto bytes, read_all(fd.get(), entry->size, path));
  if (XXH3_64bits(bytes.data(), bytes.size()) != entry->hash) {
    return Error(kDamaged, path + ": its hash is wrong");
  }
  auto state = decode<SandboxState>(bytes);
  if (!state.ok()) {
    return std::move(state).error().context(path);
  }
  auto checked = check_references(*state, manifest_);
  if (!checked.ok()) {
    return std::move(checked).error().context(path);
  }
  return state;
}

}  // namespace beam::migrate
