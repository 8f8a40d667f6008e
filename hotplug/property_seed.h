#ifndef PODVISOR_HOTPLUG_PROPERTY_SEED_H_
#define PODVISOR_HOTPLUG_PROPERTY_SEED_H_

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <random>

#include "absl/strings/numbers.h"

namespace podvisor {

// The seed of a test with random cases, another one each time. It is printed;
// PODVISOR_SEED=<seed> runs the same cases again.
inline uint64_t PropertySeed() {
  const char* const given = std::getenv("PODVISOR_SEED");
  uint64_t seed = 0;
  if (given == nullptr || !absl::SimpleAtoi(given, &seed)) {
    seed = std::random_device{}();
  }
  std::cout << "PODVISOR_SEED=" << seed << std::endl;
  return seed;
}

}  // namespace podvisor

#endif  // PODVISOR_HOTPLUG_PROPERTY_SEED_H_
