// What `sabotage.rs` does to a server from inside: this library stands between the server and its C library, and takes
// its orders from a file of numbers that both have mapped. An order of zero is none.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// The places of the numbers; those after COUNTED tell how often each was carried out.
enum { CLOCK, SHORT_WRITES, FAILED_WRITES, FAILED_SYNCS, SHORT_READS, FAILED_READS, CHANGED_READS, ORDERS, COUNTED = 8, CALLS = 16, WORDS = 24 };

static _Atomic int64_t none[WORDS];
static _Atomic int64_t *words = none;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SABOTAGE");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) words = mapped;
    close(file);
}

// Whether this call is the one in so many that the order is about.
static int due(int order) {
    int64_t every = atomic_load(&words[order]);
    if (every <= 0 || atomic_fetch_add(&words[CALLS + order], 1) % every != every - 1) return 0;
    atomic_fetch_add(&words[COUNTED + order], 1);
    return 1;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int clock_gettime(clockid_t clock, struct timespec *at) {
    REAL(clock_gettime);
    int result = real(clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec += atomic_load(&words[CLOCK]);
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    REAL(gettimeofday);
    int result = real(at, zone);
    if (result == 0) at->tv_sec += atomic_load(&words[CLOCK]);
    return result;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

#define WRITE(name, offset_type) \
    ssize_t name(int file, const void *bytes, size_t length, offset_type at) { \
        REAL(name); \
        if (due(FAILED_WRITES)) { \
            if (length > 1) real(file, bytes, length / 2, at); \
            errno = ENOSPC; \
            return -1; \
        } \
        if (length > 1 && due(SHORT_WRITES)) length /= 2; \
        return real(file, bytes, length, at); \
    }
WRITE(pwrite, off_t)
WRITE(pwrite64, off64_t)

#define READ(name, offset_type) \
    ssize_t name(int file, void *bytes, size_t length, offset_type at) { \
        REAL(name); \
        if (due(FAILED_READS)) { \
            errno = EIO; \
            return -1; \
        } \
        if (length > 1 && due(SHORT_READS)) length /= 2; \
        ssize_t count = real(file, bytes, length, at); \
        if (count > 0 && due(CHANGED_READS)) { \
            uint64_t chance = (uint64_t)atomic_load(&words[COUNTED + CHANGED_READS]) * 0x9e3779b97f4a7c15u; \
            ((unsigned char *)bytes)[(chance >> 8) % (uint64_t)count] ^= (unsigned char)(1u << (chance & 7)); \
        } \
        return count; \
    }
READ(pread, off_t)
READ(pread64, off64_t)

#define SYNC(name) \
    int name(int file) { \
        REAL(name); \
        if (due(FAILED_SYNCS)) { \
            errno = EIO; \
            return -1; \
        } \
        return real(file); \
    }
SYNC(fsync)
SYNC(fdatasync)
