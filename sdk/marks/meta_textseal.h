// The marks meta/textseal-1 and meta/textseal-2: docs/spec/meta-textseal.md.
#pragma once

#include <memory>

#include "marks/engine_mark.h"
#include "marks/parameters.h"

namespace countermark::marks {

/// For the table of marks.
void complete_meta_textseal_1(Parameters& parameters);
void complete_meta_textseal_2(Parameters& parameters);
std::shared_ptr<const EngineMark> make_meta_textseal_1(const keys::Secret& key,
                                                       Parameters& parameters);
std::shared_ptr<const EngineMark> make_meta_textseal_2(const keys::Secret& key,
                                                       Parameters& parameters);

}  // namespace countermark::marks
