// Random lives of pods, with faults that come and go, daemons that are killed
// at any command and QEMUs that die, in virtual time, beside a model of what
// must hold. Each life has a seed, which is printed when something does not;
// PODVISOR_SEED=<seed> lives that one life again.

#include "sandbox/pod/pod_resize_model.h"

#include <cstdlib>
#include <iostream>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "sandbox/pod/container_lifecycle.h"
#include "sandbox/pod/pod_manager_fixture.h"
#include "sandbox/record/store_faults.h"

namespace podvisor {
namespace {

using testing::IsEmpty;

constexpr int kLives = 30;
constexpr int kSteps = 40;

struct Hardware {
  std::string name;
  MemoryDevice memory_device;
  bool dimm_unplug;
  VcpuUnplug vcpu_unplug;
  Sizing sizing;
  bool presize = false;
};

std::vector<Hardware> AllHardware() {
  std::vector<Hardware> all;
  for (const Sizing sizing : {Sizing::kShared, Sizing::kAdditive}) {
    for (const VcpuUnplug unplug : {VcpuUnplug::kPark, VcpuUnplug::kDevice}) {
      const std::string suffix =
          std::string(unplug == VcpuUnplug::kPark ? "Park" : "Remove") +
          (sizing == Sizing::kShared ? "Shared" : "Additive");
      all.push_back({"VirtioMem" + suffix, MemoryDevice::kVirtioMem, false,
                     unplug, sizing});
      all.push_back(
          {"Dimms" + suffix, MemoryDevice::kPcDimm, false, unplug, sizing});
      all.push_back({"RemovableDimms" + suffix, MemoryDevice::kPcDimm, true,
                     unplug, sizing});
    }
  }
  for (const bool dimms : {false, true}) {
    Hardware presized = all[dimms ? 2 : 0];
    presized.name += "Presized";
    presized.presize = true;
    all.push_back(presized);
  }
  return all;
}

class PodResizeModelTest : public PodManagerFixture,
                           public testing::WithParamInterface<Hardware> {
 protected:
  void SetUp() override {
    PodManagerFixture::SetUp();
    if (IsSkipped()) return;
    settings_.limits.memory_device = GetParam().memory_device;
    settings_.limits.memory_slots = 8;
    settings_.limits.dimm_unplug = GetParam().dimm_unplug;
    settings_.limits.vcpu_unplug = GetParam().vcpu_unplug;
    settings_.limits.max_memory_bytes = 4096 * kMiB;
    settings_.sizing.sizing = GetParam().sizing;
    settings_.presize = GetParam().presize;
    store_faults_ = std::make_unique<StoreFaults>(settings_.root_dir);
  }

  void Live(uint64_t seed);

  // --- One step each.

  void RunThePod(const std::string& name);
  void AnyStep();
  void CreateOne();
  void StartOne();
  void UpdateOne();
  void ExitOne();
  void StopOne();
  void RemoveOne();
  void UpdatePod();
  void ChangeFaults();
  void AnyCall();
  void RestartDaemon();
  void KillDaemonInACall();
  void KillQemuInACall();
  void HangAgentInACall();

  // --- What must hold.

  void ExpectEnough();
  void ExpectTrueSizes();
  void ExpectSettled();
  void ExpectNothingElse();

  int Between(int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random_);
  }
  bool OneIn(int count) { return Between(1, count) == 1; }
  int64_t AnyOf(std::initializer_list<int64_t> values) {
    return values.begin()[Between(0, static_cast<int>(values.size()) - 1)];
  }
  std::shared_ptr<Pod> ThePod() { return pods_->FindPod(pod_.value()).value(); }
  FakeMachine& Machine() { return *launcher_.machine(pod_); }
  void Pass(absl::Duration time) {
    clock_.Advance(time);
    timers_.RunDue();
  }
  // One in any of these phases; null where there is none.
  std::shared_ptr<Container> Pick(const std::set<ContainerPhase>& phases) {
    std::vector<ContainerId> found;
    for (const auto& [id, container] : model_.containers) {
      if (phases.contains(container.phase)) found.push_back(id);
    }
    if (found.empty()) return nullptr;
    const ContainerId& id = found[Between(0, found.size() - 1)];
    const auto container = pods_->FindContainer(id.value());
    EXPECT_TRUE(container.ok()) << "a container is lost";
    return container.ok() ? container->container : nullptr;
  }
  // After a call that failed the container may be before it or after it.
  void Adopt(const ContainerId& id) {
    const auto found = pods_->FindContainer(id.value());
    if (found.ok()) {
      model_.containers[id].phase = found->container->phase();
    } else {
      model_.containers.erase(id);
    }
  }
  void SetFaults() {
    Machine().qemu().SetFaults(qemu_faults_);
    Machine().guest().SetFaults(guest_faults_);
  }
  void Heal() {
    const bool shown_late = ShowsLate();
    qemu_faults_ = {};
    guest_faults_ = {};
    SetFaults();
    store_faults_->Heal();
    store_fails_ = false;
    // What QEMU or the guest showed late is seen at the next look.
    if (shown_late && !ended_) (void)ThePod()->sampler().Sample(Soon());
  }

  bool ShowsLate() const {
    return qemu_faults_.looks_until_size_changes > 0 ||
           guest_faults_.looks_until_cpus_online > 0 ||
           guest_faults_.memory_per_gib > absl::ZeroDuration();
  }

  std::mt19937_64 random_;
  std::unique_ptr<StoreFaults> store_faults_;
  PodId pod_;
  PodResizeModel model_;
  QemuFaults qemu_faults_;
  GuestFaults guest_faults_;
  bool store_fails_ = false;
  bool ended_ = false;
  bool blind_ = false;  // the daemon could not look in this step
  std::set<ContainerId> uncertain_;
  int names_ = 0;
};

void PodResizeModelTest::RunThePod(const std::string& name) {
  PodSpec spec = Spec(name);
  if (settings_.presize) {
    model_.most_milli_cpu = AnyOf({0, 500, 1500, 3000});
    model_.most_memory_mib = AnyOf({0, 300, 1000});
    spec.resources =
        ContainerOf(model_.most_milli_cpu, model_.most_memory_mib).resources;
  }
  const absl::StatusOr<PodId> id = pods_->RunPod(spec, Soon());
  ASSERT_TRUE(id.ok()) << id.status();
  pod_ = *id;
}

void PodResizeModelTest::CreateOne() {
  const int64_t milli_cpu = AnyOf({100, 200, 500, 1000, 2000, 3500});
  const int64_t memory_mib = AnyOf({0, 64, 200, 512, 1500});
  ContainerSpec spec = ContainerOf(milli_cpu, memory_mib);
  spec.name = "c" + std::to_string(++names_);
  const auto created = pods_->CreateContainer(ThePod(), spec, Soon());
  if (!created.ok()) return;
  model_.containers[*created] = {milli_cpu, memory_mib};
  model_.had_containers = true;
}

void PodResizeModelTest::StartOne() {
  const auto container = Pick({ContainerPhase::kCreated});
  if (container == nullptr) return;
  const absl::Status started = StartContainer(*ThePod(), *container, Soon());
  if (started.ok()) {
    model_.containers[container->id()].phase = ContainerPhase::kRunning;
  } else {
    uncertain_.insert(container->id());
  }
}

void PodResizeModelTest::UpdateOne() {
  const auto container =
      Pick({ContainerPhase::kCreated, ContainerPhase::kRunning});
  if (container == nullptr) return;
  ContainerResources update;
  const int64_t milli_cpu = AnyOf({0, 100, 300, 1500, 4000});
  const int64_t memory_mib = AnyOf({0, 64, 300, 1000});
  update.cpu_quota = milli_cpu * 100;
  update.memory_limit_bytes = memory_mib * kMiB;
  if (!UpdateContainer(*ThePod(), *container, update, Soon()).ok()) return;
  auto& known = model_.containers[container->id()];
  if (milli_cpu > 0) known.milli_cpu = milli_cpu;
  if (memory_mib > 0) known.memory_mib = memory_mib;
}

void PodResizeModelTest::ExitOne() {
  const auto container = Pick({ContainerPhase::kRunning});
  if (container == nullptr) return;
  Machine().guest().Exit(container->id(), Between(0, 255));
  ASSERT_TRUE(container->AwaitExit(absl::Now() + absl::Seconds(10)));
  model_.containers[container->id()].phase = ContainerPhase::kExited;
}

void PodResizeModelTest::StopOne() {
  const auto container =
      Pick({ContainerPhase::kCreated, ContainerPhase::kRunning});
  if (container == nullptr) return;
  (void)StopContainer(*ThePod(), *container, absl::Seconds(1), Soon());
  uncertain_.insert(container->id());
}

void PodResizeModelTest::RemoveOne() {
  const auto container =
      Pick({ContainerPhase::kCreated, ContainerPhase::kRunning,
            ContainerPhase::kExited});
  if (container == nullptr) return;
  if (pods_->RemoveContainer({ThePod(), container}, Soon()).ok()) {
    model_.containers.erase(container->id());
  } else {
    uncertain_.insert(container->id());
  }
}

void PodResizeModelTest::UpdatePod() {
  const int64_t milli_cpu = AnyOf({0, 1000, 2500, 6000});
  const int64_t memory_mib = AnyOf({0, 400, 2000});
  ContainerResources total;
  total.cpu_quota = milli_cpu * 100;
  total.memory_limit_bytes = memory_mib * kMiB;
  if (!ThePod()->resizer().UpdateTotals(total, std::nullopt, Soon()).ok())
    return;
  model_.most_milli_cpu = milli_cpu;
  model_.most_memory_mib = memory_mib;
}

void PodResizeModelTest::AnyCall() {
  const int dice = Between(1, 100);
  if (dice <= 30) return CreateOne();
  if (dice <= 45) return StartOne();
  if (dice <= 65) return UpdateOne();
  if (dice <= 72) return StopOne();
  if (dice <= 85) return RemoveOne();
  if (dice <= 92) return UpdatePod();
  Pass(absl::Seconds(Between(0, 8)));
}

void PodResizeModelTest::ChangeFaults() {
  if (OneIn(2)) return Heal();
  const int64_t total = Machine().guest().size().memory_total_bytes;
  switch (Between(1, 15)) {
    case 1:
      qemu_faults_.guest_ignores_unplug = true;
      break;
    case 2:
      qemu_faults_.guest_refuses_unplug = true;
      break;
    case 3:
      qemu_faults_.device_add_refused = true;
      break;
    case 4:
      qemu_faults_.events_lost = true;
      break;
    case 5:
      qemu_faults_.looks_until_size_changes = Between(1, 5);
      break;
    case 6:
      guest_faults_.cpu_never_onlines = true;
      break;
    case 7:
      guest_faults_.cpu_never_offlines = true;
      break;
    case 8:
      guest_faults_.memory_never_arrives = true;
      break;
    case 9:
      guest_faults_.keeps_memory_bytes = total - 64 * kMiB;
      break;
    case 10:
      guest_faults_.create_fails = true;
      break;
    case 11:
      guest_faults_.updates_half_done = Between(1, 2);
      guest_faults_.update_fails = OneIn(2);
      break;
    case 12:
      guest_faults_.mount_fails = true;
      break;
    case 13:
      store_faults_->FailAfter(Between(0, 2));
      store_fails_ = true;
      break;
    case 14:
      guest_faults_.looks_until_cpus_online = Between(1, 8);
      break;
    case 15:
      // Some grows are in time, some are not.
      guest_faults_.memory_per_gib = absl::Seconds(Between(1, 60));
      break;
  }
  SetFaults();
}

void PodResizeModelTest::RestartDaemon() {
  store_faults_->Heal();
  store_fails_ = false;
  Restart();
  if (Machine().qemu().alive()) {
    // Ends that were not stored are told once more.
    for (const auto& [id, container] : model_.containers) {
      if (container.phase != ContainerPhase::kExited) continue;
      const auto found = pods_->FindContainer(id.value());
      ASSERT_TRUE(found.ok()) << found.status();
      ASSERT_TRUE(found->container->AwaitExit(absl::Now() + absl::Seconds(10)));
    }
  }
}

// SIGKILL while a command is on its way: nothing of the daemon has an effect
// any more, at QEMU, in the guest or in the store.
void PodResizeModelTest::KillDaemonInACall() {
  bool killed = false;
  QemuFaults faults = qemu_faults_;
  faults.commands_until_connection_lost = Between(0, 25);
  faults.last_command_takes_effect = OneIn(2);
  FakeGuestAgent& guest = Machine().guest();
  Machine().qemu().OnConnectionLost([&] {
    killed = true;
    guest.Disconnect();
    store_faults_->FailAfter(0);
  });
  Machine().qemu().SetFaults(faults);
  AnyCall();
  Machine().qemu().OnConnectionLost(nullptr);
  Machine().qemu().SetFaults(qemu_faults_);
  if (!killed) return;
  blind_ = true;
  RestartDaemon();
}

void PodResizeModelTest::KillQemuInACall() {
  QemuFaults faults = qemu_faults_;
  faults.commands_until_death = Between(0, 25);
  faults.last_command_takes_effect = OneIn(2);
  Machine().qemu().SetFaults(faults);
  AnyCall();
  Machine().qemu().SetFaults(qemu_faults_);
  if (Machine().qemu().alive()) return;
  ended_ = true;
  Heal();
  Machine().Die("QEMU died");
  timers_.RunDue();
  EXPECT_EQ(ThePod()->state(), SandboxState::kStopped);
  for (const auto& [id, container] : model_.containers) {
    const auto found = pods_->FindContainer(id.value());
    if (!found.ok()) continue;
    EXPECT_EQ(found->container->phase(), ContainerPhase::kExited);
  }
}

void PodResizeModelTest::HangAgentInACall() {
  GuestFaults faults = guest_faults_;
  faults.agent_hangs = true;
  Machine().guest().SetFaults(faults);
  AnyCall();
  Machine().guest().SetFaults(guest_faults_);
  blind_ = true;
}

void PodResizeModelTest::AnyStep() {
  const int dice = Between(1, 100);
  if (dice <= 55) return AnyCall();
  if (dice <= 63) return ExitOne();
  if (dice <= 76) return Pass(absl::Milliseconds(Between(0, 6000)));
  if (dice <= 87) return ChangeFaults();
  if (dice <= 90) return RestartDaemon();
  if (dice <= 96) return KillDaemonInACall();
  if (dice <= 99) return HangAgentInACall();
  KillQemuInACall();
}

void PodResizeModelTest::ExpectEnough() {
  const VmSize target = model_.Target(settings_);
  const GuestSize guest = Machine().guest().size();
  const int64_t plugged =
      guest.memory_total_bytes - guest.memory_total_at_boot_bytes;
  const int64_t memory = settings_.limits.boot_memory_bytes + plugged;

  EXPECT_GE(guest.cpus_online, target.vcpus);
  EXPECT_GE(memory, target.memory_bytes);
  EXPECT_LE(Machine().qemu().vcpus(), settings_.limits.max_vcpus);
  EXPECT_LE(memory, settings_.limits.max_memory_bytes);
  EXPECT_GE(plugged, 0);
  // All that the client has been told of is there.
  for (const auto& [id, container] : model_.containers) {
    const auto found = pods_->FindContainer(id.value());
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(found->container->phase(), container.phase);
  }
  EXPECT_EQ(ThePod()->containers().All().size(), model_.containers.size());
}

void PodResizeModelTest::ExpectTrueSizes() {
  const VmSizes sizes = ThePod()->Snapshot().vm;
  const GuestSize guest = Machine().guest().size();
  const int64_t boot = settings_.limits.boot_memory_bytes;
  EXPECT_EQ(sizes.plugged_vcpus, Machine().qemu().vcpus());
  EXPECT_EQ(sizes.online_vcpus, guest.cpus_online);
  EXPECT_EQ(sizes.online_memory_bytes,
            boot + guest.memory_total_bytes - guest.memory_total_at_boot_bytes);
  if (GetParam().memory_device == MemoryDevice::kVirtioMem) {
    EXPECT_EQ(sizes.plugged_memory_bytes,
              boot + Machine().qemu().memory_plugged_bytes());
  }
}

void PodResizeModelTest::ExpectSettled() {
  for (int i = 0; i < 4; ++i) Pass(absl::Seconds(31));
  ExpectEnough();
  ExpectTrueSizes();
  const VmSize target = model_.Target(settings_);
  const VmSizes sizes = ThePod()->Snapshot().vm;
  EXPECT_EQ(sizes.online_vcpus, target.vcpus);
  EXPECT_EQ(sizes.target_vcpus, target.vcpus);
  EXPECT_EQ(sizes.target_memory_bytes, target.memory_bytes);
  EXPECT_EQ(sizes.shortfall_bytes, 0);
  if (GetParam().memory_device == MemoryDevice::kVirtioMem) {
    EXPECT_EQ(sizes.online_memory_bytes, target.memory_bytes);
  }
  if (GetParam().vcpu_unplug == VcpuUnplug::kDevice) {
    EXPECT_EQ(Machine().qemu().vcpus(), target.vcpus);
  }
  // The error of a grow stays until one works.
  EXPECT_TRUE(ThePod()
                  ->resizer()
                  .UpdateTotals(std::nullopt, std::nullopt, Soon())
                  .ok());
  timers_.RunDue();
  EXPECT_EQ(ThePod()->Snapshot().last_error, "");
  // Once more is once too often: nothing changes.
  const auto changes = [&] {
    std::vector<std::string> commands = Machine().qemu().commands();
    std::erase_if(commands, [](const std::string& command) {
      return absl::StartsWith(command, "query-");
    });
    return commands.size();
  };
  const size_t before = changes();
  ThePod()->settle().After(absl::ZeroDuration());
  timers_.RunDue();
  EXPECT_EQ(changes(), before);
}

void PodResizeModelTest::ExpectNothingElse() {
  std::set<std::string> devices = Machine().qemu().devices();
  std::erase_if(devices, [](const std::string& id) {
    return !absl::StartsWith(id, "dimm") && !absl::StartsWith(id, "virtiomem");
  });
  EXPECT_EQ(Machine().qemu().memory_backends().size(), devices.size());
  std::set<std::string> known;
  for (const auto& [id, container] : model_.containers) {
    known.insert(id.value());
    if (container.phase == ContainerPhase::kExited) continue;
    const auto spec = Machine().guest().spec(id);
    ASSERT_TRUE(spec.ok()) << "the guest has lost a container";
    EXPECT_EQ(spec->resources().cpu_quota_micros(), container.milli_cpu * 100);
    const int64_t limit = spec->resources().memory_limit_bytes();
    EXPECT_EQ(std::max<int64_t>(limit, 0), container.memory_mib * kMiB);
  }
  std::set<std::string> recorded;
  const LoadedState stored = store_->LoadAll().value();
  for (const ContainerRecord& record : stored.containers) {
    recorded.insert(record.id.value());
  }
  EXPECT_EQ(recorded, known);
  const auto in_guest = Machine().guest().List(Soon());
  ASSERT_TRUE(in_guest.ok());
  for (const auto& state : *in_guest) {
    EXPECT_TRUE(known.contains(state.container_id()))
        << "a container that nobody knows is in the guest";
  }
  if (known.empty()) {
    EXPECT_THAT(Machine().guest().mounted_images(), IsEmpty());
  }
}

void PodResizeModelTest::Live(uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "PODVISOR_SEED=" << seed);
  random_.seed(seed);
  model_ = {};
  ended_ = false;
  RunThePod("life" + std::to_string(seed));
  for (int step = 0; step < kSteps && !ended_ && !HasFailure(); ++step) {
    SCOPED_TRACE(testing::Message() << "step " << step);
    blind_ = false;
    uncertain_.clear();
    AnyStep();
    for (const ContainerId& id : uncertain_) Adopt(id);
    if (ended_) break;
    ExpectEnough();
    if (!blind_ && !ShowsLate()) ExpectTrueSizes();
  }
  Heal();
  if (!ended_ && !HasFailure()) {
    ExpectSettled();
    ExpectNothingElse();
    while (!model_.containers.empty() && !HasFailure()) {
      const size_t before = model_.containers.size();
      RemoveOne();
      ASSERT_LT(model_.containers.size(), before);
    }
    ExpectSettled();
    ExpectNothingElse();
  }
  ASSERT_TRUE(pods_->RemovePod(ThePod(), Soon()).ok());
  EXPECT_TRUE(store_->LoadAll()->containers.empty());
}

TEST_P(PodResizeModelTest, AnyLifeEndsAtItsTargetWithNothingLostOrLeft) {
  const char* const given = std::getenv("PODVISOR_SEED");
  uint64_t seed = std::random_device{}();
  const bool one = given != nullptr && absl::SimpleAtoi(given, &seed);
  std::cout << "PODVISOR_SEED=" << seed << std::endl;
  for (int life = 0; life < (one ? 1 : kLives) && !HasFailure(); ++life) {
    Live(seed + life);
  }
}

INSTANTIATE_TEST_SUITE_P(AllHardware, PodResizeModelTest,
                         testing::ValuesIn(AllHardware()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace podvisor
