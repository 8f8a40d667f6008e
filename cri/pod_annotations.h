#ifndef PODVISOR_CRI_POD_ANNOTATIONS_H_
#define PODVISOR_CRI_POD_ANNOTATIONS_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "sandbox/record/pod_spec.h"

namespace podvisor {

// Whether an annotation tells Podvisor about the VM of a pod. On a container it
// would be taken for working, so there it is an error.
bool IsPodAnnotation(absl::string_view name);

// Reads the annotations that set the size of a pod's VM, and ignores others:
//
//   com.github.containers.virtcontainers.sandbox_cpu    vCPUs, "0.5", "4"
//   com.github.containers.virtcontainers.sandbox_mem    "4G", "512Mi", bytes;
//                                                       units are powers of 2
//   io.katacontainers.config.hypervisor.default_vcpus   as sandbox_cpu
//   io.katacontainers.config.hypervisor.default_memory  MiB
//   io.katacontainers.config.hypervisor.default_max_vcpus
//
// Pure. InvalidArgument, naming the annotation, for a value that is not
// understood or out of range, and for two names of one thing that disagree.
absl::StatusOr<SizeOverrides> ParseSizeAnnotations(
    const std::map<std::string, std::string>& annotations);

// Reads those that limit the VM's processes on the host:
//
//   com.github.containers.virtcontainers.blkio_cgroup  see blkio_annotation.h
//   com.github.containers.virtcontainers.files_limit   open files; what a
//                                                      number means is for
//                                                      FilesLimitFor() to say
//
// Pure. InvalidArgument as above.
absl::StatusOr<HostLimits> ParseHostAnnotations(
    const std::map<std::string, std::string>& annotations);

// Reads those that limit the pod's traffic, as kubelet's own network plugin
// read them: kubernetes.io/ingress-bandwidth and egress-bandwidth, bits per
// second as a quantity, "10M"; from 1k to 1P. Pure. InvalidArgument as above.
absl::StatusOr<NetworkShape> ParseShapeAnnotations(
    const std::map<std::string, std::string>& annotations);

}  // namespace podvisor

#endif  // PODVISOR_CRI_POD_ANNOTATIONS_H_
