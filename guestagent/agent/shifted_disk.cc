#include "guestagent/agent/shifted_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"
#include "guestagent/agent/squashfs_ids.h"

namespace podvisor {
namespace {

constexpr uint64_t kSectorBytes = 512;
// Others may take the loop device that was found free.
constexpr int kLoopAttempts = 16;

absl::StatusOr<UniqueFd> OpenDevice(const std::string& path, int flags) {
  UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC));
  if (!fd.valid()) return ErrnoStatus(errno, path);
  return fd;
}

absl::StatusOr<std::string> DeviceNumber(int fd) {
  struct stat info = {};
  if (fstat(fd, &info) != 0) return ErrnoStatus(errno, "fstat");
  return absl::StrCat(major(info.st_rdev), ":", minor(info.st_rdev));
}

// A read-only loop device with that content. It lasts as long as somebody has
// it open.
absl::StatusOr<UniqueFd> OpenLoopDevice(absl::string_view content) {
  const UniqueFd file(memfd_create("image-ids", MFD_CLOEXEC));
  if (!file.valid()) return ErrnoStatus(errno, "memfd_create");
  RETURN_IF_ERROR(WriteAll(file.get(), content));
  ASSIGN_OR_RETURN(const UniqueFd control,
                   OpenDevice("/dev/loop-control", O_RDWR));
  loop_config config = {};
  config.fd = static_cast<uint32_t>(file.get());
  config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
  for (int attempt = 1;; ++attempt) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return ErrnoStatus(errno, "find a loop device");
    ASSIGN_OR_RETURN(UniqueFd loop,
                     OpenDevice(absl::StrCat("/dev/loop", number), O_RDONLY));
    if (ioctl(loop.get(), LOOP_CONFIGURE, &config) == 0) return loop;
    if (errno != EBUSY || attempt == kLoopAttempts) {
      return ErrnoStatus(errno, "configure a loop device");
    }
  }
}

struct Extent {
  uint64_t bytes = 0;
  std::string device;  // "7:0"
  uint64_t from = 0;   // bytes
};

// One call to device mapper about one device, with room for its table.
class MapperCall {
 public:
  explicit MapperCall(const std::string& name) : buffer_(sizeof(dm_ioctl)) {
    head()->version[0] = DM_VERSION_MAJOR;
    strncpy(head()->name, name.c_str(), sizeof(head()->name) - 1);
  }

  dm_ioctl* head() { return reinterpret_cast<dm_ioctl*>(buffer_.data()); }

  void SetTable(const std::vector<Extent>& extents) {
    uint64_t sector = 0;
    for (const Extent& extent : extents) {
      // The kernel wants each behind the other, at multiples of eight.
      const std::string parameters =
          absl::StrCat(extent.device, " ", extent.from / kSectorBytes);
      const size_t at = buffer_.size();
      const size_t bytes =
          (sizeof(dm_target_spec) + parameters.size() + 1 + 7) / 8 * 8;
      buffer_.resize(at + bytes);
      dm_target_spec target = {};
      target.sector_start = sector;
      target.length = extent.bytes / kSectorBytes;
      target.next = static_cast<uint32_t>(bytes);
      strncpy(target.target_type, "linear", sizeof(target.target_type) - 1);
      memcpy(&buffer_[at], &target, sizeof(target));
      memcpy(&buffer_[at + sizeof(target)], parameters.data(),
             parameters.size());
      sector += target.length;
    }
    head()->target_count = static_cast<uint32_t>(extents.size());
  }

  // 0 or an errno.
  int TryMake(int control, unsigned long request) {
    head()->data_start = sizeof(dm_ioctl);
    head()->data_size = static_cast<uint32_t>(buffer_.size());
    return ioctl(control, request, buffer_.data()) == 0 ? 0 : errno;
  }

  absl::Status Make(int control, unsigned long request, const char* what) {
    const int error = TryMake(control, request);
    return error == 0 ? absl::OkStatus() : ErrnoStatus(error, what);
  }

 private:
  std::vector<char> buffer_;
};

absl::StatusOr<UniqueFd> OpenMapper() {
  return OpenDevice("/dev/mapper/control", O_RDWR);
}

absl::Status RemoveDevice(const std::string& name) {
  ASSIGN_OR_RETURN(const UniqueFd control, OpenMapper());
  const int error = MapperCall(name).TryMake(control.get(), DM_DEV_REMOVE);
  if (error == 0 || error == ENXIO) return absl::OkStatus();
  if (error == EBUSY) {
    return absl::FailedPreconditionError("the image's device is in use");
  }
  return ErrnoStatus(error, "remove the image's device");
}

std::vector<Extent> Table(const SquashfsShift& shift, const std::string& image,
                          const std::string& memory) {
  const uint64_t head = shift.head.size();
  std::vector<Extent> extents = {
      {head, memory, 0},
      {shift.tail_offset - head, image, head},
      {shift.tail.size(), memory, head},
  };
  std::erase_if(extents,
                [](const Extent& extent) { return extent.bytes == 0; });
  return extents;
}

// The device's number, once it is there.
absl::StatusOr<unsigned> MakeDevice(const std::string& name,
                                    const std::vector<Extent>& table) {
  ASSIGN_OR_RETURN(const UniqueFd control, OpenMapper());
  MapperCall create(name);
  RETURN_IF_ERROR(create.Make(control.get(), DM_DEV_CREATE, "make a device"));
  MapperCall load(name);
  load.SetTable(table);
  load.head()->flags = DM_READONLY_FLAG;
  RETURN_IF_ERROR(load.Make(control.get(), DM_TABLE_LOAD, "load its table"));
  MapperCall resume(name);
  RETURN_IF_ERROR(resume.Make(control.get(), DM_DEV_SUSPEND, "start it"));
  return minor(create.head()->dev);
}

}  // namespace

absl::StatusOr<std::unique_ptr<ShiftedDisk>> ShiftedDisk::Create(
    const std::string& device, absl::string_view name, const IdMapping& mapping,
    KernelModules* modules) {
  RETURN_IF_ERROR(modules->Load("dm_mod"));
  RETURN_IF_ERROR(modules->Load("loop"));
  ASSIGN_OR_RETURN(const UniqueFd image, OpenDevice(device, O_RDONLY));
  uint64_t size = 0;
  if (ioctl(image.get(), BLKGETSIZE64, &size) != 0) {
    return ErrnoStatus(errno, device);
  }
  ASSIGN_OR_RETURN(const SquashfsShift shift,
                   ShiftSquashfsIds(image.get(), size, mapping));
  ASSIGN_OR_RETURN(const UniqueFd memory,
                   OpenLoopDevice(absl::StrCat(shift.head, shift.tail)));
  ASSIGN_OR_RETURN(const std::string image_number, DeviceNumber(image.get()));
  ASSIGN_OR_RETURN(const std::string memory_number, DeviceNumber(memory.get()));
  const std::string text(name);
  RETURN_IF_ERROR(RemoveDevice(text));
  const absl::StatusOr<unsigned> number =
      MakeDevice(text, Table(shift, image_number, memory_number));
  if (!number.ok()) {
    RemoveDevice(text).IgnoreError();
    return Annotate(number.status(), "device mapper");
  }
  return std::unique_ptr<ShiftedDisk>(
      new ShiftedDisk(text, absl::StrCat("/dev/dm-", *number)));
}

ShiftedDisk::~ShiftedDisk() {
  const absl::Status removed = Remove();
  if (!removed.ok()) {
    Log(LogLevel::kError, "an image's device stays",
        {{"error", removed.message()}});
  }
}

absl::Status ShiftedDisk::Remove() {
  if (name_.empty()) return absl::OkStatus();
  RETURN_IF_ERROR(RemoveDevice(name_));
  name_.clear();
  return absl::OkStatus();
}

}  // namespace podvisor
