// Memory for numbers, aligned to lines of the cache, that is kept and grows. No exceptions: `reserve` says whether it
// could.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace graphrec {

class Memory {
 public:
  Memory() = default;
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { std::free(data_); }

  // Room for `count` of T, zero at first; what was there is lost when it grows.
  template <class T> bool reserve(int64_t count) {
    const size_t bytes = (size_t)count * sizeof(T);
    if (bytes <= bytes_) return true;
    release();
    void* data = nullptr;
    if (posix_memalign(&data, 64, bytes + 64) != 0) return false;
    std::memset(data, 0, bytes + 64);
    data_ = data;
    bytes_ = bytes;
    return true;
  }
  template <class T> T* as() const { return static_cast<T*>(data_); }
  size_t bytes() const { return bytes_; }
  void release() {
    std::free(data_);
    data_ = nullptr;
    bytes_ = 0;
  }

 private:
  void* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace graphrec
