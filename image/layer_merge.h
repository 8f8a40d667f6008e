#ifndef PODVISOR_IMAGE_LAYER_MERGE_H_
#define PODVISOR_IMAGE_LAYER_MERGE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "image/tar_entry.h"

namespace podvisor {

// One name in the merged tree.
struct MergedEntry {
  std::string path;  // relative, without "." or ".."; "." for the root
  const TarEntry* entry = nullptr;  // its own path and link are as archived
  int layer = 0;                    // whose archive holds the data
  // For a further name of a file that was already visited: that first name.
  const std::string* hard_link_to = nullptr;
};

// Decides which entry of which layer survives when an image's layers are put on
// top of one another, by the rules of the OCI layer specification and in
// containerd's reading where that is silent:
//
//   * A layer's whiteouts (".wh.NAME", ".wh..wh..opq") hide what is in the
//     layers below, never what the same layer brings.
//   * A directory over a directory changes its metadata; everything else
//     replaces what was there.
//   * Hard links share the file, also when its first name is hidden later.
//   * Symbolic links inside a name are followed within the tree. Nothing can
//     lead out of it: there is no "outside".
//
// Refused (DataLoss): "..", NUL and overlong names, hard links to what does not
// exist, names below something that is no directory, whiteouts of "." and "..".
//
// Pure: no I/O. The work is bounded in proportion to the bytes of all names.
// Not thread-safe.
class LayerMerge {
 public:
  LayerMerge();
  LayerMerge(const LayerMerge&) = delete;
  LayerMerge& operator=(const LayerMerge&) = delete;
  ~LayerMerge();

  // Puts the next layer on top; the lowest comes first. After an error the
  // object is of no further use.
  // Errors: DataLoss, ResourceExhausted (too much work).
  absl::Status AddLayer(std::vector<TarEntry> entries);

  // Calls `visitor` for each surviving name: parents before children, siblings
  // in the order of their bytes, so that one image has one form. The first
  // error ends the visit.
  absl::Status Visit(
      const std::function<absl::Status(const MergedEntry&)>& visitor) const;

  // How many files, directories and so on survive, hard links counted once.
  int64_t InodeCount() const;

 private:
  struct Inode {
    TarEntry entry;
    int layer = 0;
    int64_t names = 0;
  };
  struct Node;
  // A place in the tree: the nodes from the root down.
  using Place = std::vector<Node*>;
  using Children = std::map<std::string, std::unique_ptr<Node>, std::less<>>;

  struct Node {
    size_t inode = 0;
    size_t path_bytes = 0;
    Children children;
  };

  // A name split at its slashes: the parents, then the last component.
  struct Name {
    std::vector<absl::string_view> parents;
    absl::string_view base;  // empty for the root
  };

  static absl::StatusOr<Name> SplitName(absl::string_view path);
  absl::Status ApplyWhiteout(const Name& name);
  absl::Status ApplyEntry(TarEntry entry, const Name& name);
  absl::Status ApplyHardLink(const TarEntry& entry, Node* parent,
                             absl::string_view base);
  // Nullptr: a parent does not exist, and `make_missing` is false.
  absl::StatusOr<Node*> FindDirectory(
      const std::vector<absl::string_view>& parents, bool make_missing,
      uint32_t mtime);
  absl::StatusOr<Node*> AddChild(Node* parent, absl::string_view name,
                                 size_t inode);
  void RemoveChild(Node* parent, absl::string_view name);
  void Forget(const Node& node);
  size_t NewInode(TarEntry entry);
  absl::Status VisitBelow(
      const Node& node, const std::string& path,
      std::map<size_t, std::string>& first_names,
      const std::function<absl::Status(const MergedEntry&)>& visitor) const;

  bool IsDirectory(const Node& node) const;

  std::deque<Inode> inodes_;  // references stay valid
  std::unique_ptr<Node> root_;
  int layer_ = -1;
  int64_t work_left_;
};

}  // namespace podvisor

#endif  // PODVISOR_IMAGE_LAYER_MERGE_H_
