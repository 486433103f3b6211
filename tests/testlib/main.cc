#include <gmock/gmock.h>

#include "common/log.h"

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  dunlin::InitLogging(argv[0], 0, true);
  return RUN_ALL_TESTS();
}
