# How every target of this project is compiled. Linked privately, so that no flag reaches a user.
add_library(countermark_settings INTERFACE)
target_compile_features(countermark_settings INTERFACE cxx_std_20)
target_compile_options(countermark_settings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor -Werror
  # Results must not depend on what the compiler fuses.
  -ffp-contract=off)

if(COUNTERMARK_SANITIZE)
  add_compile_options(-fsanitize=${COUNTERMARK_SANITIZE} -fno-omit-frame-pointer
                      -fno-sanitize-recover=all
                      # GCC's is mistaken about instrumented code (its manual says so).
                      $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_link_options(-fsanitize=${COUNTERMARK_SANITIZE})
endif()

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
