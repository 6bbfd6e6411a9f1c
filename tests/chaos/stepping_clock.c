/* Moves the wall clock of one process by what a file says, in seconds; monotonic time runs on.

   A wait that ends at a time of the wall clock ends as the kernel would have it: it lasts longer
   where the clock is set back meanwhile. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>

static const volatile long long *offset_of_file(void)
{
    static const volatile long long *offset;
    static const long long none;
    if (!offset) {
        const char *path = getenv("STEPPING_CLOCK");
        int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
        offset = page == MAP_FAILED ? &none : page;
    }
    return offset;
}

int clock_gettime(clockid_t clock, struct timespec *result)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, result);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        result->tv_sec += *offset_of_file();
    return failed;
}

int gettimeofday(struct timeval *restrict result, void *restrict zone)
{
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    result->tv_sec = now.tv_sec;
    result->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (result)
        *result = now.tv_sec;
    return now.tv_sec;
}

enum { A_WALL_CLOCK = 1000000000, SLICE = 20000000, SECOND = 1000000000 };

static int is_before(const struct timespec *one, const struct timespec *other)
{
    return one->tv_sec != other->tv_sec ? one->tv_sec < other->tv_sec
                                        : one->tv_nsec < other->tv_nsec;
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *until)
{
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real)
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))dlsym(
            RTLD_NEXT, "pthread_cond_timedwait");
    if (until->tv_sec < A_WALL_CLOCK) /* since the machine was started */
        return real(condition, mutex, until);
    for (;;) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        if (!is_before(&now, until))
            return ETIMEDOUT;
        struct timespec slice = now;
        slice.tv_nsec += SLICE;
        if (slice.tv_nsec >= SECOND) {
            slice.tv_nsec -= SECOND;
            slice.tv_sec += 1;
        }
        if (is_before(until, &slice))
            slice = *until;
        slice.tv_sec -= *offset_of_file();
        int result = real(condition, mutex, &slice);
        if (result != ETIMEDOUT)
            return result;
    }
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict until)
{
    /* In glibc they are those of POSIX under another name. */
    int result =
        pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return result == 0 ? thrd_success : result == ETIMEDOUT ? thrd_timedout : thrd_error;
}
