#ifndef PODVISOR_CRI_STREAMING_SPDY_DICTIONARY_H_
#define PODVISOR_CRI_STREAMING_SPDY_DICTIONARY_H_

#include <string>

namespace podvisor {

// With which both ends of SPDY/3 begin to compress headers: names and values
// that headers often have (SPDY Protocol, Draft 3, section 2.6.10.1). 1423
// bytes, of which one that differs makes every header unreadable.
std::string SpdyDictionary();

}  // namespace podvisor

#endif  // PODVISOR_CRI_STREAMING_SPDY_DICTIONARY_H_
