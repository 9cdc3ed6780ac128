#ifdef LK_TARGET_PUSHED
#pragma clang attribute pop
#endif
