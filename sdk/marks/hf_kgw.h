// The marks hf/kgw-lefthash-1 and hf/kgw-selfhash-1: docs/spec/green-lists.md.
#pragma once

#include <memory>

#include "marks/engine_mark.h"
#include "marks/parameters.h"

namespace countermark::marks {

/// For the table of marks.
void complete_hf_kgw_lefthash(Parameters& parameters);
void complete_hf_kgw_selfhash(Parameters& parameters);
std::shared_ptr<const EngineMark> make_hf_kgw_lefthash_1(const keys::Secret& key,
                                                         Parameters& parameters);
std::shared_ptr<const EngineMark> make_hf_kgw_selfhash_1(const keys::Secret& key,
                                                         Parameters& parameters);

}  // namespace countermark::marks
