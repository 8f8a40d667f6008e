#ifndef PODVISOR_SANDBOX_RECORD_SPEC_JSON_H_
#define PODVISOR_SANDBOX_RECORD_SPEC_JSON_H_

#include "hotplug/container_resources.h"
#include "nlohmann/json.hpp"
#include "sandbox/record/container_spec.h"
#include "sandbox/record/json_fields.h"
#include "sandbox/record/pod_spec.h"

namespace podvisor {

// The specs as parts of a record; record_json.h has the rules. Pure. Readers
// report through status() of the fields they are given.

nlohmann::json ResourcesToJson(const ContainerResources& resources);
void ReadResources(JsonFields* fields, ContainerResources* resources);

void ReadOptionalResources(JsonFields* fields, const char* name,
                           std::optional<ContainerResources>* resources);

nlohmann::json PodSpecToJson(const PodSpec& spec);
void ReadPodSpec(JsonFields* fields, PodSpec* spec);

nlohmann::json ContainerSpecToJson(const ContainerSpec& spec);
void ReadContainerSpec(JsonFields* fields, ContainerSpec* spec);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_SPEC_JSON_H_
