#ifndef PODVISOR_IMAGE_IMAGE_INDEX_H_
#define PODVISOR_IMAGE_IMAGE_INDEX_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/image_reference.h"
#include "image/image_store.h"

namespace podvisor {

// One stored image and what a later pull compares with.
struct ImageRecord {
  Image image;
  // Repository digests by the tag that they were pulled under.
  std::map<std::string, std::string> digest_of_tag;
  // Digest of the signature policy under which it was last copied.
  std::string policy_digest;

  bool operator==(const ImageRecord&) const = default;
};

// The names of all images: ids to records, tags and digests to ids. A value
// with rules and no I/O. Records are shared and never changed, so that a copy
// is cheap.
class ImageIndex {
 public:
  using Records = std::map<std::string, std::shared_ptr<const ImageRecord>>;

  // The record that a reference of any kind names; names win over ids.
  // Errors: NotFound; InvalidArgument (malformed, or a prefix of several ids).
  absl::StatusOr<std::shared_ptr<const ImageRecord>> Find(
      absl::string_view reference) const;

  // By whole id; nullptr when unknown.
  std::shared_ptr<const ImageRecord> FindId(const std::string& id) const;

  // Adds an image, or the new names of a known one. `reference` is what was
  // pulled, `digest` the digest of what its registry served for it. A tag that
  // another image had moves here.
  void Add(const ImageRecord& record, const ImageReference& reference,
           const std::string& digest);

  // Puts back a record as it was loaded.
  void Restore(ImageRecord record);

  void Remove(const std::string& id);

  const Records& records() const { return records_; }

  // One JSON document without the configurations. Pure.
  std::string Serialize() const;

  // Errors: DataLoss (not such a document), FailedPrecondition (written by a
  // newer release). Single records that make no sense are left out and named
  // in `problems`.
  static absl::StatusOr<ImageIndex> Parse(absl::string_view text,
                                          std::vector<std::string>* problems);

 private:
  Records records_;
};

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_IMAGE_INDEX_H_
