// 2^f = sum of (f ln 2)^k / k!. For |f| <= 1/2 the terms left out are below 1.2e-7 of it.
#pragma once

namespace countermark::kernels {

inline constexpr float exp2_series[] = {1.000000000e+00F, 6.931471806e-01F, 2.402265070e-01F,
                                        5.550410866e-02F, 9.618129108e-03F, 1.333355815e-03F,
                                        1.540353039e-04F};

}  // namespace countermark::kernels
