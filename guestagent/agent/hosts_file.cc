#include "guestagent/agent/hosts_file.h"

#include "absl/strings/str_cat.h"

namespace podvisor {

std::string HostsFile(absl::string_view hostname,
                      const std::vector<std::string>& addresses) {
  std::string text =
      "127.0.0.1\tlocalhost\n"
      "::1\tlocalhost ip6-localhost ip6-loopback\n"
      "ff02::1\tip6-allnodes\n"
      "ff02::2\tip6-allrouters\n";
  if (hostname.empty()) return text;
  if (addresses.empty()) absl::StrAppend(&text, "127.0.1.1\t", hostname, "\n");
  for (const std::string& address : addresses) {
    absl::StrAppend(&text, address, "\t", hostname, "\n");
  }
  return text;
}

}  // namespace podvisor
