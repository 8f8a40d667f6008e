// A container's only program for tests, linked statically: without arguments it
// sleeps; with two it makes a file, on a tmpfs, exactly that long with every
// page written.
//
//   memory_filler [FILE BYTES]

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

int main(int argc, char** argv) {
  if (argc < 3) {
    while (true) pause();
  }
  const off_t wanted = std::atoll(argv[2]);
  const int fd = open(argv[1], O_RDWR | O_CREAT, 0600);
  struct stat now = {};
  if (fd < 0 || fstat(fd, &now) != 0 || ftruncate(fd, wanted) != 0) {
    std::perror(argv[1]);
    return 1;
  }
  static char chunk[1 << 20];
  std::memset(chunk, 0x5a, sizeof(chunk));
  for (off_t at = now.st_size; at < wanted;) {
    const off_t left = wanted - at;
    const size_t part = left < static_cast<off_t>(sizeof(chunk))
                            ? static_cast<size_t>(left)
                            : sizeof(chunk);
    const ssize_t written = pwrite(fd, chunk, part, at);
    if (written <= 0) {
      std::perror("write");
      return 1;
    }
    at += written;
  }
  return 0;
}
