#include "sandbox/vm/qemu_jail.h"

#include <algorithm>
#include <functional>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

VmSpec Spec() {
  VmSpec spec;
  spec.directory = "/run/x";
  spec.kernel = "/k";
  spec.initrd = "/i";
  spec.qemu = "/usr/bin/qemu-system-x86_64";
  spec.uid = kFirstJailUid;
  return spec;
}

std::vector<std::string> Chain(const VmSpec& spec) {
  auto chain = JailCommandLine(spec, {spec.qemu, "-x"});
  EXPECT_TRUE(chain.ok()) << chain.status();
  return chain.value_or(std::vector<std::string>());
}

bool Has(const std::vector<std::string>& chain, const std::string& argument) {
  return std::count(chain.begin(), chain.end(), argument) > 0;
}

TEST(QemuJailTest, UsersAreTakenFromTheBottom) {
  EXPECT_EQ(LowestFreeUid({}), kFirstJailUid);
  EXPECT_EQ(LowestFreeUid({0, 5, kFirstJailUid}), kFirstJailUid + 1);
  EXPECT_EQ(LowestFreeUid({kFirstJailUid + 1}), kFirstJailUid);
  EXPECT_EQ(LowestFreeUid({kFirstJailUid, kFirstJailUid + 2}),
            kFirstJailUid + 1);
}

TEST(QemuJailTest, DropsEverythingBeforeTheProgram) {
  const std::vector<std::string> chain = Chain(Spec());

  for (const char* wanted :
       {"--mount", "--net", "--ipc", "--uts", "--core=0", "--nofile=1024:1024",
        "--reuid=1879048192", "--regid=1879048192", "--clear-groups",
        "--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"}) {
    EXPECT_TRUE(Has(chain, wanted)) << wanted;
  }
  ASSERT_GE(chain.size(), 3u);
  EXPECT_EQ(chain[chain.size() - 3], "--");
  EXPECT_EQ(chain[chain.size() - 2], "/usr/bin/qemu-system-x86_64");
  EXPECT_EQ(chain.back(), "-x");
}

TEST(QemuJailTest, CgroupsAndKvmAreArgumentsOfAConstantScript) {
  VmSpec spec = Spec();
  spec.cgroup_procs = {"/c/$(x)/cgroup.procs"};
  spec.files_limit = 4096;
  spec.accelerator = Accelerator::kKvm;

  const std::vector<std::string> chain = Chain(spec);

  EXPECT_TRUE(Has(chain, "/c/$(x)/cgroup.procs"));
  EXPECT_TRUE(Has(chain, "1879048192"));
  EXPECT_TRUE(Has(chain, "--nofile=4096:4096"));
  EXPECT_EQ(chain[10], Chain(Spec())[10]);
}

TEST(QemuJailTest, RefusesWhatIsNoJail) {
  const std::function<void(VmSpec&)> cases[] = {
      [](VmSpec& s) { s.uid = 0; },
      [](VmSpec& s) { s.qemu = "/opt/qemu"; },
      [](VmSpec& s) { s.qemu = "qemu-system-x86_64"; },
      [](VmSpec& s) { s.kernel = "vmlinux"; },
      [](VmSpec& s) { s.initrd = ""; },
      [](VmSpec& s) { s.directory = "run"; },
      [](VmSpec& s) { s.cgroup_procs = {"--"}; },
  };
  for (const auto& spoil : cases) {
    VmSpec spec = Spec();
    spoil(spec);
    EXPECT_TRUE(
        absl::IsInvalidArgument(JailCommandLine(spec, {spec.qemu}).status()));
  }
}

}  // namespace
}  // namespace podvisor
