#include "stats/harmonic.h"

#include <boost/math/special_functions/digamma.hpp>
#include <numbers>

namespace countermark::stats {

double harmonic(double x) { return boost::math::digamma(x + 1.0) + std::numbers::egamma; }

}  // namespace countermark::stats
