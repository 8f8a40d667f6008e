#include "sandbox/vm/vm_files.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>

#include "absl/strings/str_cat.h"
#include "base/file.h"
#include "gtest/gtest.h"

namespace podvisor {
namespace {

class VmFilesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(MakeDirectories(path_).ok()); }
  void TearDown() override { EXPECT_TRUE(RemoveTree(base_).ok()); }

  const std::string base_ = absl::StrCat(testing::TempDir(), "/vm_files");
  // Longer than a socket's address can be.
  const std::string path_ = absl::StrCat(base_, "/", std::string(150, 'x'));
};

TEST_F(VmFilesTest, SocketsWorkHoweverLongThePathIs) {
  auto files = VmFiles::Open(path_);
  ASSERT_TRUE(files.ok()) << files.status();
  const auto first = files->ListenForQmp();
  const auto second = files->ListenForQmp();
  ASSERT_TRUE(first.ok() && second.ok()) << second.status();

  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  ASSERT_LT(files->qmp_socket().size(), sizeof(address.sun_path));
  std::strcpy(address.sun_path, files->qmp_socket().c_str());
  const UniqueFd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

  EXPECT_EQ(connect(client.get(), reinterpret_cast<sockaddr*>(&address),
                    sizeof(address)),
            0);
}

TEST_F(VmFilesTest, TailsAreTheEndOfTheFile) {
  auto files = VmFiles::Open(path_);
  const auto console = files->NewConsole();
  ASSERT_TRUE(console.ok());
  EXPECT_EQ(*files->ConsoleTail(10), "");
  ASSERT_TRUE(WriteAll(console->get(), std::string(100000, 'x') + "end").ok());

  EXPECT_EQ(*files->ConsoleTail(5), "xxend");
  EXPECT_EQ(files->ConsoleTail(1 << 20)->size(), 100003u);
  EXPECT_TRUE(absl::IsNotFound(files->QemuLogTail(5).status()));
}

TEST_F(VmFilesTest, ANewConsoleIsEmpty) {
  auto files = VmFiles::Open(path_);
  ASSERT_TRUE(WriteAll(files->NewConsole()->get(), "old").ok());

  ASSERT_TRUE(files->NewConsole().ok());

  EXPECT_EQ(*files->ConsoleTail(10), "");
}

TEST_F(VmFilesTest, ATrimmedConsoleKeepsItsEndAndItsWriter) {
  auto files = VmFiles::Open(path_);
  const auto console = files->NewConsole();
  ASSERT_TRUE(WriteAll(console->get(), std::string(1000, 'x') + "end").ok());

  ASSERT_TRUE(files->TrimConsole(1003, 5).ok());
  EXPECT_EQ(files->ConsoleTail(1 << 20)->size(), 1003u);
  ASSERT_TRUE(files->TrimConsole(1002, 5).ok());
  ASSERT_TRUE(WriteAll(console->get(), " panic").ok());

  EXPECT_EQ(*files->ConsoleTail(1 << 20), "xxend panic");
}

TEST_F(VmFilesTest, NoDirectoryIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(VmFiles::Open(path_ + "/no").status()));
}

TEST(VmTextTest, ThePanicIsQuotedAndClean) {
  EXPECT_EQ(PanicLine("boot\n[ 1.0] Kernel panic - not syncing: \x1b[31mbad\r\n"
                      "CPU: 0"),
            "Kernel panic - not syncing:  [31mbad");
  EXPECT_EQ(PanicLine("Kernel panic - at the end"),
            "Kernel panic - at the end");
  EXPECT_EQ(PanicLine("all is well"), "");
}

TEST(VmTextTest, LastLinesAreTheLast) {
  EXPECT_EQ(LastLines("\n", 10), "");
  EXPECT_EQ(LastLines("aaaabbbb\n", 4), "bbbb");
}

}  // namespace
}  // namespace podvisor
