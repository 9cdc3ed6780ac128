#ifndef ALLOCATION_COUNTER_H
#define ALLOCATION_COUNTER_H
/// Calls of malloc and its relatives by the calling thread since it started. Always 0 where the C library is
/// not glibc and under sanitizers, which have a malloc of their own.
unsigned long allocation_count_of_this_thread(void);
#endif
