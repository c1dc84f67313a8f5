// The tokens of a response and where its mark stands, whosever mark it is.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "countermark/error.h"
#include "countermark/token.h"
#include "marks/countermark_1.h"
#include "marks/engine_mark.h"

namespace countermark::embed {

class Response {
 public:
  explicit Response(const marks::Countermark1& mark) : ours_(mark) {}
  explicit Response(std::unique_ptr<marks::EngineWalk> engine) : engine_(std::move(engine)) {}
  Response(const Response& other)
      : ours_(other.ours_), engine_(other.engine_ ? other.engine_->clone() : nullptr) {}
  Response(Response&&) noexcept = default;
  Response& operator=(const Response&) = delete;
  Response& operator=(Response&&) = delete;
  ~Response() = default;

  /// One of the two.
  const marks::Walk* ours() const noexcept { return ours_ ? &*ours_ : nullptr; }
  const marks::EngineWalk* engine() const noexcept { return engine_.get(); }

  std::span<const TokenId> tokens() const noexcept {
    return ours_ ? ours_->tokens() : engine_->tokens();
  }
  std::size_t size() const noexcept { return tokens().size(); }

  /// `was_marked`: the token was drawn by the mark, which some engines remember. On failure nothing
  /// has changed.
  [[nodiscard]] ErrorCode observe(TokenId token, bool was_marked) {
    if (ours_) return ours_->observe(token);
    engine_->observe(token, was_marked);
    return ErrorCode::Ok;
  }
  void rollback(std::size_t count) noexcept {
    if (ours_) return ours_->rollback(count);
    engine_->rollback(count);
  }
  void reserve(std::size_t tokens) {
    if (ours_) ours_->reserve(tokens);
  }

 private:
  std::optional<marks::Walk> ours_;
  std::unique_ptr<marks::EngineWalk> engine_;
};

}  // namespace countermark::embed
