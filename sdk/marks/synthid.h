// The marks hf/synthid-1 and deepmind/synthid-2: docs/spec/synthid.md.
#pragma once

#include <memory>

#include "marks/engine_mark.h"
#include "marks/parameters.h"

namespace countermark::marks {

/// For the table of marks.
void complete_hf_synthid_1(Parameters& parameters);
void complete_deepmind_synthid_2(Parameters& parameters);
std::shared_ptr<const EngineMark> make_hf_synthid_1(const keys::Secret& key,
                                                    Parameters& parameters);
std::shared_ptr<const EngineMark> make_deepmind_synthid_2(const keys::Secret& key,
                                                          Parameters& parameters);

}  // namespace countermark::marks
