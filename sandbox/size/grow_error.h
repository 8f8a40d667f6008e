#ifndef PODVISOR_SANDBOX_SIZE_GROW_ERROR_H_
#define PODVISOR_SANDBOX_SIZE_GROW_ERROR_H_

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace podvisor {

// What a call answers whose VM was to grow first, for the error of
// VmResizer::Grow(): "the VM cannot grow `for_what`: ...". A guest that does
// not take what it is given is a VM without room (ResourceExhausted); one that
// is gone is not. Pure.
absl::Status GrowError(const absl::Status& grown, absl::string_view for_what);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_SIZE_GROW_ERROR_H_
