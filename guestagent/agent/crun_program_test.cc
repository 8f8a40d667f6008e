#include "guestagent/agent/crun_program.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/process.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

TEST(CrunProgramTest, CopyRunsAndCannotBeChanged) {
  const auto program = SealedProgram::Load("/bin/echo");
  ASSERT_TRUE(program.ok()) << program.status();
  CommandOptions options;
  options.argv = {program->path(), "it", "runs"};
  for (int time = 0; time < 2; ++time) {
    const auto result = RunCommand(options);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(result->stdout_data, "it runs\n");
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
