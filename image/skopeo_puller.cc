#include "image/skopeo_puller.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/clean_text.h"
#include "base/file.h"
#include "base/process.h"
#include "base/status_macros.h"
#include "image/oci_manifest.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

constexpr size_t kMaxMessageBytes = 1000;
constexpr absl::string_view kTransport = "docker://";

struct Meaning {
  absl::string_view text;  // lower case
  absl::StatusCode code;
  absl::string_view word = "";  // begins the message
};

// The first that occurs decides. skopeo has one exit code for everything, so
// its texts (containers/image, Go's net and syscall) are what there is.
constexpr Meaning kMeanings[] = {
    {"no space left on device", absl::StatusCode::kResourceExhausted},
    {"disk quota exceeded", absl::StatusCode::kResourceExhausted},
    {"toomanyrequests", absl::StatusCode::kResourceExhausted},
    {"too many requests", absl::StatusCode::kResourceExhausted},
    {"trust policy", absl::StatusCode::kFailedPrecondition},
    {"source image rejected", absl::StatusCode::kFailedPrecondition,
     kSignatureValidationFailed},
    {"loading registries configuration", absl::StatusCode::kFailedPrecondition},
    {"is blocked in", absl::StatusCode::kFailedPrecondition},
    {"unauthorized", absl::StatusCode::kPermissionDenied},
    {"authentication required", absl::StatusCode::kPermissionDenied},
    {"invalid username/password", absl::StatusCode::kPermissionDenied},
    {"denied", absl::StatusCode::kPermissionDenied},
    {"forbidden", absl::StatusCode::kPermissionDenied},
    {"digest did not match", absl::StatusCode::kDataLoss},
    {"does not match provided manifest digest", absl::StatusCode::kDataLoss},
    {"does not match expected", absl::StatusCode::kDataLoss},
    {"manifest unknown", absl::StatusCode::kNotFound},
    {"name unknown", absl::StatusCode::kNotFound},
    {"name_unknown", absl::StatusCode::kNotFound},
    {"manifest_unknown", absl::StatusCode::kNotFound},
    {"error fetching blob: invalid status code from registry 404",
     absl::StatusCode::kDataLoss},
    {"404 (not found)", absl::StatusCode::kNotFound},
    {"connection refused", absl::StatusCode::kUnavailable},
    {"connection reset", absl::StatusCode::kUnavailable},
    {"no such host", absl::StatusCode::kUnavailable},
    {"timeout", absl::StatusCode::kUnavailable},
    {"no route to host", absl::StatusCode::kUnavailable},
    {"network is unreachable", absl::StatusCode::kUnavailable},
    {"x509:", absl::StatusCode::kUnavailable},
    {"tls:", absl::StatusCode::kUnavailable},
    {"unsupported schema", absl::StatusCode::kDataLoss},
    {"invalid character", absl::StatusCode::kDataLoss},
};

// The text behind msg= of a logrus line with level=fatal, unescaped.
std::string FatalMessage(absl::string_view text) {
  const size_t fatal = text.rfind("level=fatal msg=\"");
  if (fatal == text.npos) return std::string(text);
  text.remove_prefix(fatal + 17);
  std::string message;
  for (size_t i = 0; i < text.size() && text[i] != '"'; ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) ++i;
    message += text[i];
  }
  return message;
}

// Of a name with mirrors, what the registry itself said comes last and counts.
std::string WithoutMirrors(const std::string& message) {
  const size_t begin = message.find("(Mirrors also failed: [");
  if (begin == std::string::npos) return message;
  const size_t end = message.find("]): ", begin);
  if (end == std::string::npos) return message;
  return message.substr(0, begin) + message.substr(end + 4);
}

// Whether `name` occurs in `word` and ends there.
bool Names(absl::string_view word, absl::string_view name) {
  for (size_t at = word.find(name); at != word.npos;
       at = word.find(name, at + 1)) {
    const size_t end = at + name.size();
    if (end == word.size() || !absl::ascii_isalnum(word[end])) return true;
  }
  return false;
}

// Whoever names an image, or a registry, "denied" has not been denied anything.
std::string WithoutName(const std::string& message, absl::string_view image) {
  if (!absl::ConsumePrefix(&image, kTransport)) return message;
  const size_t slash = image.find('/');
  if (slash == image.npos) return message;
  const absl::string_view host = image.substr(0, slash);
  const absl::string_view path = image.substr(slash);
  const size_t end = path.find_first_of(":@");
  const absl::string_view tag =
      end == path.npos ? absl::string_view() : path.substr(end + 1);
  std::vector<absl::string_view> words = absl::StrSplit(message, ' ');
  words.erase(std::remove_if(words.begin(), words.end(),
                             [&](absl::string_view word) {
                               return word == tag || Names(word, host) ||
                                      Names(word, path.substr(0, end));
                             }),
              words.end());
  return absl::StrJoin(words, " ");
}

std::string Redact(std::string message, const RegistryAuth& auth) {
  const std::string basic = absl::StrCat(auth.username, ":", auth.password);
  for (const std::string& secret : {absl::Base64Escape(basic), auth.password,
                                    auth.identity_token, auth.registry_token}) {
    if (!secret.empty() && secret != absl::Base64Escape(":")) {
      message = absl::StrReplaceAll(message, {{secret, "[redacted]"}});
    }
  }
  // https://user:password@host
  for (size_t at = 0; (at = message.find("://", at)) != std::string::npos;) {
    at += 3;
    const size_t end = message.find_first_of("@/ \"", at);
    if (end != std::string::npos && message[end] == '@') {
      message.replace(at, end - at, "[redacted]");
    }
  }
  return message;
}

// How much has arrived. Cheap: the directory has one file for each blob.
int64_t BytesBelow(const std::string& directory) {
  int64_t bytes = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator i(directory, error), end;
       !error && i != end; i.increment(error)) {
    struct stat info;
    if (lstat(i->path().c_str(), &info) == 0) bytes += info.st_size;
  }
  return bytes;
}

bool HasAuth(const RegistryAuth& auth) {
  return !auth.username.empty() || !auth.password.empty() ||
         !auth.identity_token.empty() || !auth.registry_token.empty();
}

// Removed again as soon as skopeo has ended.
class SecretFile {
 public:
  explicit SecretFile(std::string path) : path_(std::move(path)) {}
  ~SecretFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  SecretFile(const SecretFile&) = delete;
  SecretFile& operator=(const SecretFile&) = delete;

 private:
  std::string path_;
};

}  // namespace

SkopeoPuller::SkopeoPuller(SkopeoOptions options, Clock* clock)
    : options_(std::move(options)), clock_(clock) {}

absl::StatusOr<std::string> SkopeoPuller::FetchManifest(
    const ImageReference& reference, const PullContext& context) const {
  ASSIGN_OR_RETURN(
      std::string bytes,
      Run({"inspect", "--raw", absl::StrCat(kTransport, reference.Name())},
          context, Watched()));
  if (static_cast<int64_t>(bytes.size()) > kMaxManifestBytes) {
    return absl::DataLossError("the image manifest is longer than 4 MiB");
  }
  if (bytes.empty()) return absl::DataLossError("skopeo gave no manifest");
  return bytes;
}

absl::Status SkopeoPuller::FetchImage(const ImageReference& reference,
                                      const std::string& directory,
                                      int64_t max_bytes,
                                      const PullContext& context) const {
  // "dir:" is the one transport that keeps the registry's manifest, and with
  // it the digests, as they are.
  return Run({"copy", "--quiet", absl::StrCat(kTransport, reference.Name()),
              absl::StrCat("dir:", directory)},
             context, {directory, max_bytes})
      .status();
}

absl::StatusOr<std::string> SkopeoPuller::Run(
    std::vector<std::string> arguments, const PullContext& context,
    const Watched& watched) const {
  CommandOptions command;
  if (!options_.setpriv.empty()) {
    command.argv = {options_.setpriv, "--pdeathsig", "KILL", "--no-new-privs",
                    "--"};
  }
  command.argv.insert(command.argv.end(), {options_.skopeo, "--override-os",
                                           "linux", "--override-arch", "amd64",
                                           "--tmpdir", context.work_directory});
  if (!options_.registries_conf.empty()) {
    command.argv.push_back("--registries-conf");
    command.argv.push_back(options_.registries_conf);
  }
  if (!options_.policy.empty()) {
    command.argv.push_back("--policy");
    command.argv.push_back(options_.policy);
  }
  command.argv.push_back(arguments.front());
  const absl::string_view name = arguments.back();
  const std::string image(
      absl::StartsWith(name, "dir:") ? arguments[arguments.size() - 2] : name);
  std::string secrets;
  if (HasAuth(context.auth)) {
    const std::string host =
        image.substr(kTransport.size(),
                     image.find('/', kTransport.size()) - kTransport.size());
    ASSIGN_OR_RETURN(const std::string auth, AuthFile(context.auth, host));
    secrets = absl::StrCat(context.work_directory, "/auth.json");
    RETURN_IF_ERROR(WriteFileAtomically(secrets, auth, 0600));
    command.argv.push_back("--authfile");
    command.argv.push_back(secrets);
  }
  const SecretFile removed(secrets);
  command.argv.insert(command.argv.end(), arguments.begin() + 1,
                      arguments.end());
  command.env.insert(command.env.end(), options_.env.begin(),
                     options_.env.end());
  command.max_output_bytes = kMaxManifestBytes + 1;
  command.deadline = context.deadline;

  bool stalled = false;
  bool too_much = false;
  int64_t arrived = -1;
  absl::Duration last_progress = clock_->Elapsed();
  command.cancelled = [&] {
    if (context.cancelled && context.cancelled()) return true;
    const int64_t now =
        watched.directory.empty() ? 0 : BytesBelow(watched.directory);
    too_much = now > watched.max_bytes;
    if (now != arrived) {
      arrived = now;
      last_progress = clock_->Elapsed();
    }
    stalled = clock_->Elapsed() - last_progress > options_.progress_timeout;
    return stalled || too_much;
  };
  ASSIGN_OR_RETURN(const CommandResult result, [&] {
    absl::StatusOr<CommandResult> run = RunCommand(command);
    if (too_much && absl::IsCancelled(run.status())) {
      run = absl::ResourceExhaustedError(
          absl::StrCat("the registry sends more than the ", watched.max_bytes,
                       " bytes that the manifest declares"));
    } else if (stalled && absl::IsCancelled(run.status())) {
      run = absl::UnavailableError(
          absl::StrCat("the registry sent nothing for ",
                       absl::FormatDuration(options_.progress_timeout)));
    }
    return run;
  }());
  if (result.exit_code == 0) return result.stdout_data;
  if (result.exit_code > 128) {
    return absl::UnavailableError(
        absl::StrCat("skopeo was killed by signal ", result.exit_code - 128));
  }
  return SkopeoError(result.stderr_data, image, context.auth);
}

absl::StatusOr<std::string> AuthFile(const RegistryAuth& auth,
                                     const std::string& registry) {
  if (!auth.registry_token.empty()) {
    return absl::InvalidArgumentError(
        "a registry token is not supported; give a user name and password or "
        "an identity token");
  }
  const std::string user = auth.identity_token.empty() || !auth.username.empty()
                               ? auth.username
                               : "<token>";
  nlohmann::json entry = {
      {"auth", absl::Base64Escape(absl::StrCat(user, ":", auth.password))}};
  if (!auth.identity_token.empty()) {
    entry["identitytoken"] = auth.identity_token;
  }
  const nlohmann::json file = {{"auths", {{registry, entry}}}};
  return file.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

absl::Status SkopeoError(absl::string_view stderr_text, absl::string_view image,
                         const RegistryAuth& auth) {
  const std::string raw =
      WithoutName(WithoutMirrors(FatalMessage(stderr_text)), image);
  const std::string lower = absl::AsciiStrToLower(raw);
  Meaning meaning = {"", absl::StatusCode::kUnavailable};
  for (const Meaning& one : kMeanings) {
    if (!absl::StrContains(lower, one.text)) continue;
    meaning = one;
    break;
  }
  std::string message =
      CleanText(Redact(FatalMessage(stderr_text), auth), kMaxMessageBytes);
  if (message.empty()) message = "skopeo failed and said nothing";
  if (!meaning.word.empty()) {
    message = absl::StrCat(meaning.word, ": ", message);
  }
  return absl::Status(meaning.code, message);
}

}  // namespace podvisor
