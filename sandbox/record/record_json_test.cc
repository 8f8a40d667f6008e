#include "sandbox/record/record_json.h"

#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace podvisor {
namespace {

// Strings that JSON has to escape, of any length.
std::string RandomText(std::mt19937* random) {
  static const std::vector<std::string> kPieces = {
      "a", "\"", "\\", "\n", std::string(1, '\0'), "é", "漢", "\x01", "{", "]"};
  std::string text;
  for (int n = static_cast<int>((*random)() % 6); n > 0; --n) {
    text += kPieces[(*random)() % kPieces.size()];
  }
  return text;
}

int64_t RandomNumber(std::mt19937* random) {
  switch ((*random)() % 4) {
    case 0:
      return std::numeric_limits<int64_t>::min();
    case 1:
      return std::numeric_limits<int64_t>::max();
    case 2:
      return -1;
    default:
      return static_cast<int64_t>((*random)());
  }
}

template <typename Make>
auto RandomList(std::mt19937* random, Make make) {
  std::vector<decltype(make(random))> list;
  for (int n = static_cast<int>((*random)() % 4); n > 0; --n) {
    list.push_back(make(random));
  }
  return list;
}

std::map<std::string, std::string> RandomMap(std::mt19937* random) {
  std::map<std::string, std::string> map;
  for (int n = static_cast<int>((*random)() % 4); n > 0; --n) {
    map[RandomText(random)] = RandomText(random);
  }
  return map;
}

ContainerResources RandomResources(std::mt19937* random) {
  ContainerResources r;
  r.cpu_period = RandomNumber(random);
  r.cpu_quota = RandomNumber(random);
  r.cpu_shares = RandomNumber(random);
  r.memory_limit_bytes = RandomNumber(random);
  r.memory_swap_limit_bytes = RandomNumber(random);
  r.oom_score_adj = RandomNumber(random);
  r.cpuset_cpus = RandomText(random);
  r.cpuset_mems = RandomText(random);
  r.hugepage_limits[RandomText(random)] = RandomNumber(random);
  r.unified = RandomMap(random);
  return r;
}

absl::Time RandomTime(std::mt19937* random) {
  if ((*random)() % 3 == 0) return absl::InfinitePast();
  return absl::FromUnixNanos(1'700'000'000'000'000'000 + (*random)());
}

std::optional<IdMapping> RandomIds(std::mt19937* random) {
  if ((*random)() % 2 == 0) return std::nullopt;
  return IdMapping{static_cast<uint32_t>((*random)()),
                   static_cast<uint32_t>((*random)())};
}

PodRecord RandomPod(std::mt19937* random) {
  PodRecord pod;
  pod.id = PodId(RandomHexId());
  pod.spec.metadata = {RandomText(random), RandomText(random),
                       RandomText(random), 7};
  pod.spec.hostname = RandomText(random);
  pod.spec.log_directory = RandomText(random);
  pod.spec.runtime_handler = RandomText(random);
  pod.spec.cgroup_parent = RandomText(random);
  pod.spec.dns = {RandomList(random, RandomText),
                  RandomList(random, RandomText),
                  RandomList(random, RandomText)};
  for (unsigned left = (*random)() % 3; left > 0; --left) {
    pod.spec.host_ports.push_back({static_cast<int>((*random)() % 65536),
                                   static_cast<int>((*random)() % 65536),
                                   RandomText(random), RandomText(random)});
  }
  if ((*random)() % 2) pod.spec.shape.ingress_rate = RandomNumber(random);
  if ((*random)() % 2) pod.spec.shape.egress_rate = RandomNumber(random);
  pod.spec.pid_namespace = static_cast<NamespaceMode>((*random)() % 4);
  pod.spec.ids = RandomIds(random);
  pod.spec.labels = RandomMap(random);
  pod.spec.annotations = RandomMap(random);
  pod.spec.sysctls = RandomMap(random);
  if ((*random)() % 2) pod.spec.resources = RandomResources(random);
  if ((*random)() % 2) pod.spec.overhead = RandomResources(random);
  if ((*random)() % 2) pod.spec.size.base_milli_cpu = (*random)() % 10'000;
  if ((*random)() % 2) pod.spec.size.base_memory_bytes = (*random)() % 10'000;
  if ((*random)() % 2) pod.spec.size.max_vcpus = (*random)() % 256;
  if ((*random)() % 2) pod.spec.host.files_limit = (*random)() % 10'000;
  for (unsigned left = (*random)() % 3; left > 0; --left) {
    pod.spec.host.block_io.push_back({static_cast<BlockIoType>((*random)() % 6),
                                      RandomText(random),
                                      RandomNumber(random)});
  }
  if ((*random)() % 2) pod.updated_resources = RandomResources(random);
  if ((*random)() % 2) pod.updated_overhead = RandomResources(random);
  pod.had_containers = (*random)() % 2 == 0;
  pod.state = static_cast<SandboxState>(1 + (*random)() % 4);
  pod.created_at = RandomTime(random);
  pod.finished_at = RandomTime(random);
  pod.reason = RandomText(random);
  pod.message = RandomText(random);
  pod.vm_json = RandomText(random);
  pod.network_json = RandomText(random);
  pod.ips = RandomList(random, RandomText);
  return pod;
}

SecuritySpec RandomSecurity(std::mt19937* random) {
  SecuritySpec s;
  if ((*random)() % 2) s.run_as_user = RandomNumber(random);
  if ((*random)() % 2) s.run_as_group = RandomNumber(random);
  s.run_as_username = RandomText(random);
  s.supplemental_groups = RandomList(random, RandomNumber);
  s.strict_supplemental_groups = (*random)() % 2;
  s.privileged = (*random)() % 2;
  s.read_only_root = (*random)() % 2;
  s.no_new_privileges = (*random)() % 2;
  s.add_capabilities = RandomList(random, RandomText);
  s.drop_capabilities = RandomList(random, RandomText);
  s.add_ambient_capabilities = RandomList(random, RandomText);
  s.masked_paths = RandomList(random, RandomText);
  s.readonly_paths = RandomList(random, RandomText);
  s.pid_namespace = static_cast<NamespaceMode>((*random)() % 4);
  s.pid_target = RandomText(random);
  s.seccomp_profile = RandomText(random);
  return s;
}

ContainerRecord RandomContainer(std::mt19937* random) {
  ContainerRecord c;
  c.id = ContainerId(RandomHexId());
  c.pod_id = PodId(RandomHexId());
  c.spec.name = RandomText(random);
  c.spec.attempt = std::numeric_limits<uint32_t>::max();
  c.spec.image = RandomText(random);
  c.spec.user_image = RandomText(random);
  c.spec.command = RandomList(random, RandomText);
  c.spec.args = RandomList(random, RandomText);
  c.spec.working_dir = RandomText(random);
  c.spec.env = RandomList(random, RandomText);
  c.spec.mounts = RandomList(random, [](std::mt19937* r) {
    MountSpec mount{RandomText(r),   RandomText(r),   (*r)() % 2 == 0,
                    (*r)() % 2 == 0, (*r)() % 2 == 0, RandomIds(r)};
    if ((*r)() % 2 == 0) {
      mount.image = "i" + RandomText(r);
      mount.image_sub_path = RandomText(r);
      mount.image_id = RandomText(r);
    }
    mount.options = RandomList(r, RandomText);
    return mount;
  });
  c.spec.devices = RandomList(random, [](std::mt19937* r) {
    return DeviceSpec{RandomText(r), RandomText(r), RandomText(r)};
  });
  c.spec.labels = RandomMap(random);
  c.spec.annotations = RandomMap(random);
  c.spec.log_path = RandomText(random);
  c.spec.stdin = (*random)() % 2;
  c.spec.stdin_once = (*random)() % 2;
  c.spec.tty = (*random)() % 2;
  c.spec.stop_signal = RandomText(random);
  c.spec.resources = RandomResources(random);
  c.spec.security = RandomSecurity(random);
  c.phase = static_cast<ContainerPhase>(1 + (*random)() % 4);
  c.created_at = RandomTime(random);
  c.started_at = RandomTime(random);
  c.finished_at = RandomTime(random);
  c.exit_code = static_cast<int>((*random)() % 256);
  c.reason = RandomText(random);
  c.message = RandomText(random);
  c.image_id = RandomText(random);
  c.image_ref = RandomText(random);
  if ((*random)() % 2) {
    c.user = ResolvedUser{1000, 100, RandomList(random, RandomNumber)};
  }
  c.resources = RandomResources(random);
  if ((*random)() % 2) c.tried = RandomResources(random);
  return c;
}

TEST(RecordJsonTest, EveryPodRecordComesBackAsItWas) {
  std::mt19937 random(1);
  for (int i = 0; i < 500; ++i) {
    const PodRecord pod = RandomPod(&random);

    const auto json = EncodePodRecord(pod);
    ASSERT_TRUE(json.ok()) << json.status();
    const auto back = DecodePodRecord(*json);

    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, pod);
  }
}

TEST(RecordJsonTest, EveryContainerRecordComesBackAsItWas) {
  std::mt19937 random(2);
  for (int i = 0; i < 500; ++i) {
    const ContainerRecord container = RandomContainer(&random);

    const auto json = EncodeContainerRecord(container);
    ASSERT_TRUE(json.ok()) << json.status();
    const auto back = DecodeContainerRecord(*json);

    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, container);
  }
}

TEST(RecordJsonTest, AnOlderRecordHasDefaultsAndANewerOneIsUnderstood) {
  const auto older = DecodePodRecord(R"({"id":"x"})");
  const auto newer = DecodePodRecord(
      R"({"id":"x","colour":{"r":1},"spec":{"wings":[2,3],"hostname":"h"}})");

  ASSERT_TRUE(older.ok()) << older.status();
  EXPECT_EQ(older->state, SandboxState::kCreating);
  EXPECT_EQ(older->created_at, absl::InfinitePast());
  ASSERT_TRUE(newer.ok()) << newer.status();
  EXPECT_EQ(newer->spec.hostname, "h");
}

TEST(RecordJsonTest, AnythingThatIsNotARecordIsDataLoss) {
  const std::vector<std::string> texts = {
      "",
      "null",
      "[]",
      "7",
      "{",
      R"({"id":7})",
      R"({"state":0})",
      R"({"state":5})",
      R"({"state":"2"})",
      R"({"state":2.0})",
      R"({"created_at":1e3})",
      R"({"created_at":99999999999999999999})",
      R"({"spec":[]})",
      R"({"spec":{"labels":{"a":1}}})",
      R"({"spec":{"labels":["a"]}})",
      R"({"spec":{"metadata":{"attempt":-1}}})",
      R"({"spec":{"metadata":{"attempt":4294967296}}})",
      R"({"spec":{"dns":{"servers":"a"}}})",
      R"({"spec":{"resources":{"cpu_quota":true}}})",
      std::string(kMaxRecordBytes + 1, ' '),
      std::string(1'000'000, '['),
      R"({"a":)" + std::string(1'000'000, '[') + std::string(1'000'000, ']') +
          "}",
  };
  for (const std::string& text : texts) {
    const auto record = DecodePodRecord(text);
    EXPECT_TRUE(absl::IsDataLoss(record.status()))
        << text.substr(0, 60) << ": " << record.status();
  }
}

TEST(RecordJsonTest, EveryPrefixAndEveryFlippedByteIsReadOrRefused) {
  std::mt19937 random(3);
  const std::string json = *EncodeContainerRecord(RandomContainer(&random));
  for (size_t i = 0; i < json.size(); ++i) {
    EXPECT_FALSE(DecodeContainerRecord(json.substr(0, i)).ok());
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = json;
      flipped[i] = static_cast<char>(flipped[i] ^ (1 << bit));
      (void)DecodeContainerRecord(flipped);
    }
  }
}

TEST(RecordJsonTest, WhatCouldNotComeBackIsRefused) {
  PodRecord pod;
  pod.spec.hostname = "\xff";
  EXPECT_TRUE(absl::IsInvalidArgument(EncodePodRecord(pod).status()));

  pod.spec.hostname = std::string(kMaxRecordBytes, 'x');
  EXPECT_TRUE(absl::IsInvalidArgument(EncodePodRecord(pod).status()));
}

}  // namespace
}  // namespace podvisor
