#include "guestagent/agent/container_input.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/errno_status.h"
#include "guestagent/agent/write_or_stop.h"

namespace podvisor {

absl::StatusOr<std::shared_ptr<ContainerInput>> ContainerInput::Open(
    UniqueFd writer, Traits traits) {
  if (writer.valid() && fcntl(writer.get(), F_SETFL, O_NONBLOCK) != 0) {
    return ErrnoStatus(errno, "make an input pipe non-blocking");
  }
  UniqueFd closed(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!closed.valid()) return ErrnoStatus(errno, "eventfd");
  return std::shared_ptr<ContainerInput>(
      new ContainerInput(std::move(writer), std::move(closed), traits));
}

ContainerInput::ContainerInput(UniqueFd writer, UniqueFd closed, Traits traits)
    : traits_(traits), closed_(std::move(closed)) {
  if (writer.valid()) {
    writer_ = std::make_shared<const UniqueFd>(std::move(writer));
  }
}

std::shared_ptr<const UniqueFd> ContainerInput::Writer() const {
  absl::MutexLock lock(&mutex_);
  return writer_;
}

bool ContainerInput::accepts() const {
  return traits_.accepts && Writer() != nullptr;
}

void ContainerInput::Write(absl::string_view data, int stop_fd) {
  if (!traits_.accepts) return;
  const std::shared_ptr<const UniqueFd> writer = Writer();
  if (writer == nullptr) return;
  const absl::Status written =
      WriteOrStop(writer->get(), data, {stop_fd, closed_.get()});
  if (absl::IsUnavailable(written)) Close();
}

void ContainerInput::PeerDone() {
  if (traits_.once && !traits_.terminal) Close();
}

void ContainerInput::Resize(uint32_t width, uint32_t height) {
  if (!traits_.terminal) return;
  const std::shared_ptr<const UniqueFd> writer = Writer();
  if (writer == nullptr) return;
  winsize size = {};
  size.ws_col = static_cast<uint16_t>(std::min<uint32_t>(width, 0xffff));
  size.ws_row = static_cast<uint16_t>(std::min<uint32_t>(height, 0xffff));
  ioctl(writer->get(), TIOCSWINSZ, &size);
}

void ContainerInput::Close() {
  absl::MutexLock lock(&mutex_);
  writer_ = nullptr;
  eventfd_write(closed_.get(), 1);
}

}  // namespace podvisor
