#ifndef PODVISOR_CRI_IMAGE_SERVICE_H_
#define PODVISOR_CRI_IMAGE_SERVICE_H_

#include <string>
#include <utility>

#include "base/clock.h"
#include "image/image_store.h"
#include "third_party/cri_api/api.grpc.pb.h"
#include "volume/scratch_disk.h"

namespace podvisor {

// CRI's ImageService on top of an ImageStore: convert, call, convert back.
//
// Thread-safe. Borrows all.
class ImageService final : public runtime::v1::ImageService::Service {
 public:
  // `scratch_disks`, for the usage of writable layers, lie in `root_dir`.
  ImageService(ImageStore& store, const ScratchDisks& scratch_disks,
               std::string root_dir, Clock& clock)
      : store_(store),
        scratch_disks_(scratch_disks),
        root_dir_(std::move(root_dir)),
        clock_(clock) {}

  grpc::Status ListImages(grpc::ServerContext* context,
                          const runtime::v1::ListImagesRequest* request,
                          runtime::v1::ListImagesResponse* response) override;

  // The same list, in pieces.
  grpc::Status StreamImages(
      grpc::ServerContext* context,
      const runtime::v1::StreamImagesRequest* request,
      grpc::ServerWriter<runtime::v1::StreamImagesResponse>* writer) override;

  // An image that is not there is no error: the response has none.
  grpc::Status ImageStatus(grpc::ServerContext* context,
                           const runtime::v1::ImageStatusRequest* request,
                           runtime::v1::ImageStatusResponse* response) override;

  // Blocks; ends soon after the client went away or its deadline passed.
  grpc::Status PullImage(grpc::ServerContext* context,
                         const runtime::v1::PullImageRequest* request,
                         runtime::v1::PullImageResponse* response) override;

  grpc::Status RemoveImage(grpc::ServerContext* context,
                           const runtime::v1::RemoveImageRequest* request,
                           runtime::v1::RemoveImageResponse* response) override;

  grpc::Status ImageFsInfo(grpc::ServerContext* context,
                           const runtime::v1::ImageFsInfoRequest* request,
                           runtime::v1::ImageFsInfoResponse* response) override;

 private:
  ImageStore& store_;
  const ScratchDisks& scratch_disks_;
  const std::string root_dir_;
  Clock& clock_;
};

}  // namespace podvisor

#endif  // PODVISOR_CRI_IMAGE_SERVICE_H_
