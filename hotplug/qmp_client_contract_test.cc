// What every QmpClient must do, and what VmResizer relies on: asked of FakeQemu
// and of a real QEMU that has no guest. It keeps the fake honest.

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/process.h"
#include "base/unique_fd.h"
#include "gtest/gtest.h"
#include "hotplug/device_removal.h"
#include "hotplug/fake_qemu.h"
#include "hotplug/qemu_inventory.h"
#include "hotplug/qmp_client.h"
#include "hotplug/qmp_socket_client.h"
#include "nlohmann/json.hpp"

namespace podvisor {
namespace {

using Json = nlohmann::json;

constexpr char kQemu[] = "/usr/bin/qemu-system-x86_64";

// A machine of 1 vCPU out of 4, with a PCI bridge "pb1" and no guest.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual std::unique_ptr<QmpClient> Connect() = 0;
  virtual Clock& clock() = 0;
};

class FakeMachine final : public Machine {
 public:
  std::unique_ptr<QmpClient> Connect() override { return qemu_.Connect(); }
  Clock& clock() override { return clock_; }

 private:
  FakeClock clock_;
  FakeQemu qemu_{{.boot_vcpus = 1,
                  .max_vcpus = 4,
                  .faults = {.guest_ignores_unplug = true}},
                 nullptr,
                 &clock_};
};

class RealMachine final : public Machine {
 public:
  // The listening socket is ours: no wait for a file to appear.
  RealMachine() {
    UniqueFd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const UniqueFd dir(open(testing::TempDir().c_str(), O_PATH | O_CLOEXEC));
    path_ = absl::StrCat(testing::TempDir(), "/qmp", getpid());
    unlink(path_.c_str());
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    snprintf(address.sun_path, sizeof(address.sun_path),
             "/proc/self/fd/%d/qmp%d", dir.get(), getpid());
    EXPECT_EQ(bind(listener.get(), reinterpret_cast<sockaddr*>(&address),
                   sizeof(address)),
              0)
        << strerror(errno);
    EXPECT_EQ(listen(listener.get(), 1), 0);

    SpawnOptions options;
    options.argv = {kQemu,
                    "-nodefaults",
                    "-no-user-config",
                    "-S",
                    "-machine",
                    "q35,memory-backend=ram",
                    "-accel",
                    "tcg",
                    "-display",
                    "none",
                    "-smp",
                    "1,sockets=4,maxcpus=4",
                    "-m",
                    "128M,slots=2,maxmem=4G",
                    "-object",
                    "memory-backend-memfd,id=ram,size=128M,share=on",
                    "-device",
                    "pci-bridge,id=pb1,chassis_nr=77,bus=pcie.0",
                    "-chardev",
                    "socket,id=qmp,fd=10,server=on,wait=off",
                    "-mon",
                    "chardev=qmp,mode=control"};
    options.fds = {{listener.get(), 10}};
    options.stderr_fd = STDERR_FILENO;
    auto process = Spawn(options);
    EXPECT_TRUE(process.ok()) << process.status();
    if (process.ok()) process_ = *process;
  }

  ~RealMachine() override {
    if (process_.pid > 0) {
      (void)KillGroup(process_, absl::Now() + absl::Seconds(20));
      (void)WaitProcess(process_, absl::Now() + absl::Seconds(20));
    }
    unlink(path_.c_str());
  }

  std::unique_ptr<QmpClient> Connect() override {
    auto client =
        QmpSocketClient::Connect(path_, absl::Now() + absl::Seconds(60));
    EXPECT_TRUE(client.ok()) << client.status();
    if (!client.ok()) return nullptr;
    return *std::move(client);
  }
  Clock& clock() override { return clock_; }

 private:
  SystemClock clock_;
  std::string path_;
  ProcessIdentity process_;
};

class QmpClientContractTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    const bool real = GetParam();
    if (real && !std::filesystem::exists(kQemu)) {
      GTEST_SKIP() << "NOT TESTED: there is no " << kQemu;
    }
    if (real) {
      machine_ = std::make_unique<RealMachine>();
    } else {
      machine_ = std::make_unique<FakeMachine>();
    }
    qmp_ = machine_->Connect();
    ASSERT_NE(qmp_, nullptr);
  }

  absl::Time Soon() { return machine_->clock().Now() + absl::Seconds(60); }

  absl::StatusOr<std::string> Execute(const char* command,
                                      const Json& arguments) {
    return qmp_->Execute(command, arguments.dump(), Soon());
  }
  void ExecuteOrDie(const char* command, const Json& arguments) {
    const auto result = Execute(command, arguments);
    ASSERT_TRUE(result.ok()) << result.status();
  }
  void ExpectRejected(const char* command, const Json& arguments) {
    const auto status = Execute(command, arguments).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status))
        << command << " " << arguments.dump() << ": " << status;
  }
  void AddMemoryDevice() {
    ExecuteOrDie("object-add", {{"qom-type", "memory-backend-memfd"},
                                {"id", "backend0"},
                                {"size", int64_t{1} << 30},
                                {"share", true},
                                {"reserve", false}});
    ExecuteOrDie("device_add", {{"driver", "virtio-mem-pci"},
                                {"id", "mem0"},
                                {"memdev", "backend0"},
                                {"bus", "pb1"},
                                {"requested-size", 128 << 20}});
  }
  void AddDisk() {
    ExecuteOrDie(
        "blockdev-add",
        {{"driver", "null-co"}, {"node-name", "n1"}, {"read-zeroes", true}});
    ExecuteOrDie("device_add", {{"driver", "virtio-blk-pci"},
                                {"id", "disk1"},
                                {"drive", "n1"},
                                {"bus", "pb1"}});
  }

  std::unique_ptr<Machine> machine_;
  std::unique_ptr<QmpClient> qmp_;
};

TEST_P(QmpClientContractTest, AnswersQueries) {
  const auto version = qmp_->Execute("query-version", "", Soon());
  ASSERT_TRUE(version.ok()) << version.status();
  EXPECT_GE(Json::parse(*version)["qemu"]["major"].get<int>(), 7);
  EXPECT_TRUE(qmp_->Execute("query-status", "{}", Soon()).ok());
}

TEST_P(QmpClientContractTest, ErrorsTellTheNextMove) {
  EXPECT_TRUE(
      absl::IsUnimplemented(qmp_->Execute("no-such", "", Soon()).status()));
  EXPECT_TRUE(absl::IsNotFound(Execute("device_del", {{"id", "x"}}).status()));
  EXPECT_TRUE(absl::IsNotFound(
      Execute("qom-get", {{"path", "x"}, {"property", "size"}}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      qmp_->Execute("query-status", "[]", Soon()).status()));
  ExpectRejected("object-del", {{"id", "nope"}});
  ExpectRejected("blockdev-del", {{"node-name", "nope"}});
}

TEST_P(QmpClientContractTest, VcpusArePluggedBySlot) {
  const auto before = QueryVcpuSlots(*qmp_, Soon());
  ASSERT_TRUE(before.ok()) << before.status();
  ASSERT_EQ(before->size(), 4u);
  EXPECT_TRUE((*before)[0].plugged);
  EXPECT_EQ((*before)[0].device_id, "");
  EXPECT_FALSE((*before)[1].plugged);

  Json device = Json::parse((*before)[1].props_json);
  device["driver"] = (*before)[1].driver;
  device["id"] = "cpu1";
  ExecuteOrDie("device_add", device);

  const auto after = QueryVcpuSlots(*qmp_, Soon());
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE((*after)[1].plugged);
  EXPECT_EQ((*after)[1].device_id, "cpu1");
  EXPECT_EQ((*after)[1].props_json, (*before)[1].props_json);
  device["id"] = "again";
  ExpectRejected("device_add", device);  // the slot is taken
}

TEST_P(QmpClientContractTest, MemoryDeviceKeepsToItsBounds) {
  AddMemoryDevice();

  const auto memory = QueryMemoryDevice(*qmp_, "mem0", Soon());
  ASSERT_TRUE(memory.ok()) << memory.status();
  ASSERT_TRUE(memory->has_value());
  const MemoryDeviceState expected = {.id = "mem0",
                                      .requested_bytes = 128 << 20,
                                      .plugged_bytes = 0,  // nobody took it
                                      .max_bytes = int64_t{1} << 30,
                                      .block_bytes = 2 << 20};
  EXPECT_EQ(**memory, expected);
  const auto backends = QueryMemoryBackends(*qmp_, Soon());
  ASSERT_TRUE(backends.ok()) << backends.status();
  EXPECT_EQ(backends->at("backend0"), int64_t{1} << 30);
  EXPECT_FALSE(backends->contains("other"));

  const auto request = [](int64_t bytes) {
    return Json{
        {"path", "mem0"}, {"property", "requested-size"}, {"value", bytes}};
  };
  ExecuteOrDie("qom-set", request(256 << 20));
  ExpectRejected("qom-set", request(3 << 20));
  ExpectRejected("qom-set", request(int64_t{2} << 30));
  EXPECT_EQ((*QueryMemoryDevice(*qmp_, "mem0", Soon()))->requested_bytes,
            256 << 20);
  ExpectRejected("object-del", {{"id", "backend0"}});  // in use
  ExpectRejected("device_del", {{"id", "mem0"}});      // virtio-mem stays
  ExpectRejected("object-add", {{"qom-type", "memory-backend-memfd"},
                                {"id", "backend0"},
                                {"size", 2 << 20}});
}

TEST_P(QmpClientContractTest, RemovalNeedsAGuestThatLetsGo) {
  AddDisk();
  ExpectRejected("blockdev-del", {{"node-name", "n1"}});
  Clock& clock = machine_->clock();
  for (int i = 0; i < 2; ++i) {  // also while one is under way
    const absl::Status removed = RemoveDevice(
        *qmp_, clock, "disk1", clock.Now() + absl::Milliseconds(100));
    EXPECT_TRUE(absl::IsDeadlineExceeded(removed)) << removed;
  }
  EXPECT_TRUE(RemoveDevice(*qmp_, clock, "nosuch", Soon()).ok());
}

TEST_P(QmpClientContractTest, DescriptorsArePassedByScmRights) {
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const auto added = qmp_->ExecuteWithFd(
      "add-fd", R"({"fdset-id":7,"opaque":"disk"})", null.get(), Soon());
  ASSERT_TRUE(added.ok()) << added.status();
  const auto sets = qmp_->Execute("query-fdsets", "", Soon());
  ASSERT_TRUE(sets.ok());
  EXPECT_EQ(Json::parse(*sets)[0]["fdset-id"].get<int>(), 7);
  EXPECT_EQ(Json::parse(*sets)[0]["fds"][0]["opaque"].get<std::string>(),
            "disk");
  EXPECT_TRUE(
      qmp_->ExecuteWithFd("getfd", R"({"fdname":"tap"})", null.get(), Soon())
          .ok());
  ExpectRejected("add-fd", {{"fdset-id", 8}});  // none came with it
  // A QEMU that is not running closes it only once it runs.
  ExecuteOrDie("remove-fd", {{"fdset-id", 7}});
}

TEST_P(QmpClientContractTest, WhatIsPluggedSurvivesTheConnection) {
  AddMemoryDevice();
  qmp_.reset();

  qmp_ = machine_->Connect();

  ASSERT_NE(qmp_, nullptr);
  EXPECT_TRUE(QueryMemoryDevice(*qmp_, "mem0", Soon())->has_value());
}

TEST_P(QmpClientContractTest, QuitSaysGoodbyeAndThenNothing) {
  const auto events = qmp_->Subscribe({"SHUTDOWN"});
  // The reply may be overtaken by the end of the connection.
  (void)qmp_->Execute("quit", "", Soon());

  const auto shutdown = events->Next(Soon());
  ASSERT_TRUE(shutdown.ok()) << shutdown.status();
  EXPECT_TRUE(absl::StrContains(shutdown->data_json, "host-qmp-quit"));
  EXPECT_TRUE(absl::IsUnavailable(events->Next(Soon()).status()));
  EXPECT_TRUE(
      absl::IsUnavailable(qmp_->Execute("query-status", "", Soon()).status()));
}

INSTANTIATE_TEST_SUITE_P(Machines, QmpClientContractTest, testing::Bool(),
                         [](const auto& info) {
                           return info.param ? "RealQemu" : "FakeQemu";
                         });

}  // namespace
}  // namespace podvisor
