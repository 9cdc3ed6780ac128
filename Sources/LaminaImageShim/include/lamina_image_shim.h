/// JPEG and PNG decoding, and JPEG encoding, behind functions that return a status. Everything that
/// jumps (setjmp, longjmp, the libraries' error callbacks) stays inside; no function keeps a
/// pointer or holds memory after it returns. All functions may be called from any thread.
#ifndef LAMINA_IMAGE_SHIM_H
#define LAMINA_IMAGE_SHIM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// What became of a call. Every status but `LI_OK` comes with a message.
typedef enum li_status {
  LI_OK = 0,
  /// The data break the rules of their format.
  LI_BROKEN = 1,
  /// The data are well-formed, but of a kind that is not decoded.
  LI_UNSUPPORTED = 2,
  /// A limit of `li_options`, or the system's memory, is exhausted.
  LI_LIMIT = 3,
} li_status;

/// What a picture's header says.
typedef struct li_header {
  /// Extents in pixels, as stored: before any EXIF orientation.
  uint32_t width, height;
  /// Bytes of one row before compression, at least; 0 when the format does not say.
  uint64_t row_bytes;
} li_header;

typedef struct li_options {
  /// Makes the first warning an error.
  bool strict;
  /// Most scans of a JPEG.
  int maximum_scans;
  /// Most bytes for the coefficients of a JPEG.
  long maximum_memory;
} li_options;

/// The text of an error, without the format's name; always terminated.
typedef struct li_message {
  char text[256];
} li_message;

/// Reads the header of the JPEG in `bytes` into `header`.
li_status li_jpeg_header(const uint8_t *bytes, size_t count, li_options options, li_header *header,
                         li_message *message);

/// Decodes the JPEG in `bytes` to RGB. `pixels` has room for `3 * width * height` bytes of the
/// `header` that `li_jpeg_header` gave, and is not fully written when the call fails. CMYK is taken
/// as inverted, as Adobe writes it. `warnings` counts what the library complained about.
li_status li_jpeg_decode(const uint8_t *bytes, size_t count, li_options options, li_header header,
                         uint8_t *pixels, int *warnings, li_message *message);

/// Encodes `3 * width * height` bytes of RGB, with sides in 1..65500, as a baseline JPEG of
/// `quality` in 1..100. `bytes` has room for `capacity` bytes, of which `count` are written; too
/// little room is `LI_LIMIT`, and `count` is then left as it was.
li_status li_jpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int quality,
                         uint8_t *bytes, size_t capacity, size_t *count, li_message *message);

/// Reads the header of the PNG in `bytes` into `header`.
li_status li_png_header(const uint8_t *bytes, size_t count, li_options options, li_header *header,
                        li_message *message);

/// Decodes the PNG in `bytes` to RGB, as `li_jpeg_decode` does. Alpha and tRNS are dropped, 16 bits
/// lose their low byte, gamma and colour profiles are not applied.
li_status li_png_decode(const uint8_t *bytes, size_t count, li_options options, li_header header,
                        uint8_t *pixels, int *warnings, li_message *message);

/// Versions of the picture libraries: of libjpeg as compiled against, of libpng and zlib as
/// running.
const char *li_jpeg_version(void);
const char *li_png_version(void);
const char *li_zlib_version(void);
#endif
