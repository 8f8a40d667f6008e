#include "guestagent/agent/crun_program.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "absl/time/clock.h"
#include "base/process.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CrunProgramTest, CopyRunsAndCannotBeChanged) {
  const auto program = SealedProgram::Load("/bin/sh");
  ASSERT_TRUE(program.ok()) << program.status();
  SpawnOptions options;
  options.argv = {program->path(), "-c", "exit 7"};
  options.close_others = false;
  for (int time = 0; time < 2; ++time) {
    const auto process = Spawn(options);
    ASSERT_TRUE(process.ok()) << process.status();
    const auto status = WaitProcess(*process, absl::Now() + absl::Seconds(20));
    ASSERT_TRUE(status.ok()) << status.status();
    EXPECT_EQ(WEXITSTATUS(*status), 7);
  }
  UniqueFd writer(open(program->path().c_str(), O_RDWR | O_CLOEXEC));
  EXPECT_EQ(write(writer.get(), "x", 1), -1);
  EXPECT_EQ(ftruncate(writer.get(), 0), -1);
}

TEST(CrunProgramTest, MissingProgramIsNotFound) {
  EXPECT_EQ(SealedProgram::Load("/nonexistent").status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace podvisor
