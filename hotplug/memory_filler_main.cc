// A container's only program for tests, linked statically: uses memory.
//
//   memory_filler                      sleeps
//   memory_filler FILE BYTES           makes the file exactly that long, with
//                                      every page written
//   memory_filler --without-end [FILE] takes anonymous memory, or makes the
//                                      file on a tmpfs longer, until killed
//
// Without end, a second process does it, and this one prints the signal that
// killed it, memory.peak of the container, and how often its cgroup, not the
// guest, was out of memory.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace {

char chunk[1 << 20];

int Fail(const char* what) {
  std::perror(what);
  return 1;
}

int WriteFile(const char* path, off_t wanted) {
  const int fd = open(path, O_RDWR | O_CREAT, 0600);
  struct stat now = {};
  if (fd < 0 || fstat(fd, &now) != 0) return Fail(path);
  if (now.st_size > wanted && ftruncate(fd, wanted) != 0) return Fail(path);
  for (off_t at = now.st_size; at < wanted;) {
    const off_t left = wanted - at;
    const size_t part = left < static_cast<off_t>(sizeof(chunk))
                            ? static_cast<size_t>(left)
                            : sizeof(chunk);
    const ssize_t written = pwrite(fd, chunk, part, at);
    if (written <= 0) return Fail(path);
    at += written;
  }
  return 0;
}

// What a dead process wrote to a tmpfs stays there: without this the kernel
// would go on with the others of the container.
int BeFirstToBeKilled() {
  const int fd = open("/proc/self/oom_score_adj", O_WRONLY);
  if (fd < 0 || write(fd, "1000", 4) != 4) return Fail("oom_score_adj");
  return close(fd);
}

int TakeMemory() {
  while (true) {
    void* memory = mmap(nullptr, sizeof(chunk), PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) return Fail("mmap");
  }
}

// The number after `key` (an empty one: the first) in a file of the cgroup.
long long CgroupNumber(const char* file, const char* key) {
  FILE* text = std::fopen(file, "r");
  char line[256];
  long long number = -1;
  while (text != nullptr && std::fgets(line, sizeof(line), text) != nullptr) {
    if (std::strncmp(line, key, std::strlen(key)) != 0) continue;
    number = std::atoll(line + std::strlen(key));
    break;
  }
  if (text != nullptr) std::fclose(text);
  return number;
}

// `file`: null for anonymous memory.
int FillWithoutEnd(const char* file) {
  if (BeFirstToBeKilled() != 0) return 1;
  return file == nullptr ? TakeMemory()
                         : WriteFile(file, std::numeric_limits<off_t>::max());
}

int WatchOver(pid_t filler, const char* file) {
  int status = 0;
  if (filler < 0 || waitpid(filler, &status, 0) != filler) return Fail("fork");
  if (!WIFSIGNALED(status)) return 1;
  // Reporting takes memory too.
  if (file != nullptr && truncate(file, 0) != 0) return Fail(file);
  // "oom " counts where the limit of the cgroup was reached.
  std::printf("%d %lld %lld\n", WTERMSIG(status),
              CgroupNumber("/sys/fs/cgroup/memory.peak", ""),
              CgroupNumber("/sys/fs/cgroup/memory.events", "oom "));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::memset(chunk, 0x5a, sizeof(chunk));
  if (argc < 2) {
    while (true) pause();
  }
  if (std::strcmp(argv[1], "--without-end") == 0) {
    const pid_t filler = fork();
    return filler == 0 ? FillWithoutEnd(argv[2]) : WatchOver(filler, argv[2]);
  }
  return argc < 3 ? 2 : WriteFile(argv[1], std::atoll(argv[2]));
}
