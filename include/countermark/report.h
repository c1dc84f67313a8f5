// Verdicts for machines.
#pragma once

#include <string>
#include <string_view>

#include "countermark/detector.h"
#include "countermark/export.h"
#include "countermark/tracer.h"

namespace countermark {

/// "marked", "not_marked_by_these_keys" or "insufficient".
COUNTERMARK_API std::string_view verdict_name(Verdict verdict) noexcept;

/// "sum", "goodness_of_fit", "scan", "likelihood" or "replay".
COUNTERMARK_API std::string_view statistic_name(Statistic statistic) noexcept;

/// A detection as a JSON object on one line, format `countermark.detection/1`; token scores that
/// are NaN become null. The text itself is not in it.
COUNTERMARK_API std::string to_json(const Detection& detection);

/// "account", "no_account" or "insufficient".
COUNTERMARK_API std::string_view verdict_name(TraceVerdict verdict) noexcept;

/// A trace as a JSON object on one line, format `countermark.trace/1`; accounts are strings of
/// digits, since a double holds no 64 bits. The text itself is not in it.
COUNTERMARK_API std::string to_json(const Trace& trace);

}  // namespace countermark
