#include "guestagent/agent/share_mount.h"

#include <errno.h>
#include <sys/mount.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/status_macros.h"
#include "guestagent/agent/poll_until.h"

namespace podvisor {
namespace {

constexpr size_t kMaxTag = 36;  // virtio specification 1.2, section 5.11.4
constexpr absl::Duration kDeviceTimeout = absl::Seconds(10);

bool IsTag(absl::string_view tag) {
  return !tag.empty() && tag.size() <= kMaxTag &&
         std::all_of(tag.begin(), tag.end(), [](unsigned char c) {
           return absl::ascii_isalnum(c) || c == '-' || c == '_' || c == '.';
         });
}

}  // namespace

ShareMount::ShareMount(std::string share_dir, KernelModules* modules)
    : share_dir_(std::move(share_dir)), modules_(modules) {}

absl::Status ShareMount::Mount(const std::string& tag,
                               const std::function<bool()>& cancelled) {
  if (!IsTag(tag)) return absl::InvalidArgumentError("not a share's tag");
  absl::MutexLock lock(&mutex_);
  if (!mounted_tag_.empty()) {
    if (mounted_tag_ == tag) return absl::OkStatus();
    return absl::FailedPreconditionError("another share is mounted");
  }
  RETURN_IF_ERROR(modules_->Load("virtiofs"));
  const absl::Status mounted =
      PollUntil(kDeviceTimeout, cancelled, [&]() -> absl::StatusOr<bool> {
        if (mount(tag.c_str(), share_dir_.c_str(), "virtiofs", MS_NODEV,
                  nullptr) == 0) {
          return true;
        }
        // EINVAL: there is no device with that tag yet.
        if (errno == EINVAL || errno == ENODEV) return false;
        return ErrnoStatus(errno, "mount the share");
      });
  RETURN_IF_ERROR(Annotate(mounted, absl::StrCat("share ", tag)));
  if (mount(nullptr, share_dir_.c_str(), nullptr, MS_SHARED, nullptr) != 0) {
    const int error = errno;
    umount2(share_dir_.c_str(), MNT_DETACH);
    return ErrnoStatus(error, "make the share a shared mount");
  }
  mounted_tag_ = tag;
  return absl::OkStatus();
}

}  // namespace podvisor
