#ifndef PODVISOR_CRI_STREAM_LIST_H_
#define PODVISOR_CRI_STREAM_LIST_H_

#include <algorithm>

#include "grpcpp/support/status.h"

namespace podvisor {

// How many items of a list go into one message: far below gRPC's 16 MiB, with
// the largest item that a client can have made.
inline constexpr int kStreamBatch = 8;

// Writes a repeated field of a List reply as the messages of its Stream
// variant: every item once, in order, nothing for an empty list. Ends early
// when the client has gone. Blocks while the client does not read, until its
// deadline. The writer is gRPC's ServerWriter.
template <template <typename> class Writer, typename Response, typename Items,
          typename Field>
grpc::Status StreamList(Items* items, const Field& field,
                        Writer<Response>* writer) {
  for (int next = 0; next < items->size();) {
    Response batch;
    const int end = std::min(items->size(), next + kStreamBatch);
    for (; next < end; ++next) {
      field(batch)->Add()->Swap(items->Mutable(next));
    }
    if (!writer->Write(batch)) break;
  }
  return grpc::Status::OK;
}

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAM_LIST_H_
