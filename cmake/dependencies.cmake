# What the library is built on. Found here, so that every folder sees the same targets.
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_package(nlohmann_json 3.10 REQUIRED)
find_package(Threads REQUIRED)
find_path(XXHASH_INCLUDE_DIR xxhash.h REQUIRED)
find_path(BOOST_INCLUDE_DIR boost/math/special_functions/gamma.hpp REQUIRED)
