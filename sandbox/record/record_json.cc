#include "sandbox/record/record_json.h"

#include <utility>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"
#include "sandbox/record/json_fields.h"
#include "sandbox/record/spec_json.h"

namespace podvisor {
namespace {

using nlohmann::json;

// A record is five deep at most; the rest is room for newer daemons.
constexpr int kMaxDepth = 16;

absl::StatusOr<std::string> Dump(const json& object) {
  std::string text;
  try {
    text = object.dump();
  } catch (const json::exception& e) {
    return absl::InvalidArgumentError("a string of the record is not UTF-8");
  }
  if (text.size() > kMaxRecordBytes) {
    return absl::InvalidArgumentError("the record is longer than 4 MiB");
  }
  return text;
}

void PutTime(const char* name, absl::Time time, json* object) {
  if (time != absl::InfinitePast()) {
    (*object)[name] = absl::ToUnixNanos(time);
  }
}

void ReadUser(JsonFields* fields, ResolvedUser* user) {
  fields->Read("uid", &user->uid);
  fields->Read("gid", &user->gid);
  fields->Read("supplemental_groups", &user->supplemental_groups);
}

template <typename Id>
void ReadId(JsonFields* fields, const char* name, Id* id) {
  std::string text;
  fields->Read(name, &text);
  *id = Id(std::move(text));
}

}  // namespace

absl::StatusOr<std::string> EncodePodRecord(const PodRecord& record) {
  json object = {{"id", record.id.value()},
                 {"spec", PodSpecToJson(record.spec)},
                 {"state", static_cast<int>(record.state)},
                 {"reason", record.reason},
                 {"message", record.message},
                 {"vm_json", record.vm_json},
                 {"network_json", record.network_json},
                 {"ips", record.ips}};
  PutTime("created_at", record.created_at, &object);
  PutTime("finished_at", record.finished_at, &object);
  if (record.updated_resources) {
    object["updated_resources"] = ResourcesToJson(*record.updated_resources);
  }
  if (record.updated_overhead) {
    object["updated_overhead"] = ResourcesToJson(*record.updated_overhead);
  }
  if (record.had_containers) object["had_containers"] = true;
  return Dump(object);
}

absl::StatusOr<std::string> EncodeContainerRecord(
    const ContainerRecord& record) {
  json object = {{"id", record.id.value()},
                 {"pod_id", record.pod_id.value()},
                 {"spec", ContainerSpecToJson(record.spec)},
                 {"phase", static_cast<int>(record.phase)},
                 {"exit_code", record.exit_code},
                 {"reason", record.reason},
                 {"message", record.message},
                 {"image_id", record.image_id},
                 {"image_ref", record.image_ref},
                 {"resources", ResourcesToJson(record.resources)}};
  if (record.tried) object["tried"] = ResourcesToJson(*record.tried);
  PutTime("created_at", record.created_at, &object);
  PutTime("started_at", record.started_at, &object);
  PutTime("finished_at", record.finished_at, &object);
  if (record.user.has_value()) {
    object["user"] = {
        {"uid", record.user->uid},
        {"gid", record.user->gid},
        {"supplemental_groups", record.user->supplemental_groups}};
  }
  return Dump(object);
}

absl::StatusOr<PodRecord> DecodePodRecord(absl::string_view text) {
  ASSIGN_OR_RETURN(const json object,
                   ParseJsonObject(text, kMaxRecordBytes, kMaxDepth));
  JsonFields fields(object);
  PodRecord record;
  ReadId(&fields, "id", &record.id);
  fields.ReadObject("spec", [&record](JsonFields* members) {
    ReadPodSpec(members, &record.spec);
  });
  ReadOptionalResources(&fields, "updated_resources",
                        &record.updated_resources);
  ReadOptionalResources(&fields, "updated_overhead", &record.updated_overhead);
  fields.Read("had_containers", &record.had_containers);
  fields.ReadEnum("state", SandboxState::kCreating, SandboxState::kStopped,
                  &record.state);
  fields.Read("created_at", &record.created_at);
  fields.Read("finished_at", &record.finished_at);
  fields.Read("reason", &record.reason);
  fields.Read("message", &record.message);
  fields.Read("vm_json", &record.vm_json);
  fields.Read("network_json", &record.network_json);
  fields.Read("ips", &record.ips);
  RETURN_IF_ERROR(fields.status());
  return record;
}

absl::StatusOr<ContainerRecord> DecodeContainerRecord(absl::string_view text) {
  ASSIGN_OR_RETURN(const json object,
                   ParseJsonObject(text, kMaxRecordBytes, kMaxDepth));
  JsonFields fields(object);
  ContainerRecord record;
  ReadId(&fields, "id", &record.id);
  ReadId(&fields, "pod_id", &record.pod_id);
  fields.ReadObject("spec", [&record](JsonFields* members) {
    ReadContainerSpec(members, &record.spec);
  });
  fields.ReadEnum("phase", ContainerPhase::kCreating, ContainerPhase::kExited,
                  &record.phase);
  fields.Read("created_at", &record.created_at);
  fields.Read("started_at", &record.started_at);
  fields.Read("finished_at", &record.finished_at);
  fields.Read("exit_code", &record.exit_code);
  fields.Read("reason", &record.reason);
  fields.Read("message", &record.message);
  fields.Read("image_id", &record.image_id);
  fields.Read("image_ref", &record.image_ref);
  fields.ReadObject("user", [&record](JsonFields* members) {
    ReadUser(members, &record.user.emplace());
  });
  fields.ReadObject("resources", [&record](JsonFields* members) {
    ReadResources(members, &record.resources);
  });
  ReadOptionalResources(&fields, "tried", &record.tried);
  RETURN_IF_ERROR(fields.status());
  return record;
}

}  // namespace podvisor
