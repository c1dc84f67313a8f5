// What several profiles, or several keys, say together.
#pragma once

#include <vector>

#include "countermark/detector.h"

namespace countermark::detect {

/// log10 of the p-value that marks a text. Throws Error(InvalidOption), by the option's `name`,
/// unless the rate is in (0, 0.5].
double log10_threshold(const char* name, double rate);

/// Fills in what follows from `results` (their p- and e-values, of each profile alone), `variants`
/// and `log10_threshold`: Holm's correction, the best profile, and whether it marked the text. A
/// verdict other than Marked is left to the caller.
void correct(Detection& detection);

/// Ranks a key's log10 p among those of decoy keys, which may be none.
DecoyRank rank_among(double log10_p, std::vector<double> decoys);

}  // namespace countermark::detect
