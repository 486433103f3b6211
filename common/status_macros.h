// The shape of abseil HEAD's macros (absent in Debian's 20220623), so that a later switch is a
// rename.
#pragma once

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define DUNLIN_CONCAT_INNER(a, b) a##b
#define DUNLIN_CONCAT(a, b) DUNLIN_CONCAT_INNER(a, b)

#define DUNLIN_RETURN_IF_ERROR(expr) \
  DUNLIN_RETURN_IF_ERROR_IMPL(DUNLIN_CONCAT(dunlin_status_, __LINE__), expr)
#define DUNLIN_RETURN_IF_ERROR_IMPL(var, expr)            \
  do {                                                    \
    if (absl::Status var = (expr); !var.ok()) return var; \
  } while (false)

// DUNLIN_ASSIGN_OR_RETURN(const auto x, MakeX());
#define DUNLIN_ASSIGN_OR_RETURN(lhs, expr) \
  DUNLIN_ASSIGN_OR_RETURN_IMPL(DUNLIN_CONCAT(dunlin_statusor_, __LINE__), lhs, expr)
#define DUNLIN_ASSIGN_OR_RETURN_IMPL(var, lhs, expr) \
  auto var = (expr);                                 \
  if (!var.ok()) return std::move(var).status();     \
  lhs = *std::move(var)
