// A JSON value and its place, for messages that name the key at fault. The first fault is kept; what is read after it is zero.
#ifndef EDGEFACE_ENGINE_JSON_H
#define EDGEFACE_ENGINE_JSON_H

#include <math.h>

#include <string>

#define RAPIDJSON_HAS_STDSTRING 1
#include <rapidjson/document.h>

#include "message.h"

namespace ef {

class Json {
 public:
  Json(const rapidjson::Value* value, std::string where, ef_status* status) : value_(value), where_(std::move(where)), status_(status) {}

  const std::string& where() const { return where_; }
  bool ok() const { return *status_ == EF_OK; }
  bool is_null() const { return !value_ || value_->IsNull(); }

  void fail(const char* what, ef_status status = EF_ERROR_BUNDLE) const {
    if (ok()) *status_ = refuse(status, where_.c_str(), "%s", what);
  }

  // Null where it is not there: reading that fails, is_null does not.
  Json get(const char* key) const {
    const std::string where = where_ + "." + key;
    if (!value_ || !value_->IsObject()) {
      fail("an object");
      return {nullptr, where, status_};
    }
    const auto member = value_->FindMember(key);
    return {member == value_->MemberEnd() ? nullptr : &member->value, where, status_};
  }

  size_t items(size_t least, size_t most) const {
    if (value_ && value_->IsArray() && value_->Size() >= least && value_->Size() <= most) return value_->Size();
    fail(("a list of " + std::to_string(least) + (most == least ? "" : " to " + std::to_string(most)) + " items").c_str());
    return 0;
  }
  Json item(size_t i) const { return {&(*value_)[static_cast<rapidjson::SizeType>(i)], where_ + "[" + std::to_string(i) + "]", status_}; }

  std::string text(size_t most = 800) const {
    const bool good = value_ && value_->IsString() && value_->GetStringLength() >= 1 && value_->GetStringLength() <= most;
    std::string result = good ? std::string(value_->GetString(), value_->GetStringLength()) : std::string();
    for (const char c : result)
      if (static_cast<unsigned char>(c) < 32) result.clear();
    if (result.empty()) fail(("a text of 1 to " + std::to_string(most) + " characters").c_str());
    return result;
  }

  int64_t integer(int64_t low, int64_t high) const {
    if (value_ && value_->IsInt64() && value_->GetInt64() >= low && value_->GetInt64() <= high) return value_->GetInt64();
    fail(("an integer from " + std::to_string(low) + " to " + std::to_string(high)).c_str());
    return low;
  }

  // Above 0 and at most `most`.
  float number(double most) const {
    if (value_ && value_->IsNumber() && value_->GetDouble() > 0 && value_->GetDouble() <= most) return static_cast<float>(value_->GetDouble());
    char what[80];
    snprintf(what, sizeof what, "a number above 0 and at most %g", most);
    fail(what);
    return 1;
  }

  // The index of the text among `choices`.
  template <size_t n>
  uint32_t choice(const char* const (&choices)[n]) const {
    const std::string got = text();
    std::string all;
    for (size_t i = 0; i < n; ++i) {
      if (got == choices[i]) return static_cast<uint32_t>(i);
      all += (i ? ", " : "") + std::string(choices[i]);
    }
    fail(("one of " + all).c_str());
    return 0;
  }

 private:
  const rapidjson::Value* value_;
  std::string where_;
  ef_status* status_;
};

}  // namespace ef

#endif
