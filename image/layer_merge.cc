#include "image/layer_merge.h"

#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/clean_text.h"
#include "base/status_macros.h"

namespace podvisor {
namespace {

// The kernel's limits. A tree that no process could walk is of no use.
constexpr size_t kMaxPathBytes = 4095;
constexpr size_t kMaxNameBytes = 255;
constexpr int kMaxSymlinks = 40;
// Recursion over the tree is as deep as the tree.
constexpr size_t kMaxDepth = 1024;
// Steps of path walking: two million names, each ten deep.
constexpr int64_t kMaxWork = 20'000'000;

constexpr absl::string_view kWhiteout = ".wh.";
constexpr absl::string_view kMetaPrefix = ".wh..wh.";
constexpr absl::string_view kOpaque = ".wh..wh..opq";

absl::Status Bad(absl::string_view path, absl::string_view why) {
  return absl::DataLossError(
      absl::StrCat("image entry \"", CleanText(path, 200), "\": ", why));
}

bool IsWhiteout(absl::string_view base) {
  return absl::StartsWith(base, kWhiteout);
}

// An overlay file system takes such a device in a lower layer for "hidden".
bool IsOverlayWhiteout(const TarEntry& entry) {
  return entry.type == TarType::kCharDevice && entry.device_major == 0 &&
         entry.device_minor == 0;
}

}  // namespace

LayerMerge::LayerMerge()
    : root_(std::make_unique<Node>()), work_left_(kMaxWork) {
  TarEntry root;
  root.path = ".";
  root.type = TarType::kDirectory;
  root.mode = 0755;
  root_->inode = NewInode(std::move(root));
  inodes_[root_->inode].names = 1;
}

LayerMerge::~LayerMerge() = default;

absl::Status LayerMerge::AddLayer(std::vector<TarEntry> entries) {
  ++layer_;
  // Whiteouts first, wherever the archive has them: they are about the layers
  // below. This also makes hiding a directory one step.
  for (const TarEntry& entry : entries) {
    ASSIGN_OR_RETURN(const Name name, SplitName(entry.path));
    if (IsWhiteout(name.base)) {
      RETURN_IF_ERROR(Annotate(ApplyWhiteout(name), "whiteout"));
    }
  }
  for (TarEntry& entry : entries) {
    const std::string path = entry.path;
    ASSIGN_OR_RETURN(const Name name, SplitName(path));
    const absl::string_view top =
        name.parents.empty() ? name.base : name.parents.front();
    if (IsWhiteout(name.base) || absl::StartsWith(top, kMetaPrefix) ||
        IsOverlayWhiteout(entry)) {
      continue;
    }
    RETURN_IF_ERROR(ApplyEntry(std::move(entry), name));
  }
  return absl::OkStatus();
}

absl::Status LayerMerge::Visit(
    const std::function<absl::Status(const MergedEntry&)>& visitor) const {
  std::map<size_t, std::string> first_names;
  const Inode& root = inodes_[root_->inode];
  RETURN_IF_ERROR(visitor(MergedEntry{".", &root.entry, root.layer, nullptr}));
  return VisitBelow(*root_, "", first_names, visitor);
}

int64_t LayerMerge::InodeCount() const {
  int64_t count = 0;
  for (const Inode& inode : inodes_) count += inode.names > 0;
  return count;
}

absl::StatusOr<LayerMerge::Name> LayerMerge::SplitName(absl::string_view path) {
  if (path.size() > kMaxPathBytes) return Bad(path, "the name is too long");
  if (path.find('\0') != path.npos) return Bad(path, "NUL in the name");
  Name name;
  for (const absl::string_view part : absl::StrSplit(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return Bad(path, "\"..\" in the name");
    if (part.size() > kMaxNameBytes) return Bad(path, "the name is too long");
    name.parents.push_back(part);
  }
  if (!name.parents.empty()) {
    name.base = name.parents.back();
    name.parents.pop_back();
  }
  return name;
}

absl::Status LayerMerge::ApplyWhiteout(const Name& name) {
  ASSIGN_OR_RETURN(Node* const parent,
                   FindDirectory(name.parents, /*make_missing=*/false, 0));
  if (name.base == kOpaque) {
    if (parent == nullptr) return absl::OkStatus();
    for (const auto& [unused, child] : parent->children) Forget(*child);
    parent->children.clear();
    return absl::OkStatus();
  }
  if (absl::StartsWith(name.base, kMetaPrefix)) return absl::OkStatus();
  const absl::string_view hidden = absl::StripPrefix(name.base, kWhiteout);
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return Bad(name.base, "it hides no name");
  }
  if (parent != nullptr) RemoveChild(parent, hidden);
  return absl::OkStatus();
}

absl::Status LayerMerge::ApplyEntry(TarEntry entry, const Name& name) {
  if (name.base.empty()) {
    if (entry.type != TarType::kDirectory) {
      return Bad(entry.path, "the root is no directory");
    }
    inodes_[root_->inode].entry = std::move(entry);
    inodes_[root_->inode].layer = layer_;
    return absl::OkStatus();
  }
  if (entry.type == TarType::kSymlink &&
      (entry.link.empty() || entry.link.size() > kMaxPathBytes)) {
    return Bad(entry.path, "unusable link target");
  }
  ASSIGN_OR_RETURN(
      Node* const parent,
      FindDirectory(name.parents, /*make_missing=*/true, entry.mtime));
  if (entry.type == TarType::kHardLink) {
    return ApplyHardLink(entry, parent, name.base);
  }
  const auto old = parent->children.find(name.base);
  if (old != parent->children.end() && entry.type == TarType::kDirectory &&
      IsDirectory(*old->second)) {
    inodes_[old->second->inode].entry = std::move(entry);
    inodes_[old->second->inode].layer = layer_;
    return absl::OkStatus();
  }
  RemoveChild(parent, name.base);
  return AddChild(parent, name.base, NewInode(std::move(entry))).status();
}

absl::Status LayerMerge::ApplyHardLink(const TarEntry& entry, Node* parent,
                                       absl::string_view base) {
  ASSIGN_OR_RETURN(const Name target, SplitName(entry.link));
  ASSIGN_OR_RETURN(Node* const directory,
                   FindDirectory(target.parents, /*make_missing=*/false, 0));
  if (directory == nullptr || target.base.empty()) {
    return Bad(entry.path, "a hard link to nothing");
  }
  const auto found = directory->children.find(target.base);
  if (found == directory->children.end()) {
    return Bad(entry.path, "a hard link to nothing");
  }
  if (IsDirectory(*found->second)) {
    return Bad(entry.path, "a hard link to a directory");
  }
  const size_t inode = found->second->inode;
  if (directory == parent && target.base == base) return absl::OkStatus();
  RemoveChild(parent, base);
  return AddChild(parent, base, inode).status();
}

absl::StatusOr<LayerMerge::Node*> LayerMerge::FindDirectory(
    const std::vector<absl::string_view>& parents, bool make_missing,
    uint32_t mtime) {
  Place place = {root_.get()};
  std::deque<absl::string_view> to_go(parents.begin(), parents.end());
  int symlinks = 0;
  while (!to_go.empty()) {
    if (--work_left_ < 0) {
      return absl::ResourceExhaustedError("the image's names are too involved");
    }
    const absl::string_view part = to_go.front();
    to_go.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {  // only out of a symbolic link's target
      if (place.size() > 1) place.pop_back();
      continue;
    }
    const auto found = place.back()->children.find(part);
    if (found == place.back()->children.end()) {
      if (!make_missing) return nullptr;
      TarEntry directory;
      directory.type = TarType::kDirectory;
      directory.mode = 0755;
      directory.mtime = mtime;
      ASSIGN_OR_RETURN(
          Node* const made,
          AddChild(place.back(), part, NewInode(std::move(directory))));
      place.push_back(made);
    } else if (IsDirectory(*found->second)) {
      place.push_back(found->second.get());
    } else {
      // Replacing nodes invalidates no target: inodes are never freed.
      const TarEntry& link = inodes_[found->second->inode].entry;
      if (link.type != TarType::kSymlink) {
        if (!make_missing) return nullptr;
        return Bad(part, "a name below something that is no directory");
      }
      if (++symlinks > kMaxSymlinks) return Bad(part, "too many links");
      if (absl::StartsWith(link.link, "/")) place = {root_.get()};
      const std::vector<absl::string_view> target =
          absl::StrSplit(link.link, '/');
      to_go.insert(to_go.begin(), target.begin(), target.end());
    }
    if (place.size() > kMaxDepth) return Bad(part, "nested too deeply");
  }
  return place.back();
}

absl::StatusOr<LayerMerge::Node*> LayerMerge::AddChild(Node* parent,
                                                       absl::string_view name,
                                                       size_t inode) {
  const size_t path_bytes = parent->path_bytes + 1 + name.size();
  if (path_bytes > kMaxPathBytes || name.size() > kMaxNameBytes) {
    return Bad(name, "the name is too long");
  }
  auto node = std::make_unique<Node>();
  node->inode = inode;
  node->path_bytes = path_bytes;
  ++inodes_[inode].names;
  Node* const added = node.get();
  parent->children.emplace(std::string(name), std::move(node));
  return added;
}

void LayerMerge::RemoveChild(Node* parent, absl::string_view name) {
  const auto found = parent->children.find(name);
  if (found == parent->children.end()) return;
  Forget(*found->second);
  parent->children.erase(found);
}

void LayerMerge::Forget(const Node& node) {
  --inodes_[node.inode].names;
  for (const auto& [unused, child] : node.children) Forget(*child);
}

size_t LayerMerge::NewInode(TarEntry entry) {
  Inode inode;
  inode.layer = layer_;
  inode.entry = std::move(entry);
  inode.entry.path = std::string();  // the tree knows the names
  inodes_.push_back(std::move(inode));
  return inodes_.size() - 1;
}

absl::Status LayerMerge::VisitBelow(
    const Node& node, const std::string& path,
    std::map<size_t, std::string>& first_names,
    const std::function<absl::Status(const MergedEntry&)>& visitor) const {
  for (const auto& [name, child] : node.children) {
    const Inode& inode = inodes_[child->inode];
    MergedEntry entry;
    entry.path = path.empty() ? name : absl::StrCat(path, "/", name);
    entry.entry = &inode.entry;
    entry.layer = inode.layer;
    if (inode.names > 1) {
      const auto [first, is_new] =
          first_names.emplace(child->inode, entry.path);
      if (!is_new) entry.hard_link_to = &first->second;
    }
    RETURN_IF_ERROR(visitor(entry));
    RETURN_IF_ERROR(VisitBelow(*child, entry.path, first_names, visitor));
  }
  return absl::OkStatus();
}

bool LayerMerge::IsDirectory(const Node& node) const {
  return inodes_[node.inode].entry.type == TarType::kDirectory;
}

}  // namespace podvisor
