#ifndef PODVISOR_IMAGE_LOCAL_IMAGE_STORE_H_
#define PODVISOR_IMAGE_LOCAL_IMAGE_STORE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/unique_fd.h"
#include "image/block_image.h"
#include "image/image_files.h"
#include "image/image_index.h"
#include "image/image_store.h"
#include "image/layer_reader.h"
#include "image/oci_manifest.h"
#include "image/single_flight.h"
#include "image/skopeo_puller.h"

namespace podvisor {

struct LocalImageStoreOptions {
  // The store owns this directory: "index.json", two files for each image, and
  // "tmp/", which is emptied at every start.
  std::string root_directory;
  SkopeoOptions skopeo;
  BlockImageOptions block_image;
  // Of one pull, all steps together.
  absl::Duration pull_timeout = absl::Hours(1);
  // Of merging and packing the layers.
  absl::Duration unfold_timeout = absl::Minutes(20);
  LayerBudget budget;
  Platform platform;
};

// The ImageStore on a directory of this host.
//
// Survives kill -9 at any instruction: an image exists when the index names it,
// the index is replaced atomically and written after the files it names. At
// start, records without sound files are dropped with an error line in the log,
// and files without a record are deleted.
//
// Removing while a pin is held keeps the file; see ImageFiles.
class LocalImageStore final : public ImageStore {
 public:
  // Locks and reads the directory, or makes it. `clock` outlives the store.
  // Errors: FailedPrecondition (another process has it, or a newer release
  // wrote it), those of the file system.
  static absl::StatusOr<std::unique_ptr<LocalImageStore>> Create(
      LocalImageStoreOptions options, Clock* clock);

  absl::StatusOr<std::string> Pull(
      absl::string_view reference, const RegistryAuth& auth,
      const std::function<bool()>& cancelled) override;
  absl::StatusOr<Image> Get(absl::string_view reference) const override;
  std::vector<Image> List() const override;
  absl::Status Remove(absl::string_view reference) override;
  absl::StatusOr<ImageRootFs> RootFs(absl::string_view reference) override;
  absl::StatusOr<ImageFsUsage> FsUsage() const override;

 private:
  // What one pull found out, step by step.
  struct Pulled {
    ImageReference reference;
    std::string served_digest;  // of what the registry has under the reference
    std::string manifest_digest;
    ImageManifest manifest;
    std::string config_json;
    ParsedImageConfig config;
  };

  LocalImageStore(LocalImageStoreOptions options, Clock* clock, UniqueFd lock);

  absl::Status Recover();
  absl::Status LoadRecord(ImageRecord& record) const;
  void SweepFiles();

  absl::StatusOr<std::string> PullAlone(const ImageReference& reference,
                                        const PullContext& context);
  absl::Status FetchManifest(Pulled& pulled, const PullContext& context) const;
  absl::Status FetchBlobs(Pulled& pulled, const std::string& directory,
                          const PullContext& context) const;
  absl::StatusOr<int64_t> Unfold(const Pulled& pulled,
                                 const std::string& directory,
                                 const PullContext& context,
                                 const std::string& block_image) const;
  bool IsUnchanged(const Pulled& pulled, std::string* id) const;
  bool IsStored(const std::string& id) const;
  absl::Status Publish(const Pulled& pulled, const std::string& block_image,
                       int64_t size_bytes);
  absl::Status Commit(ImageIndex index)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_) ABSL_LOCKS_EXCLUDED(mutex_);
  ImageIndex Snapshot() const ABSL_LOCKS_EXCLUDED(mutex_);
  std::string PolicyDigest() const;
  std::string Path(absl::string_view name) const;

  const LocalImageStoreOptions options_;
  Clock* const clock_;
  const UniqueFd lock_;
  const SkopeoPuller puller_;
  const std::shared_ptr<ImageFiles> files_;
  SingleFlight flights_;

  // One change of the index at a time, across its writing; before mutex_.
  absl::Mutex write_mutex_;
  mutable absl::Mutex mutex_;
  ImageIndex index_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_LOCAL_IMAGE_STORE_H_
