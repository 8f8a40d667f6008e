#include "image/local_image_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>
#include <variant>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/errno_status.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "image/content_digest.h"

namespace podvisor {
namespace {

constexpr char kIndexName[] = "index.json";
constexpr char kTemporaryName[] = "tmp";
constexpr int64_t kMaxIndexBytes = 64 << 20;
constexpr size_t kMaxPolicyBytes = 1 << 20;
// Signatures and skopeo's own file, beside the blobs and the manifest.
constexpr int64_t kDownloadSlack = 1 << 20;

// A directory of one pull, gone when the pull is over.
class WorkDirectory {
 public:
  explicit WorkDirectory(std::string path) : path_(std::move(path)) {}
  ~WorkDirectory() {
    const absl::Status removed = RemoveTree(path_);
    if (removed.ok()) return;
    Log(LogLevel::kWarning, "a pull's directory was not removed",
        {{"path", path_}, {"reason", removed.message()}});
  }
  WorkDirectory(const WorkDirectory&) = delete;
  WorkDirectory& operator=(const WorkDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Different credentials are different pulls: one caller's success must not
// stand for another one's right to the image.
std::string FlightKey(const ImageReference& reference,
                      const RegistryAuth& auth) {
  Sha256 hash;
  for (const std::string& part : {auth.username, auth.password,
                                  auth.identity_token, auth.registry_token}) {
    hash.Update(absl::StrCat(part.size(), ":", part));
  }
  return absl::StrCat(reference.Name(), " ", hash.Finish());
}

// True for the names that this store gives to files in its directory.
bool IsImageFileName(absl::string_view name) {
  return name.size() > 65 && name[64] == '.' && IsHexId(name.substr(0, 64));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LocalImageStore>> LocalImageStore::Create(
    LocalImageStoreOptions options, Clock* clock) {
  RETURN_IF_ERROR(MakeDirectories(options.root_directory, 0700));
  const std::string lock_path = absl::StrCat(options.root_directory, "/lock");
  UniqueFd lock(open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock.valid()) return ErrnoStatus(errno, lock_path);
  if (flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another process uses ", options.root_directory));
  }
  std::unique_ptr<LocalImageStore> store(
      new LocalImageStore(std::move(options), clock, std::move(lock)));
  RETURN_IF_ERROR(Annotate(store->Recover(), "image store"));
  return store;
}

LocalImageStore::LocalImageStore(LocalImageStoreOptions options, Clock* clock,
                                 UniqueFd lock)
    : options_(std::move(options)),
      clock_(clock),
      lock_(std::move(lock)),
      puller_(options_.skopeo, clock),
      files_(std::make_shared<ImageFiles>(options_.root_directory)) {}

absl::StatusOr<std::string> LocalImageStore::Pull(
    absl::string_view reference, const RegistryAuth& auth,
    const std::function<bool()>& cancelled) {
  ASSIGN_OR_RETURN(const ImageReference parsed, ParseImageReference(reference));
  const absl::Time deadline = clock_->Now() + options_.pull_timeout;
  absl::StatusOr<std::string> id = flights_.Run(
      FlightKey(parsed, auth), cancelled,
      [&](const std::function<bool()>& stop) -> absl::StatusOr<std::string> {
        RETURN_IF_ERROR(MakeDirectories(Path(kTemporaryName), 0700));
        const WorkDirectory work(
            absl::StrCat(Path(kTemporaryName), "/", RandomHexId()));
        RETURN_IF_ERROR(MakeDirectories(work.path(), 0700));
        return PullAlone(parsed, {work.path(), auth, deadline, stop});
      });
  if (id.ok()) return id;
  return Annotate(id.status(), absl::StrCat("pull ", parsed.Name()));
}

absl::StatusOr<Image> LocalImageStore::Get(absl::string_view reference) const {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const auto record, index_.Find(reference));
  return record->image;
}

std::vector<Image> LocalImageStore::List() const {
  const ImageIndex index = Snapshot();
  std::vector<Image> images;
  images.reserve(index.records().size());
  for (const auto& [unused, record] : index.records()) {
    images.push_back(record->image);
  }
  return images;
}

absl::Status LocalImageStore::Remove(absl::string_view reference) {
  absl::MutexLock writing(&write_mutex_);
  ImageIndex index = Snapshot();
  const auto record = index.Find(reference);
  if (absl::IsNotFound(record.status())) return absl::OkStatus();
  RETURN_IF_ERROR(record.status());
  const std::string id = (*record)->image.id;
  index.Remove(id);
  RETURN_IF_ERROR(Commit(std::move(index)));
  files_->Remove(std::string(HexOfDigest(id)));
  return absl::OkStatus();
}

absl::StatusOr<ImageRootFs> LocalImageStore::RootFs(
    absl::string_view reference) {
  ImageRootFs root;
  int64_t size = 0;
  {
    absl::MutexLock lock(&mutex_);
    ASSIGN_OR_RETURN(const auto record, index_.Find(reference));
    root.image_hex = std::string(HexOfDigest(record->image.id));
    size = record->image.size_bytes;
  }
  root.fs_type = "squashfs";
  root.path = files_->BlockPath(root.image_hex);
  root.pin = files_->Pin(root.image_hex);
  if (root.pin == nullptr) {
    return absl::NotFoundError("the image was removed just now");
  }
  const absl::Status sound = CheckBlockImage(root.path, size);
  if (!sound.ok()) {
    return absl::DataLossError(
        absl::StrCat("image sha256:", root.image_hex, ": ", sound.message()));
  }
  return root;
}

absl::StatusOr<ImageFsUsage> LocalImageStore::FsUsage() const {
  const ImageFiles::Usage usage = files_->GetUsage();
  return ImageFsUsage{options_.root_directory, usage.bytes, usage.inodes};
}

absl::Status LocalImageStore::Recover() {
  RETURN_IF_ERROR(RemoveTree(Path(kTemporaryName)));
  ImageIndex loaded;
  absl::StatusOr<std::string> text = ReadFile(Path(kIndexName), kMaxIndexBytes);
  if (text.ok()) {
    std::vector<std::string> problems;
    absl::StatusOr<ImageIndex> parsed = ImageIndex::Parse(*text, &problems);
    for (const std::string& problem : problems) {
      Log(LogLevel::kError, "an image record was dropped",
          {{"reason", problem}});
    }
    if (absl::IsDataLoss(parsed.status())) {
      // Images can be pulled again; a node that does not start helps nobody.
      Log(LogLevel::kError, "the image index is damaged: all images are lost",
          {{"path", Path(kIndexName)}, {"reason", parsed.status().message()}});
    } else {
      RETURN_IF_ERROR(parsed.status());
      loaded = *std::move(parsed);
    }
  } else if (!absl::IsNotFound(text.status())) {
    return text.status();
  }
  ImageIndex sound;
  for (const auto& [id, record] : loaded.records()) {
    ImageRecord checked = *record;
    const absl::Status status = LoadRecord(checked);
    if (!status.ok()) {
      Log(LogLevel::kError, "an image was dropped",
          {{"image", id}, {"reason", status.message()}});
      continue;
    }
    files_->Adopt(std::string(HexOfDigest(id)));
    sound.Restore(std::move(checked));
  }
  const bool changed = !text.ok() || sound.Serialize() != *text;
  absl::MutexLock writing(&write_mutex_);
  if (changed) {
    RETURN_IF_ERROR(Commit(std::move(sound)));
  } else {
    absl::MutexLock lock(&mutex_);
    index_ = std::move(sound);
  }
  SweepFiles();
  return absl::OkStatus();
}

absl::Status LocalImageStore::LoadRecord(ImageRecord& record) const {
  const std::string hex(HexOfDigest(record.image.id));
  RETURN_IF_ERROR(
      CheckBlockImage(files_->BlockPath(hex), record.image.size_bytes));
  ASSIGN_OR_RETURN(record.image.config_json,
                   ReadFile(files_->ConfigPath(hex), kMaxImageConfigBytes));
  if (Sha256Digest(record.image.config_json) != record.image.id) {
    return absl::DataLossError("its configuration does not match its id");
  }
  ASSIGN_OR_RETURN(
      const ParsedImageConfig parsed,
      ParseImageConfig(record.image.config_json, options_.platform));
  record.image.config = parsed.config;
  return absl::OkStatus();
}

void LocalImageStore::SweepFiles() {
  const ImageIndex index = Snapshot();
  std::error_code error;
  for (std::filesystem::directory_iterator i(options_.root_directory, error),
       end;
       !error && i != end; i.increment(error)) {
    const std::string name = i->path().filename().string();
    const bool half_written =
        absl::StartsWith(name, kIndexName) && absl::EndsWith(name, ".tmp");
    const bool stray =
        IsImageFileName(name) &&
        (absl::EndsWith(name, ".tmp") ||
         index.FindId(absl::StrCat("sha256:", name.substr(0, 64))) == nullptr);
    if (!half_written && !stray) continue;
    Log(LogLevel::kWarning, "swept a file that no image owns",
        {{"path", i->path().string()}});
    unlink(i->path().c_str());
  }
}

absl::StatusOr<std::string> LocalImageStore::PullAlone(
    const ImageReference& reference, const PullContext& context) {
  Pulled pulled;
  pulled.reference = reference;
  RETURN_IF_ERROR(FetchManifest(pulled, context));
  std::string id;
  if (IsUnchanged(pulled, &id)) return id;

  const std::string directory = absl::StrCat(context.work_directory, "/image");
  RETURN_IF_ERROR(FetchBlobs(pulled, directory, context));
  id = pulled.manifest.config.digest;
  // The configuration names its layers by content: one id, one file system.
  if (IsStored(id)) {
    const absl::Status published = Publish(pulled, "", 0);
    if (!absl::IsAborted(published)) {
      RETURN_IF_ERROR(published);
      return id;
    }
  }
  const std::string block_image =
      absl::StrCat(context.work_directory, "/image.squashfs");
  ASSIGN_OR_RETURN(const int64_t size,
                   Unfold(pulled, directory, context, block_image));
  RETURN_IF_ERROR(Publish(pulled, block_image, size));
  return id;
}

// From the reference to one manifest, through an index where there is one. From
// here on everything goes by digest: a tag that moves meanwhile changes
// nothing.
absl::Status LocalImageStore::FetchManifest(Pulled& pulled,
                                            const PullContext& context) const {
  ImageReference at = pulled.reference;
  for (int depth = 0; depth <= kMaxIndexDepth; ++depth) {
    ASSIGN_OR_RETURN(const std::string bytes,
                     puller_.FetchManifest(at, context));
    const std::string digest = Sha256Digest(bytes);
    if (!at.digest.empty() && at.digest != digest) {
      return absl::DataLossError(
          absl::StrCat("the registry served ", digest, " for ", at.digest));
    }
    if (depth == 0) pulled.served_digest = digest;
    ASSIGN_OR_RETURN(auto parsed, ParseManifest(bytes, options_.platform));
    if (auto* const manifest = std::get_if<ImageManifest>(&parsed)) {
      pulled.manifest_digest = digest;
      pulled.manifest = std::move(*manifest);
      return absl::OkStatus();
    }
    at.tag.clear();
    at.digest = std::get<IndexChoice>(parsed).child.digest;
  }
  return absl::DataLossError("image indexes are nested too deeply");
}

absl::Status LocalImageStore::FetchBlobs(Pulled& pulled,
                                         const std::string& directory,
                                         const PullContext& context) const {
  ImageReference at = pulled.reference;
  at.tag.clear();
  at.digest = pulled.manifest_digest;
  const BlobDescriptor& config = pulled.manifest.config;
  int64_t declared = config.size;
  for (const BlobDescriptor& layer : pulled.manifest.layers) {
    declared += layer.size;
  }
  if (declared > options_.budget.tar_bytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the image is larger than ", options_.budget.tar_bytes,
                     " bytes even before it unfolds"));
  }
  RETURN_IF_ERROR(puller_.FetchImage(
      at, directory, declared + kMaxManifestBytes + kDownloadSlack, context));
  ASSIGN_OR_RETURN(pulled.config_json,
                   ReadVerifiedBlob(directory, config.digest, config.size,
                                    kMaxImageConfigBytes));
  ASSIGN_OR_RETURN(pulled.config,
                   ParseImageConfig(pulled.config_json, options_.platform));
  if (pulled.config.diff_ids.size() != pulled.manifest.layers.size()) {
    return absl::DataLossError(
        "manifest and configuration have different numbers of layers");
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> LocalImageStore::Unfold(
    const Pulled& pulled, const std::string& directory,
    const PullContext& context, const std::string& block_image) const {
  const absl::Time deadline =
      std::min(context.deadline, clock_->Now() + options_.unfold_timeout);
  const StopCheck stop = [&]() -> absl::Status {
    if (context.cancelled && context.cancelled()) {
      return absl::CancelledError("the pull was cancelled");
    }
    if (clock_->Now() > deadline) {
      return absl::DeadlineExceededError("unfolding the image took too long");
    }
    return absl::OkStatus();
  };
  LayerBudget budget = options_.budget;
  LayerMerge tree;
  std::vector<UniqueFd> archives;
  for (size_t i = 0; i < pulled.manifest.layers.size(); ++i) {
    const BlobDescriptor& blob = pulled.manifest.layers[i];
    LayerSource source;
    source.blob_path = absl::StrCat(directory, "/", HexOfDigest(blob.digest));
    source.blob = blob;
    source.diff_id = pulled.config.diff_ids[i];
    ASSIGN_OR_RETURN(LayerContent content,
                     ReadLayer(source, context.work_directory, &budget, stop));
    RETURN_IF_ERROR(tree.AddLayer(std::move(content.entries)));
    archives.push_back(std::move(content.archive));
  }
  std::vector<int> fds;
  for (const UniqueFd& archive : archives) fds.push_back(archive.get());
  return WriteBlockImage(tree, fds, options_.block_image, stop, block_image);
}

// A pull of what is here already, as with imagePullPolicy Always: the same
// registry serves the same digest for the same name, and the signature policy
// is the one that allowed it.
bool LocalImageStore::IsUnchanged(const Pulled& pulled, std::string* id) const {
  const std::string name = pulled.reference.Name();
  absl::StatusOr<std::shared_ptr<const ImageRecord>> record =
      Snapshot().Find(name);
  if (!record.ok()) return false;
  if (pulled.reference.digest.empty()) {
    const auto digest = (*record)->digest_of_tag.find(name);
    if (digest == (*record)->digest_of_tag.end() ||
        digest->second != pulled.served_digest) {
      return false;
    }
  }
  *id = (*record)->image.id;
  return (*record)->policy_digest == PolicyDigest() && IsStored(*id);
}

bool LocalImageStore::IsStored(const std::string& id) const {
  const auto record = Snapshot().FindId(id);
  const std::string hex(HexOfDigest(id));
  return record != nullptr &&
         CheckBlockImage(files_->BlockPath(hex), record->image.size_bytes).ok();
}

// With an empty `block_image`, adds names to an image that is stored; Aborted
// when it was removed meanwhile.
absl::Status LocalImageStore::Publish(const Pulled& pulled,
                                      const std::string& block_image,
                                      int64_t size_bytes) {
  const std::string& id = pulled.manifest.config.digest;
  const std::string hex(HexOfDigest(id));
  absl::MutexLock writing(&write_mutex_);
  ImageIndex index = Snapshot();
  ImageRecord record;
  if (block_image.empty()) {
    const auto known = index.FindId(id);
    if (known == nullptr) return absl::AbortedError("the image was removed");
    record = *known;
  } else {
    RETURN_IF_ERROR(
        WriteFileAtomically(files_->ConfigPath(hex), pulled.config_json, 0600));
    RETURN_IF_ERROR(files_->Publish(hex, block_image));
    record.image.id = id;
    record.image.size_bytes = size_bytes;
    record.image.config = pulled.config.config;
    record.image.config_json = pulled.config_json;
  }
  record.policy_digest = PolicyDigest();
  const bool is_new = index.FindId(id) == nullptr;
  index.Add(record, pulled.reference, pulled.served_digest);
  const absl::Status committed = Commit(std::move(index));
  if (!committed.ok() && is_new) files_->Remove(hex);
  return committed;
}

absl::Status LocalImageStore::Commit(ImageIndex index) {
  RETURN_IF_ERROR(
      WriteFileAtomically(Path(kIndexName), index.Serialize(), 0600));
  absl::MutexLock lock(&mutex_);
  index_ = std::move(index);
  return absl::OkStatus();
}

ImageIndex LocalImageStore::Snapshot() const {
  absl::MutexLock lock(&mutex_);
  return index_;
}

std::string LocalImageStore::PolicyDigest() const {
  const std::string& path = options_.skopeo.policy;
  const absl::StatusOr<std::string> policy = ReadFile(
      path.empty() ? "/etc/containers/policy.json" : path, kMaxPolicyBytes);
  return policy.ok() ? Sha256Digest(*policy) : "";
}

std::string LocalImageStore::Path(absl::string_view name) const {
  return absl::StrCat(options_.root_directory, "/", name);
}

}  // namespace podvisor
