// The marks sbw/lefthash-1 and sbw/selfhash-1: docs/spec/green-lists.md.
#pragma once

#include <memory>

#include "marks/engine_mark.h"
#include "marks/parameters.h"

namespace countermark::marks {

/// For the table of marks.
void complete_sbw_lefthash(Parameters& parameters);
void complete_sbw_selfhash(Parameters& parameters);
std::shared_ptr<const EngineMark> make_sbw_lefthash_1(const keys::Secret& key,
                                                      Parameters& parameters);
std::shared_ptr<const EngineMark> make_sbw_selfhash_1(const keys::Secret& key,
                                                      Parameters& parameters);

}  // namespace countermark::marks
