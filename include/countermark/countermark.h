// Everything public, for samples and users in a hurry.
#pragma once

#include "countermark/calibration.h"   // IWYU pragma: export
#include "countermark/detector.h"      // IWYU pragma: export
#include "countermark/distillation.h"  // IWYU pragma: export
#include "countermark/error.h"         // IWYU pragma: export
#include "countermark/identify.h"      // IWYU pragma: export
#include "countermark/key_ring.h"      // IWYU pragma: export
#include "countermark/ledger.h"        // IWYU pragma: export
#include "countermark/logits.h"        // IWYU pragma: export
#include "countermark/plan.h"          // IWYU pragma: export
#include "countermark/profile.h"       // IWYU pragma: export
#include "countermark/replay.h"        // IWYU pragma: export
#include "countermark/report.h"        // IWYU pragma: export
#include "countermark/sampler.h"       // IWYU pragma: export
#include "countermark/screening.h"     // IWYU pragma: export
#include "countermark/sequence.h"      // IWYU pragma: export
#include "countermark/token.h"         // IWYU pragma: export
#include "countermark/tracer.h"        // IWYU pragma: export
#include "countermark/version.h"       // IWYU pragma: export
