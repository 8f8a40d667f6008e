#include "image/block_image.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/clean_text.h"
#include "base/errno_status.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "image/tar_writer.h"

namespace podvisor {
namespace {

constexpr int kPollMillis = 100;
constexpr size_t kBufferBytes = 64 << 10;
constexpr int kPipeBytes = 1 << 20;

// A reader that dies must be an error here, not a signal for the daemon.
class ScopedPipeSignalBlock {
 public:
  ScopedPipeSignalBlock() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~ScopedPipeSignalBlock() {
    if (sigismember(&before_, SIGPIPE)) return;
    const timespec now = {0, 0};
    while (sigtimedwait(&pipe_, nullptr, &now) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  ScopedPipeSignalBlock(const ScopedPipeSignalBlock&) = delete;
  ScopedPipeSignalBlock& operator=(const ScopedPipeSignalBlock&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
};

// Removes what was not finished.
class PartialFile {
 public:
  explicit PartialFile(std::string path) : path_(std::move(path)) {}
  ~PartialFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;
  void Keep() { path_.clear(); }

 private:
  std::string path_;
};

// A running tar2sqfs; killed unless it was waited for.
class Packer {
 public:
  static absl::StatusOr<std::unique_ptr<Packer>> Start(
      const BlockImageOptions& options, const std::string& path) {
    auto packer = std::make_unique<Packer>();
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoStatus(errno, "pipe2");
    UniqueFd reader(ends[0]);
    packer->in_ = UniqueFd(ends[1]);
    fcntl(packer->in_.get(), F_SETFL, O_NONBLOCK);
    fcntl(packer->in_.get(), F_SETPIPE_SZ, kPipeBytes);  // may be refused
    packer->err_ = UniqueFd(memfd_create("tar2sqfs-stderr", MFD_CLOEXEC));
    if (!packer->err_.valid()) return ErrnoStatus(errno, "memfd_create");

    SpawnOptions spawn;
    if (!options.setpriv.empty()) {
      spawn.argv = {options.setpriv, "--pdeathsig", "KILL", "--no-new-privs",
                    "--"};
    }
    for (const char* argument :
         {options.tar2sqfs.c_str(), "--quiet", "--no-skip", "--compressor",
          "lz4", path.c_str()}) {
      spawn.argv.push_back(argument);
    }
    spawn.stdin_fd = reader.get();
    spawn.stderr_fd = packer->err_.get();
    ASSIGN_OR_RETURN(packer->process_, Spawn(spawn));
    return packer;
  }

  ~Packer() {
    if (!process_.has_value()) return;
    in_.Reset();
    (void)KillGroup(*process_, absl::Now() + absl::Seconds(10));
  }

  int in() const { return in_.get(); }

  // Ends the input and waits for the exit.
  absl::Status Finish(const StopCheck& stop) {
    in_.Reset();
    for (;;) {
      absl::StatusOr<int> status =
          WaitProcess(*process_, absl::Now() + absl::Milliseconds(kPollMillis));
      if (status.ok()) {
        process_.reset();
        if (WIFEXITED(*status) && WEXITSTATUS(*status) == 0) {
          return absl::OkStatus();
        }
        return Failure();
      }
      RETURN_IF_ERROR(stop());
    }
  }

 private:
  absl::Status Failure() const {
    char text[2048];
    const ssize_t n = pread(err_.get(), text, sizeof(text), 0);
    const std::string why =
        CleanText(absl::string_view(text, n > 0 ? n : 0), 300);
    const std::string message =
        absl::StrCat("packing the image: ", why.empty() ? "failed" : why);
    if (absl::StrContains(why, "No space left")) {
      return absl::ResourceExhaustedError(message);
    }
    if (absl::StrContains(why, "failed to execute")) {
      return absl::NotFoundError(message);
    }
    return absl::DataLossError(message);
  }

  UniqueFd in_;
  UniqueFd err_;
  std::optional<ProcessIdentity> process_;
};

// Waits until the pipe takes bytes again.
absl::Status AwaitRoom(int fd, const StopCheck& stop) {
  for (;;) {
    RETURN_IF_ERROR(stop());
    pollfd polled = {fd, POLLOUT, 0};
    if (poll(&polled, 1, kPollMillis) > 0) return absl::OkStatus();
  }
}

absl::Status WriteBytes(int fd, absl::string_view bytes,
                        const StopCheck& stop) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(n);
    } else if (errno == EAGAIN) {
      RETURN_IF_ERROR(AwaitRoom(fd, stop));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "tar2sqfs");
    }
  }
  return absl::OkStatus();
}

// Moves a file's data from its archive without copying it through here.
absl::Status SpliceData(int archive, const TarEntry& entry, int fd,
                        const StopCheck& stop) {
  loff_t offset = entry.data_offset;
  int64_t left = entry.size;
  while (left > 0) {
    const ssize_t n =
        splice(archive, &offset, fd, nullptr,
               static_cast<size_t>(std::min<int64_t>(left, kPipeBytes)),
               SPLICE_F_NONBLOCK);
    if (n > 0) {
      left -= n;
    } else if (n == 0) {
      return absl::InternalError("a layer's archive became shorter");
    } else if (errno == EAGAIN) {
      RETURN_IF_ERROR(AwaitRoom(fd, stop));
    } else if (errno != EINTR) {
      return ErrnoStatus(errno, "tar2sqfs");
    }
  }
  return absl::OkStatus();
}

// Collects headers and small files, so that they cost no system call each.
class TarStream {
 public:
  TarStream(int fd, const std::vector<int>& archives, const StopCheck& stop)
      : fd_(fd), archives_(archives), stop_(stop) {}

  absl::Status Add(const MergedEntry& merged) {
    TarEntry entry = *merged.entry;
    entry.path = merged.path;
    if (merged.hard_link_to != nullptr) {
      entry.type = TarType::kHardLink;
      entry.link = *merged.hard_link_to;
      entry.size = 0;
      entry.xattrs.clear();
    }
    // tar2sqfs takes "./" for the root.
    if (entry.path == ".") entry.path = "./";
    buffer_ += TarHeader(entry);
    if (entry.type != TarType::kFile) return FlushIfFull();
    return AddData(entry, archives_[merged.layer]);
  }

  absl::Status Finish() {
    buffer_ += TarTrailer();
    return Flush();
  }

 private:
  absl::Status AddData(const TarEntry& entry, int archive) {
    if (entry.size > static_cast<int64_t>(kBufferBytes)) {
      RETURN_IF_ERROR(Flush());
      RETURN_IF_ERROR(SpliceData(archive, entry, fd_, stop_));
    } else {
      const size_t at = buffer_.size();
      buffer_.resize(at + entry.size);
      if (pread(archive, buffer_.data() + at, entry.size, entry.data_offset) !=
          entry.size) {
        return absl::InternalError("a layer's archive became shorter");
      }
    }
    buffer_.append(TarPadding(entry.size), '\0');
    return FlushIfFull();
  }

  absl::Status FlushIfFull() {
    return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
  }

  absl::Status Flush() {
    RETURN_IF_ERROR(stop_());
    RETURN_IF_ERROR(WriteBytes(fd_, buffer_, stop_));
    buffer_.clear();
    return absl::OkStatus();
  }

  int fd_;
  const std::vector<int>& archives_;
  const StopCheck& stop_;
  std::string buffer_;
};

struct Superblock {
  uint32_t inodes = 0;
  uint64_t bytes_used = 0;
};

template <typename T>
T LittleEndian(const unsigned char* bytes) {
  T value = 0;
  for (size_t i = sizeof(T); i-- > 0;) {
    value = static_cast<T>(value << 8 | bytes[i]);
  }
  return value;
}

// Layout: kernel, Documentation/filesystems/squashfs.rst and squashfs_fs.h.
absl::StatusOr<Superblock> ReadSuperblock(int fd, const std::string& path) {
  unsigned char bytes[96];
  if (pread(fd, bytes, sizeof(bytes), 0) != sizeof(bytes) ||
      std::memcmp(bytes, "hsqs", 4) != 0) {
    return absl::DataLossError(absl::StrCat(path, " is no squashfs image"));
  }
  return Superblock{LittleEndian<uint32_t>(bytes + 4),
                    LittleEndian<uint64_t>(bytes + 40)};
}

}  // namespace

absl::StatusOr<int64_t> WriteBlockImage(const LayerMerge& tree,
                                        const std::vector<int>& archives,
                                        const BlockImageOptions& options,
                                        const StopCheck& stop,
                                        const std::string& path) {
  PartialFile partial(path);
  {
    ASSIGN_OR_RETURN(const std::unique_ptr<Packer> packer,
                     Packer::Start(options, path));
    const ScopedPipeSignalBlock no_pipe_signal;
    TarStream stream(packer->in(), archives, stop);
    absl::Status written = tree.Visit(
        [&stream](const MergedEntry& entry) { return stream.Add(entry); });
    if (written.ok()) written = stream.Finish();
    // A closed pipe only says that tar2sqfs ended; its exit says why.
    if (!written.ok() && !absl::IsUnavailable(written)) return written;
    RETURN_IF_ERROR(packer->Finish(stop));
    RETURN_IF_ERROR(written);
  }
  UniqueFd fd(open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  ASSIGN_OR_RETURN(const Superblock superblock, ReadSuperblock(fd.get(), path));
  if (superblock.inodes != tree.InodeCount()) {
    return absl::DataLossError(
        absl::StrCat("tar2sqfs wrote ", superblock.inodes,
                     " inodes instead of ", tree.InodeCount()));
  }
  if (fsync(fd.get()) != 0) return ErrnoStatus(errno, path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, path);
  RETURN_IF_ERROR(CheckBlockImage(path, info.st_size));
  partial.Keep();
  return static_cast<int64_t>(info.st_size);
}

absl::Status CheckBlockImage(const std::string& path, int64_t size) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  struct stat info;
  if (fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, path);
  ASSIGN_OR_RETURN(const Superblock superblock, ReadSuperblock(fd.get(), path));
  if (!S_ISREG(info.st_mode) || info.st_size != size ||
      superblock.bytes_used > static_cast<uint64_t>(size)) {
    return absl::DataLossError(
        absl::StrCat(path, " has ", info.st_size, " bytes instead of ", size));
  }
  return absl::OkStatus();
}

}  // namespace podvisor
