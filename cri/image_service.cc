#include "cri/image_service.h"

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "cri/convert_image.h"
#include "cri/convert_pod.h"
#include "cri/field_check.h"
#include "cri/grpc_status.h"
#include "cri/registry_auth.h"
#include "cri/stream_list.h"

namespace podvisor {
namespace {

constexpr size_t kMaxReferenceBytes = 1024;

absl::StatusOr<std::string> Reference(const runtime::v1::ImageSpec& image) {
  if (image.image().empty()) {
    return absl::InvalidArgumentError("image.image: is empty");
  }
  RETURN_IF_ERROR(CheckLine("image.image", image.image(), kMaxReferenceBytes));
  return image.image();
}

absl::Status CheckHandler(const runtime::v1::ImageSpec& image) {
  if (image.runtime_handler().empty() ||
      image.runtime_handler() == kRuntimeHandler) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "image.runtime_handler: there is only \"", kRuntimeHandler, "\""));
}

void AddFilesystem(const ImageFsUsage& usage, int64_t timestamp,
                   runtime::v1::FilesystemUsage& filesystem) {
  filesystem.set_timestamp(timestamp);
  filesystem.mutable_fs_id()->set_mountpoint(usage.mountpoint);
  filesystem.mutable_used_bytes()->set_value(
      static_cast<uint64_t>(std::max<int64_t>(0, usage.used_bytes)));
  filesystem.mutable_inodes_used()->set_value(
      static_cast<uint64_t>(std::max<int64_t>(0, usage.inodes_used)));
}

}  // namespace

grpc::Status ImageService::ListImages(
    grpc::ServerContext*, const runtime::v1::ListImagesRequest* request,
    runtime::v1::ListImagesResponse* response) {
  const std::string& wanted = request->filter().image().image();
  if (wanted.empty()) {
    for (const Image& image : store_.List()) {
      *response->add_images() = ToCriImage(image);
    }
    return grpc::Status::OK;
  }
  const absl::StatusOr<Image> image = store_.Get(wanted);
  if (image.ok()) {
    *response->add_images() = ToCriImage(*image);
    return grpc::Status::OK;
  }
  return absl::IsNotFound(image.status()) ? grpc::Status::OK
                                          : ToGrpcStatus(image.status());
}

grpc::Status ImageService::StreamImages(
    grpc::ServerContext* context,
    const runtime::v1::StreamImagesRequest* request,
    grpc::ServerWriter<runtime::v1::StreamImagesResponse>* writer) {
  runtime::v1::ListImagesRequest list;
  *list.mutable_filter() = request->filter();
  runtime::v1::ListImagesResponse all;
  const grpc::Status listed = ListImages(context, &list, &all);
  if (!listed.ok()) return listed;
  return StreamList(
      all.mutable_images(), [](auto& batch) { return batch.mutable_images(); },
      writer);
}

grpc::Status ImageService::ImageStatus(
    grpc::ServerContext*, const runtime::v1::ImageStatusRequest* request,
    runtime::v1::ImageStatusResponse* response) {
  const absl::StatusOr<std::string> reference = Reference(request->image());
  if (!reference.ok()) return ToGrpcStatus(reference.status());
  const absl::StatusOr<Image> image = store_.Get(*reference);
  if (absl::IsNotFound(image.status())) return grpc::Status::OK;
  if (!image.ok()) return ToGrpcStatus(image.status());
  *response->mutable_image() = ToCriImage(*image);
  if (request->verbose()) {
    (*response->mutable_info())["info"] = ImageInfoJson(*image);
  }
  return grpc::Status::OK;
}

grpc::Status ImageService::PullImage(
    grpc::ServerContext* context, const runtime::v1::PullImageRequest* request,
    runtime::v1::PullImageResponse* response) {
  const absl::StatusOr<std::string> reference = Reference(request->image());
  if (!reference.ok()) return ToGrpcStatus(reference.status());
  const absl::Status handler = CheckHandler(request->image());
  if (!handler.ok()) return ToGrpcStatus(handler);
  const absl::StatusOr<RegistryAuth> auth =
      ConvertAuth(request->auth(), *reference);
  if (!auth.ok()) return ToGrpcStatus(auth.status());

  // True too once the client's deadline has passed.
  const absl::StatusOr<std::string> id = store_.Pull(
      *reference, *auth, [context] { return context->IsCancelled(); });
  if (id.ok()) {
    response->set_image_ref(*id);
    return grpc::Status::OK;
  }
  if (absl::IsCancelled(id.status()) &&
      absl::FromChrono(context->deadline()) <= clock_.Now()) {
    return ToGrpcStatus(absl::DeadlineExceededError(id.status().message()));
  }
  return ToGrpcPullStatus(id.status());
}

grpc::Status ImageService::RemoveImage(
    grpc::ServerContext*, const runtime::v1::RemoveImageRequest* request,
    runtime::v1::RemoveImageResponse*) {
  const absl::StatusOr<std::string> reference = Reference(request->image());
  if (!reference.ok()) return ToGrpcStatus(reference.status());
  const absl::Status status = store_.Remove(*reference);
  return absl::IsNotFound(status) ? grpc::Status::OK : ToGrpcStatus(status);
}

grpc::Status ImageService::ImageFsInfo(
    grpc::ServerContext*, const runtime::v1::ImageFsInfoRequest*,
    runtime::v1::ImageFsInfoResponse* response) {
  const absl::StatusOr<ImageFsUsage> usage = store_.FsUsage();
  if (!usage.ok()) return ToGrpcStatus(usage.status());
  const absl::StatusOr<ScratchDisks::Usage> written = scratch_disks_.GetUsage();
  if (!written.ok()) return ToGrpcStatus(written.status());
  const int64_t now = absl::ToUnixNanos(clock_.Now());
  AddFilesystem(*usage, now, *response->add_image_filesystems());
  AddFilesystem({root_dir_, written->bytes, written->inodes}, now,
                *response->add_container_filesystems());
  return grpc::Status::OK;
}

}  // namespace podvisor
