// The marks sglang/aaronson-1 and sglang/aaronson-dual-1: docs/spec/sglang-aaronson.md.
#pragma once

#include <memory>

#include "marks/engine_mark.h"
#include "marks/parameters.h"

namespace countermark::marks {

/// For the table of marks.
void complete_sglang_aaronson(Parameters& parameters);
void complete_sglang_aaronson_dual(Parameters& parameters);
std::shared_ptr<const EngineMark> make_sglang_aaronson_1(const keys::Secret& key,
                                                         Parameters& parameters);
std::shared_ptr<const EngineMark> make_sglang_aaronson_dual_1(const keys::Secret& key,
                                                              Parameters& parameters);

}  // namespace countermark::marks
