#include "image/registry_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "base/file.h"
#include "base/status_macros.h"
#include "base/unique_fd.h"

namespace podvisor {
namespace {

// Three layers with what layers can do: whiteouts, an opaque directory, hard
// links within and across layers, a directory that becomes a file and back, a
// capability, setuid, odd names. umoci keeps the modes of what it inserts.
constexpr char kMakeImages[] = R"sh(
set -eu
export HOME="$PWD"
umoci init --layout oci
umoci new --image oci:app
umoci config --image oci:app --os linux --architecture amd64 \
  --config.env A=b --config.cmd run --config.user 7:8
umoci unpack --image oci:app one >/dev/null
r=one/rootfs
mkdir -p $r/usr/lib $r/opaque/deep $r/gone $r/becomes-file/x "$r/odd name"
echo one > $r/usr/lib/a; ln $r/usr/lib/a $r/usr/lib/a-hard
echo two > $r/gone/b; echo three > $r/opaque/deep/c; echo y > $r/becomes-file/x/y
ln -s usr/lib $r/lib; ln -s /nowhere/at/all $r/dangling
head -c 3000000 /dev/urandom > $r/usr/big; cp /bin/true $r/usr/su
chown 7:8 $r/usr/su; chmod 4755 $r/usr/su; chmod 1777 $r/opaque
mknod $r/null c 1 3; mkfifo $r/fifo; echo z > "$r/odd name/$(printf 'caf\303\251')"
umoci repack --image oci:app one
umoci unpack --image oci:app two >/dev/null
r=two/rootfs
rm -r $r/gone $r/becomes-file; echo file > $r/becomes-file
rm $r/usr/lib/a; echo more > $r/usr/lib/d
umoci repack --image oci:app two
mkdir -p three/deep; echo new > three/deep/n
umoci insert --opaque --image oci:app three /opaque
umoci insert --image oci:app /bin/true /usr/lib/late
umoci tag --image oci:app other >/dev/null
umoci config --image oci:other --config.env A=c
copy() { skopeo copy -q --dest-tls-verify=false "$@"; }
copy oci:oci:app docker://$HOST/team/app:1
copy oci:oci:app docker://$HOST/team/app:same
copy oci:oci:app docker://$HOST/elsewhere/app:1
copy --format v2s2 oci:oci:app docker://$HOST/team/app:docker
copy oci:oci:other docker://$HOST/team/app:other
umoci unpack --image oci:app unpacked >/dev/null
)sh";

// An index over the two images, as a registry would serve for one tag.
constexpr char kMakeIndex[] = R"sh(
set -eu
d() { skopeo inspect --raw --tls-verify=false docker://$HOST/team/app:$1 > m.$1
      printf 'sha256:%s' "$(sha256sum < m.$1 | cut -c1-64)"; }
t=application/vnd.oci.image.manifest.v1+json
app=$(d 1); other=$(d other)
printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[
{"mediaType":"%s","digest":"%s","size":%d,"platform":{"os":"linux","architecture":"arm64"}},
{"mediaType":"%s","digest":"%s","size":%d,"platform":{"os":"linux","architecture":"amd64"}}]}' \
  $t $other $(stat -c %s m.other) $t $app $(stat -c %s m.1) > index
x=$(sha256sum < index | cut -c1-64)
cp -r oci multi; cp index multi/blobs/sha256/$x
printf '{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.index.v1+json","digest":"sha256:%s","size":%d,"annotations":{"org.opencontainers.image.ref.name":"m"}}]}' \
  $x $(stat -c %s index) > multi/index.json
skopeo copy -q --all --preserve-digests --dest-tls-verify=false oci:multi:m docker://$HOST/team/multi:1
printf sha256:%s $x > index.digest
)sh";

absl::StatusOr<int> FreePort() {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length) !=
          0) {
    return absl::InternalError("no free port");
  }
  return ntohs(address.sin_port);
}

bool Answers(int port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address),
                 sizeof(address)) == 0;
}

}  // namespace

RegistryFixture::RegistryFixture(std::string directory)
    : directory_(std::move(directory)) {
  status_ = [this]() -> absl::Status {
    RETURN_IF_ERROR(RemoveTree(directory_));
    RETURN_IF_ERROR(MakeDirectories(directory_));
    RETURN_IF_ERROR(Start());
    RETURN_IF_ERROR(Shell(kMakeImages).status());
    return Shell(kMakeIndex).status();
  }();
}

RegistryFixture::~RegistryFixture() {
  Stop();
  (void)RemoveTree(directory_);
}

absl::Status RegistryFixture::Start() {
  // Another program may take the port in between: then the next one.
  for (int attempt = 0; attempt < 5; ++attempt) {
    ASSIGN_OR_RETURN(const int port, FreePort());
    host_ = absl::StrCat("127.0.0.1:", port);
    RETURN_IF_ERROR(WriteFileAtomically(
        directory_ + "/registry.yml",
        absl::StrCat("version: 0.1\nlog: {level: error}\nstorage: {filesystem: "
                     "{rootdirectory: ",
                     directory_, "/registry}}\nhttp: {addr: \"", host_,
                     "\"}\n")));
    SpawnOptions spawn;
    spawn.argv = {"setpriv",
                  "--pdeathsig",
                  "KILL",
                  "--",
                  "docker-registry",
                  "serve",
                  directory_ + "/registry.yml"};
    ASSIGN_OR_RETURN(process_, Spawn(spawn));
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (IsAlive(process_) && absl::Now() < deadline) {
      if (Answers(port)) return absl::OkStatus();
      (void)WaitProcess(process_, absl::Now() + absl::Milliseconds(20));
    }
    Stop();
  }
  return absl::UnavailableError("the registry does not answer");
}

void RegistryFixture::Stop() {
  if (process_.pid == 0) return;
  (void)KillGroup(process_, absl::Now() + absl::Seconds(10));
  process_ = ProcessIdentity();
}

absl::StatusOr<std::string> RegistryFixture::Shell(
    const std::string& script) const {
  CommandOptions command;
  command.argv = {
      "sh", "-c",
      absl::StrCat("cd '", directory_, "' && HOST=", host_, "\n", script)};
  command.max_output_bytes = 16 << 20;
  command.deadline = absl::Now() + absl::Minutes(2);
  ASSIGN_OR_RETURN(const CommandResult result, RunCommand(command));
  if (result.exit_code == 0) return result.stdout_data;
  return absl::InternalError(
      absl::StrCat("exit ", result.exit_code, ": ", result.stderr_data));
}

}  // namespace podvisor
