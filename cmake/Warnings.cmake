# Warnings for our own code; generated code is compiled without (see proto/CMakeLists.txt).
add_library(dunlin_warnings INTERFACE)
target_compile_options(
  dunlin_warnings INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion
                            -Wnon-virtual-dtor -Woverloaded-virtual
                            # designated initializers leave out what has a default
                            -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # False at -O2 and higher, with std::string + and std::variant in a vector:
  # https://gcc.gnu.org/bugzilla/show_bug.cgi?id=105651 and 105562
  target_compile_options(dunlin_warnings INTERFACE -Wno-restrict -Wno-maybe-uninitialized)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(dunlin_warnings INTERFACE -Wthread-safety)
endif()
# For what links sanitized code, and for that code itself.
add_library(dunlin_sanitizer_runtime INTERFACE)
add_library(dunlin_sanitized INTERFACE)
target_link_libraries(dunlin_sanitized INTERFACE dunlin_sanitizer_runtime)
if(DUNLIN_SANITIZE)
  target_link_options(dunlin_sanitizer_runtime INTERFACE -fsanitize=${DUNLIN_SANITIZE})
  # A finding ends the process, else a test would pass with it. Two of UBSan's checks, at each use of a pointer, take a third of the
  # time to compile and show nothing here: who follows a null pointer is told by AddressSanitizer, and no cast makes a pointer that is
  # not aligned.
  target_compile_options(dunlin_sanitized INTERFACE -fsanitize=${DUNLIN_SANITIZE} -fno-sanitize=null,alignment
                                                    -fno-sanitize-recover=all -fno-omit-frame-pointer)
endif()
