#include "marks/marks.h"

#include <string>

#include "base/fail.h"
#include "marks/countermark_1.h"
#include "marks/hf_kgw.h"
#include "marks/meta_textseal.h"
#include "marks/sbw.h"
#include "marks/sglang_aaronson.h"
#include "marks/synthid.h"
#include "marks/vllm_gumbel.h"

namespace countermark::marks {
namespace {

constexpr std::string_view short_key =
    "for reading old text: its hash folds the key to 32 bits, so that marked text gives a working "
    "key away by trial";
constexpr std::string_view weak_table =
    "for reading old text: all layers of a token follow from a few bits, by a table that is public";
constexpr std::string_view weak_hash =
    "for reading old text: the hash has 13 bits and is linear, so that marked text gives the key "
    "away and rare tokens are drawn wrongly";

constexpr MarkEntry entries[] = {
    {"countermark/1", &complete_countermark_1, nullptr},
    {"vllm/gumbel-1", &complete_vllm_gumbel, &make_vllm_gumbel_1},
    {"vllm/dual-gumbel-1", &complete_vllm_dual_gumbel, &make_vllm_dual_gumbel_1},
    {"vllm/gumbel-0", &complete_vllm_gumbel, &make_vllm_gumbel_0},
    {"sglang/aaronson-1", &complete_sglang_aaronson, &make_sglang_aaronson_1, short_key},
    {"sglang/aaronson-dual-1", &complete_sglang_aaronson_dual, &make_sglang_aaronson_dual_1,
     short_key},
    {"hf/synthid-1", &complete_hf_synthid_1, &make_hf_synthid_1, weak_table},
    {"deepmind/synthid-2", &complete_deepmind_synthid_2, &make_deepmind_synthid_2},
    {"hf/kgw-lefthash-1", &complete_hf_kgw_lefthash, &make_hf_kgw_lefthash_1},
    {"hf/kgw-selfhash-1", &complete_hf_kgw_selfhash, &make_hf_kgw_selfhash_1},
    {"meta/textseal-1", &complete_meta_textseal_1, &make_meta_textseal_1, weak_hash},
    {"meta/textseal-2", &complete_meta_textseal_2, &make_meta_textseal_2, weak_hash},
    {"sbw/selfhash-1", &complete_sbw_selfhash, &make_sbw_selfhash_1},
    {"sbw/lefthash-1", &complete_sbw_lefthash, &make_sbw_lefthash_1},
};

}  // namespace

std::span<const MarkEntry> all() noexcept { return entries; }

const MarkEntry& find(std::string_view name) {
  std::string known;
  for (const MarkEntry& entry : entries) {
    if (entry.name == name) return entry;
    known += (known.empty() ? "" : ", ") + std::string(entry.name);
  }
  fail(ErrorCode::UnknownMark, "unknown mark \"", name, "\"; this version has: ", known);
}

}  // namespace countermark::marks
