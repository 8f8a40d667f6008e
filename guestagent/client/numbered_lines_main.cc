// A container's only program for tests, linked statically: writes numbered
// lines of 16 bytes, so that each byte of the output has its place.
//
//   numbered_lines COUNT

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  const long long count = argc > 1 ? std::atoll(argv[1]) : 0;
  for (long long line = 0; line < count; ++line) {
    if (std::printf("%015lld\n", line) < 0) return 1;
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
