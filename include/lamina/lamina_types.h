/// @file
/// What the interfaces of Lamina share: status, errors and the numbers of element types. Included
/// by `lamina.h` and `lamina_plugin.h`.
#ifndef LAMINA_LAMINA_TYPES_H
#define LAMINA_LAMINA_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// -- Status and errors ---------------------------------------------------------------------------

/// Outcome of a call: `LAMINA_OK` or one of the errors below, whose numbers never change.
typedef int32_t lamina_status;

enum {
  LAMINA_OK = 0,
  /// A parameter makes no sense.
  LAMINA_ERROR_ARGUMENT = 10,
  /// A handle is wrong, of another type, or released.
  LAMINA_ERROR_HANDLE = 20,
  /// The object is not in a state that allows the call.
  LAMINA_ERROR_STATE = 30,
  /// A shape or element type does not fit.
  LAMINA_ERROR_SHAPE = 40,
  /// The caller's buffer is too short.
  LAMINA_ERROR_BUFFER = 50,
  /// A name, file, model or layer kind does not exist.
  LAMINA_ERROR_NOT_FOUND = 60,
  /// A file or text breaks the rules of its format.
  LAMINA_ERROR_FORMAT = 70,
  /// Well-formed, but not supported.
  LAMINA_ERROR_UNSUPPORTED = 80,
  /// The graph is inconsistent.
  LAMINA_ERROR_GRAPH = 90,
  /// Weights do not fit the model.
  LAMINA_ERROR_WEIGHTS = 100,
  /// A picture is broken or of an unknown kind.
  LAMINA_ERROR_IMAGE = 110,
  /// The operating system refused a read or write.
  LAMINA_ERROR_IO = 120,
  /// Memory or another limit is exhausted.
  LAMINA_ERROR_LIMIT = 130,
  /// The object is in use by another call.
  LAMINA_ERROR_BUSY = 140,
  /// The caller asked to stop.
  LAMINA_ERROR_CANCELLED = 150,
  /// The process was forked while the object was in use.
  LAMINA_ERROR_FORKED = 160,
  /// A bug in Lamina.
  LAMINA_ERROR_INTERNAL = 900
};

/// A failure. The caller owns it and sets `struct_size`; a successful call leaves it alone.
typedef struct lamina_error {
  uint32_t struct_size;
  /// The status the call returned.
  int32_t code;
  /// `where: what was expected and what was found`, one line, cut at a character when it is too
  /// long.
  char message[504];
} lamina_error;

#define LAMINA_ERROR_INIT                                                                          \
  {                                                                                                \
    (uint32_t)sizeof(lamina_error), 0, { 0 }                                                       \
  }

// -- Log -----------------------------------------------------------------------------------------

/// How much a log line matters.
enum { LAMINA_LOG_INFO = 10, LAMINA_LOG_WARNING = 20 };

// -- Tensors -------------------------------------------------------------------------------------

/// The most axes a tensor has.
#define LAMINA_MAX_RANK 8

/// Types of elements. 0 is none of them.
enum {
  LAMINA_FLOAT32 = 1,
  LAMINA_FLOAT16 = 2,
  LAMINA_BFLOAT16 = 3,
  LAMINA_FLOAT64 = 4,
  LAMINA_INT8 = 5,
  LAMINA_INT16 = 6,
  LAMINA_INT32 = 7,
  LAMINA_INT64 = 8,
  LAMINA_UINT8 = 9,
  LAMINA_UINT16 = 10,
  LAMINA_UINT32 = 11,
  LAMINA_UINT64 = 12,
  /// One byte, 0 or 1.
  LAMINA_BOOL = 13
};

// -- Layout of the structs -----------------------------------------------------------------------

/// Fails to compile when a field has moved.
#define LAMINA_ASSERT_OFFSET(type, field, offset)                                                  \
  typedef char type##_##field##_has_moved[offsetof(type, field) == (offset) ? 1 : -1]

LAMINA_ASSERT_OFFSET(lamina_error, code, 4);
LAMINA_ASSERT_OFFSET(lamina_error, message, 8);

#ifdef __cplusplus
}
#endif

#endif
