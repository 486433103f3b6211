// Preloaded into a process (OtherClock, privileged.h): its time of day is DUNLIN_CLOCK_OFF seconds
// off, its monotonic clock is not. A wait for a time of day would end at once, or an hour late, if
// the kernel were not told the true time of its end: so those are intercepted too, among them the
// system call by which Abseil waits. (libfaketime 0.9.10 does not know that one.) Not intercepted,
// since nobody here uses them: absolute timers, clock_nanosleep with TIMER_ABSTIME, condition
// variables of another clock waited for by pthread_cond_timedwait.
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdlib>

#include <linux/futex.h>

namespace {

using SystemCall = long (*)(long, ...);

// Found anew by whoever needs it: no lock, and nothing allocated, since a sanitizer may still be at
// its start.
SystemCall RealSystemCall() {
  static SystemCall found = nullptr;
  if (found == nullptr) found = reinterpret_cast<SystemCall>(dlsym(RTLD_NEXT, "syscall"));
  return found;
}

time_t SecondsOff() {
  static const char* const text = getenv("DUNLIN_CLOCK_OFF");
  static const time_t seconds = text == nullptr ? 0 : strtol(text, nullptr, 10);
  return seconds;
}

timespec True(const timespec& here) { return {here.tv_sec - SecondsOff(), here.tv_nsec}; }

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const long result = RealSystemCall()(SYS_clock_gettime, clock, now);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
    now->tv_sec += SecondsOff();
  return static_cast<int>(result);
}

int gettimeofday(timeval* __restrict now, void* __restrict) noexcept {
  timespec precise;
  const int result = clock_gettime(CLOCK_REALTIME, &precise);
  *now = {precise.tv_sec, precise.tv_nsec / 1000};
  return result;
}

time_t time(time_t* into) noexcept {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (into != nullptr) *into = now.tv_sec;
  return now.tv_sec;
}

long syscall(long number, ...) noexcept {
  va_list list;
  va_start(list, number);
  long arguments[6];
  for (long& argument : arguments) argument = va_arg(list, long);
  va_end(list);
  timespec end;
  constexpr int kUntil = FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME;  // others take a duration
  if (number == SYS_futex && (arguments[1] & ~FUTEX_PRIVATE_FLAG) == kUntil && arguments[3] != 0) {
    end = True(*reinterpret_cast<const timespec*>(arguments[3]));
    arguments[3] = reinterpret_cast<long>(&end);
  }
  return RealSystemCall()(number, arguments[0], arguments[1], arguments[2], arguments[3],
                          arguments[4], arguments[5]);
}

int pthread_cond_timedwait(pthread_cond_t* __restrict condition, pthread_mutex_t* __restrict mutex,
                           const timespec* __restrict until) {
  const timespec end = True(*until);
  return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &end);
}

int pthread_mutex_timedlock(pthread_mutex_t* __restrict mutex,
                            const timespec* __restrict until) noexcept {
  const timespec end = True(*until);
  return pthread_mutex_clocklock(mutex, CLOCK_REALTIME, &end);
}

int sem_timedwait(sem_t* __restrict semaphore, const timespec* __restrict until) {
  const timespec end = True(*until);
  return sem_clockwait(semaphore, CLOCK_REALTIME, &end);
}

}  // extern "C"
