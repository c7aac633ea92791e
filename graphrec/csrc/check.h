// For tests: whether programs stay within what they are given.
#pragma once
#include "program.h"

namespace graphrec {

struct Everything {
  const Structure& structure;
  const Buffer* buffers;
  int64_t num_buffers;
  const Weight* weights;
  int64_t num_weights;
  const Program* programs;
  int64_t num_programs;
  const int64_t* rows;  // of each GLOBAL buffer
  const WeightGradient* gradients;
  int64_t num_gradients;
};

// STATUS_OK, or STATUS_BAD_PROGRAM and what is wrong in `message`, which has room for so many characters.
Status check(const Everything&, char* message, int64_t room);

}  // namespace graphrec
