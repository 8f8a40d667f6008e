#include "volume/virtiofsd_command.h"

#include "absl/strings/str_join.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(VirtiofsdCommandTest, IsExactlyThis) {
  const auto argv = VirtiofsdCommandLine({"/usr/lib/qemu/virtiofsd",
                                          "/run/p/share",
                                          0,
                                          {"/sys/fs/cgroup/a/cgroup.procs"}});

  ASSERT_TRUE(argv.ok()) << argv.status();
  EXPECT_EQ((*argv)[0], "/bin/sh");
  EXPECT_EQ((*argv)[1], "-c");
  const std::vector<std::string> rest(argv->begin() + 3, argv->end());
  EXPECT_EQ(absl::StrJoin(rest, " "),
            "podvisor-virtiofsd /sys/fs/cgroup/a/cgroup.procs -- "
            "prlimit --core=0 -- /usr/lib/qemu/virtiofsd --fd=3 "
            "-o source=/run/p/share -o sandbox=namespace "
            "-o cache=auto,timeout=0.1,announce_submounts -o modcaps=-mknod "
            "--thread-pool-size=0 --rlimit-nofile=65536");
}

TEST(VirtiofsdCommandTest, AFilesLimitIsPassedOn) {
  const auto argv = VirtiofsdCommandLine({"/v", "/s", 2048, {}});

  ASSERT_TRUE(argv.ok());
  EXPECT_EQ(argv->back(), "--rlimit-nofile=2048");
}

TEST(VirtiofsdCommandTest, RefusesWhatItsParserWouldMisread) {
  const VirtiofsdCommand cases[] = {
      {"/v", "/run/a,xattr", 0, {}}, {"/v", "/run/a\\b", 0, {}},
      {"/v", "/run/a\nb", 0, {}},    {"/v", "run", 0, {}},
      {"v", "/run", 0, {}},          {"", "/run", 0, {}},
      {"/v", "/run", 0, {"--"}},     {"/v", "/run", 0, {""}},
  };
  for (const VirtiofsdCommand& command : cases) {
    EXPECT_TRUE(absl::IsInvalidArgument(VirtiofsdCommandLine(command).status()))
        << command.source;
  }
}

}  // namespace
}  // namespace podvisor
