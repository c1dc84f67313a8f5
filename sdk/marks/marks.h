// The table of marks: the one place that lists them.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "marks/engine_mark.h"
#include "marks/parameters.h"

namespace countermark::marks {

/// What a profile needs to know of its mark.
struct MarkEntry {
  /// Name and revision, as profiles spell it.
  std::string_view name;
  /// Validates a profile's parameters and writes the missing ones' defaults into them.
  void (*complete)(Parameters& parameters);
  /// The mark with an engine's key; none where the mark is our own.
  std::shared_ptr<const EngineMark> (*make)(const keys::Secret& key, Parameters& parameters);
  /// Why nothing new should be marked with it; empty where there is no reason.
  std::string_view warning = {};
};

/// All of them.
std::span<const MarkEntry> all() noexcept;

/// The mark called `name`. Throws Error(UnknownMark), naming the marks there are.
const MarkEntry& find(std::string_view name);

}  // namespace countermark::marks
