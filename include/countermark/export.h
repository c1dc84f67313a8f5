// What leaves the library: everything else is hidden.
#pragma once

#if defined(_WIN32)
#define COUNTERMARK_API
#else
#define COUNTERMARK_API __attribute__((visibility("default")))
#endif
