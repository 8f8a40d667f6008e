#ifndef PODVISOR_SANDBOX_RECORD_JSON_FIELDS_H_
#define PODVISOR_SANDBOX_RECORD_JSON_FIELDS_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "nlohmann/json.hpp"

namespace podvisor {

// The members of one JSON object, read by name and checked. A missing member
// leaves its variable as it was; the first member of a wrong type or range is
// remembered as DataLoss and everything after it is left alone, so that a
// reader checks status() once, at its end. Borrows the object. One thread.
class JsonFields {
 public:
  // `path` names the object in messages: "spec.".
  explicit JsonFields(const nlohmann::json& object, std::string path = "")
      : object_(object), path_(std::move(path)) {
    if (!object.is_object()) Fail("", "is not an object");
  }

  const absl::Status& status() const { return status_; }

  // T: string, bool, integer, absl::Time (nanoseconds since the Unix epoch),
  // or a std::optional, std::vector or std::map<std::string, ...> of these.
  template <typename T>
  void Read(const char* name, T* out) {
    if (const nlohmann::json* value = Find(name)) Convert(*value, name, out);
  }

  // An enum whose valid numbers are `first` to `last`.
  template <typename Enum>
  void ReadEnum(const char* name, Enum first, Enum last, Enum* out) {
    int number = static_cast<int>(*out);
    Read(name, &number);
    if (number < static_cast<int>(first) || number > static_cast<int>(last)) {
      return Fail(name, "is not a known value");
    }
    *out = static_cast<Enum>(number);
  }

  // Calls `read(JsonFields*)` on the object that is the member `name`.
  template <typename Function>
  void ReadObject(const char* name, Function read) {
    if (const nlohmann::json* value = Find(name)) {
      ReadFields(*value, name, read);
    }
  }

  // Calls `read(JsonFields*)` on each object in the array `name`.
  template <typename Function>
  void ReadObjects(const char* name, Function read) {
    const nlohmann::json* value = Find(name);
    if (value == nullptr) return;
    if (!value->is_array()) return Fail(name, "is not an array");
    for (const nlohmann::json& item : *value) {
      if (status_.ok()) ReadFields(item, name, read);
    }
  }

 private:
  const nlohmann::json* Find(const char* name) const {
    if (!status_.ok()) return nullptr;
    auto it = object_.find(name);
    return it == object_.end() ? nullptr : &*it;
  }

  void Fail(const char* name, absl::string_view what) {
    if (!status_.ok()) return;
    status_ = absl::DataLossError(absl::StrCat(path_, name, " ", what));
  }

  template <typename Function>
  void ReadFields(const nlohmann::json& value, const char* name,
                  Function read) {
    JsonFields fields(value, absl::StrCat(path_, name, "."));
    if (fields.status_.ok()) read(&fields);
    if (status_.ok()) status_ = fields.status_;
  }

  void Convert(const nlohmann::json& value, const char* name,
               std::string* out) {
    if (!value.is_string()) return Fail(name, "is not a string");
    *out = value.get_ref<const std::string&>();
  }

  void Convert(const nlohmann::json& value, const char* name, bool* out) {
    if (!value.is_boolean()) return Fail(name, "is not a boolean");
    *out = value.get<bool>();
  }

  template <typename Integer>
  requires std::is_integral_v<Integer>
  void Convert(const nlohmann::json& value, const char* name, Integer* out) {
    using Limits = std::numeric_limits<Integer>;
    if (value.is_number_unsigned()) {
      const uint64_t number = value.get<uint64_t>();
      if (number <= static_cast<uint64_t>(Limits::max())) {
        *out = static_cast<Integer>(number);
        return;
      }
    } else if (value.is_number_integer() && std::is_signed_v<Integer>) {
      // Negative: the parser makes every other integer unsigned.
      const int64_t number = value.get<int64_t>();
      if (number >= static_cast<int64_t>(Limits::min())) {
        *out = static_cast<Integer>(number);
        return;
      }
    }
    Fail(name, "is not an integer in its range");
  }

  void Convert(const nlohmann::json& value, const char* name, absl::Time* out) {
    int64_t nanos = 0;
    Convert(value, name, &nanos);
    if (status_.ok()) *out = absl::FromUnixNanos(nanos);
  }

  template <typename T>
  void Convert(const nlohmann::json& value, const char* name,
               std::optional<T>* out) {
    T converted{};
    Convert(value, name, &converted);
    if (status_.ok()) *out = std::move(converted);
  }

  template <typename T>
  void Convert(const nlohmann::json& value, const char* name,
               std::vector<T>* out) {
    if (!value.is_array()) return Fail(name, "is not an array");
    out->clear();
    for (const nlohmann::json& item : value) {
      Convert(item, name, &out->emplace_back());
    }
  }

  template <typename T>
  void Convert(const nlohmann::json& value, const char* name,
               std::map<std::string, T>* out) {
    if (!value.is_object()) return Fail(name, "is not an object");
    out->clear();
    for (auto it = value.begin(); it != value.end(); ++it) {
      Convert(it.value(), name, &(*out)[it.key()]);
    }
  }

  const nlohmann::json& object_;
  const std::string path_;
  absl::Status status_;
};

// Parses one JSON object without exceptions; text longer than `max_bytes` or
// nested deeper than `max_depth` is refused before it is built. DataLoss.
absl::StatusOr<nlohmann::json> ParseJsonObject(absl::string_view text,
                                               size_t max_bytes, int max_depth);

}  // namespace podvisor

#endif  // PODVISOR_SANDBOX_RECORD_JSON_FIELDS_H_
