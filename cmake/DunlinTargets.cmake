# One static library per folder with explicit DEPS: the link graph is the layering.

# The headers that most files begin with, compiled once: a third of the time that a test build takes. `cmake --preset release
# -DCMAKE_UNITY_BUILD=OFF` shows whether each file includes what it uses.
function(dunlin_precompiled NAME)
  cmake_parse_arguments(ARG "PLAIN" "" "HEADERS;DEPS" ${ARGN})
  file(WRITE ${CMAKE_BINARY_DIR}/generated/${NAME}.cc "")
  add_library(${NAME} OBJECT ${CMAKE_BINARY_DIR}/generated/${NAME}.cc)
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} dunlin_warnings)
  if(NOT ARG_PLAIN)
    target_link_libraries(${NAME} PRIVATE dunlin_sanitized)
  endif()
  target_precompile_headers(${NAME} PRIVATE ${ARG_HEADERS})
endfunction()
if(NOT CMAKE_DISABLE_PRECOMPILE_HEADERS AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-pthread -fpch-preprocess)  # as protobuf asks of some; for ccache
endif()
set(DUNLIN_COMMON_HEADERS
    <algorithm> <functional> <map> <memory> <optional> <set> <string> <utility> <vector> <absl/status/status.h> <absl/status/statusor.h>
    <absl/strings/ascii.h> <absl/strings/match.h> <absl/strings/numbers.h> <absl/strings/str_cat.h> <absl/strings/str_format.h> <absl/strings/str_join.h>
    <absl/strings/str_split.h> <absl/time/time.h> <nlohmann/json.hpp>)

# dunlin_library(NAME dunlin_x [RPC] SRCS a.cc … DEPS …)
# RPC: its files include generated code of proto/.
function(dunlin_library)
  cmake_parse_arguments(ARG "RPC" "NAME" "SRCS;DEPS" ${ARGN})
  add_library(${ARG_NAME} STATIC ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PUBLIC ${ARG_DEPS} PRIVATE dunlin_warnings dunlin_sanitized)
  if(ARG_RPC)
    target_precompile_headers(${ARG_NAME} REUSE_FROM dunlin_rpc_headers)
  else()
    target_precompile_headers(${ARG_NAME} REUSE_FROM dunlin_headers)
  endif()
  if(DUNLIN_FAULTS)
    target_compile_definitions(${ARG_NAME} PUBLIC DUNLIN_FAULTS=1)
  endif()
endfunction()

# dunlin_binary(NAME dunlin-x SRCS x_main.cc DEPS …): lands in DUNLIN_BIN_DIR.
function(dunlin_binary)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} dunlin_warnings dunlin_sanitized)
  if(DUNLIN_BIN_DIR)
    set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${DUNLIN_BIN_DIR})
  endif()
endfunction()

# dunlin_test(NAME x_test SRCS x_test.cc … LABELS unit|db|rpc|e2e|slow DEPS … [ALONE XTest.ThatNeedsAQuietMachine])
# Tests that need PostgreSQL start a scratch server of their own (tests/testlib/pg_server.h).
function(dunlin_test)
  cmake_parse_arguments(ARG "" "NAME;TIMEOUT;ALONE" "SRCS;LABELS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} dunlin_testlib GTest::gmock GTest::gtest dunlin_warnings)
  # Tests of processes are not what is tested: without sanitizers of their own they compile in half of the time.
  if(ARG_LABELS MATCHES "e2e|slow")
    target_link_libraries(${ARG_NAME} PRIVATE dunlin_sanitizer_runtime)
    target_precompile_headers(${ARG_NAME} REUSE_FROM dunlin_e2e_headers)
  else()
    target_link_libraries(${ARG_NAME} PRIVATE dunlin_sanitized)
    target_precompile_headers(${ARG_NAME} REUSE_FROM dunlin_test_headers)
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  # One variable only: a second one in a list does not arrive (gtest_discover_tests with PRE_TEST).
  set(properties LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT} ENVIRONMENT "DUNLIN_BIN_DIR=${DUNLIN_BIN_DIR}")
  # First, beside all the others, which are done by then; but not beside each other.
  if(ARG_LABELS MATCHES "slow")
    list(APPEND properties COST 1000 RESOURCE_LOCK slow)
  endif()
  set(others)
  if(ARG_ALONE)
    set(others TEST_FILTER -${ARG_ALONE})
    gtest_discover_tests(${ARG_NAME} DISCOVERY_MODE PRE_TEST TEST_FILTER ${ARG_ALONE} PROPERTIES ${properties} RUN_SERIAL TRUE)
  endif()
  gtest_discover_tests(${ARG_NAME} DISCOVERY_MODE PRE_TEST ${others} PROPERTIES ${properties})
endfunction()

# dunlin_embed_sql(TARGET dunlin_x NAMESPACE dunlin::x HEADER schema_files.h FILES 0001_a.sql …)
# Generates a header with `inline constexpr EmbeddedFile kSchemaFiles[]`, in the order given.
function(dunlin_embed_sql)
  cmake_parse_arguments(ARG "" "TARGET;NAMESPACE;HEADER" "FILES" ${ARGN})
  set(out ${CMAKE_BINARY_DIR}/generated/${ARG_HEADER})
  set(inputs)
  foreach(file ${ARG_FILES})
    list(APPEND inputs ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
  string(REPLACE ";" "," joined "${inputs}")
  add_custom_command(
    OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DOUT=${out} -DNAMESPACE=${ARG_NAMESPACE} -DFILES=${joined} -P
            ${CMAKE_SOURCE_DIR}/cmake/EmbedSql.cmake
    DEPENDS ${inputs} ${CMAKE_SOURCE_DIR}/cmake/EmbedSql.cmake
    VERBATIM)
  target_sources(${ARG_TARGET} PRIVATE ${out})
  target_include_directories(${ARG_TARGET} PUBLIC ${CMAKE_BINARY_DIR}/generated)
endfunction()
