// The marks vllm/gumbel-1, vllm/gumbel-0 and vllm/dual-gumbel-1: docs/spec/vllm-gumbel.md.
#pragma once

#include <memory>

#include "marks/engine_mark.h"
#include "marks/parameters.h"

namespace countermark::marks {

/// For the table of marks.
void complete_vllm_gumbel(Parameters& parameters);
void complete_vllm_dual_gumbel(Parameters& parameters);
std::shared_ptr<const EngineMark> make_vllm_gumbel_0(const keys::Secret& key,
                                                     Parameters& parameters);
std::shared_ptr<const EngineMark> make_vllm_gumbel_1(const keys::Secret& key,
                                                     Parameters& parameters);
std::shared_ptr<const EngineMark> make_vllm_dual_gumbel_1(const keys::Secret& key,
                                                          Parameters& parameters);

}  // namespace countermark::marks
