#include "cri/stream_list.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "third_party/cri_api/api.pb.h"

namespace podvisor {
namespace {

using Response = runtime::v1::StreamContainersResponse;

// Keeps what is written; the client has gone after `limit` messages.
template <typename Message>
class FakeWriter {
 public:
  explicit FakeWriter(size_t limit) : limit_(limit) {}

  bool Write(const Message& message) {
    if (written_.size() == limit_) return false;
    written_.push_back(message);
    return true;
  }
  const std::vector<Message>& written() const { return written_; }

 private:
  const size_t limit_;
  std::vector<Message> written_;
};
using Writer = FakeWriter<Response>;

std::string Ids(const Writer& writer) {
  std::string ids;
  for (const Response& message : writer.written()) {
    for (const auto& one : message.containers()) ids += one.id() + " ";
    ids += "| ";
  }
  return ids;
}

std::string Stream(int count, Writer writer) {
  runtime::v1::ListContainersResponse list;
  for (int i = 0; i < count; ++i) {
    list.add_containers()->set_id(absl::StrCat(i));
  }
  EXPECT_TRUE(StreamList(
                  list.mutable_containers(),
                  [](Response& batch) { return batch.mutable_containers(); },
                  &writer)
                  .ok());
  return Ids(writer);
}

TEST(StreamListTest, EveryItemIsWrittenOnceAndInOrder) {
  EXPECT_EQ(Stream(0, Writer(9)), "");
  EXPECT_EQ(Stream(1, Writer(9)), "0 | ");
  EXPECT_EQ(Stream(8, Writer(9)), "0 1 2 3 4 5 6 7 | ");
  EXPECT_EQ(Stream(10, Writer(9)), "0 1 2 3 4 5 6 7 | 8 9 | ");
}

TEST(StreamListTest, AClientThatHasGoneEndsIt) {
  EXPECT_EQ(Stream(100, Writer(1)), "0 1 2 3 4 5 6 7 | ");
}

}  // namespace
}  // namespace podvisor
