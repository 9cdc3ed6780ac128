#include "lamina_image_shim.h"
#include "message.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct png_reader {
  png_structp png;
  png_infop info;
  const uint8_t *bytes;
  size_t count, offset;
  li_options options;
  li_header *header;
  uint8_t *pixels;
  int warnings;
  bool out_of_memory;
  li_status status;
  li_message *message;
} png_reader;

static _Noreturn void on_error(png_structp png, png_const_charp text) {
  png_reader *reader = png_get_error_ptr(png);
  reader->status = reader->out_of_memory ? LI_LIMIT : LI_BROKEN;
  li_set_message(reader->message, text);
  png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
  png_reader *reader = png_get_error_ptr(png);
  reader->warnings++;
  if (reader->options.strict) on_error(png, text);
}

static png_voidp allocate(png_structp png, png_alloc_size_t count) {
  png_reader *reader = png_get_mem_ptr(png);
  void *memory = malloc(count);
  if (memory == NULL) reader->out_of_memory = true;
  return memory;
}

static void release(png_structp png, png_voidp memory) {
  (void)png;
  free(memory);
}

static void read_bytes(png_structp png, png_bytep target, size_t count) {
  png_reader *reader = png_get_io_ptr(png);
  if (count > reader->count - reader->offset) png_error(png, "premature end of PNG data");
  memcpy(target, reader->bytes + reader->offset, count);
  reader->offset += count;
}

static void read_header(png_reader *reader) {
  png_structp png = reader->png;
  png_set_read_fn(png, reader, read_bytes);
  png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
  png_set_chunk_cache_max(png, 16);
  png_set_chunk_malloc_max(png, 8 << 20);
  // Chunks that do not change the pixels are stepped over, so that none of them is ever inflated.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "tRNS", 1);
  png_read_info(png, reader->info);
  reader->header->width = png_get_image_width(png, reader->info);
  reader->header->height = png_get_image_height(png, reader->info);
  reader->header->row_bytes = png_get_rowbytes(png, reader->info) + 1;
}

/// Turns the `width` indices at `row` into colours, from the last to the first. Indices behind the
/// palette are black, and a warning: the library only notices some of them.
static void apply_palette(png_reader *reader, uint8_t *row, size_t width) {
  png_colorp palette = NULL;
  int count = 0;
  png_get_PLTE(reader->png, reader->info, &palette, &count);
  bool out_of_range = false;
  for (size_t x = width; x-- > 0;) {
    int index = row[x];
    bool valid = index < count;
    out_of_range |= !valid;
    row[3 * x] = valid ? palette[index].red : 0;
    row[3 * x + 1] = valid ? palette[index].green : 0;
    row[3 * x + 2] = valid ? palette[index].blue : 0;
  }
  if (out_of_range) png_warning(reader->png, "palette index out of range");
}

static void decode(png_reader *reader) {
  png_structp png = reader->png;
  li_header expected = *reader->header;
  read_header(reader);
  if (reader->header->width != expected.width || reader->header->height != expected.height)
    png_error(png, "the header changed while the picture was read");
  int color = png_get_color_type(png, reader->info);
  if (color == PNG_COLOR_TYPE_PALETTE) png_set_packing(png);
  if (color == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(png);
  if (!(color & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png);
  if (color & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(png);
  png_set_strip_16(png);
  int passes = png_set_interlace_handling(png);
  png_read_update_info(png, reader->info);
  size_t row_bytes = (size_t)3 * expected.width;
  size_t expected_bytes = color == PNG_COLOR_TYPE_PALETTE ? expected.width : row_bytes;
  if (png_get_rowbytes(png, reader->info) != expected_bytes) png_error(png, "unexpected row size");
  for (int pass = 0; pass < passes; pass++)
    for (size_t y = 0; y < expected.height; y++)
      png_read_row(png, reader->pixels + y * row_bytes, NULL);
  for (size_t y = 0; color == PNG_COLOR_TYPE_PALETTE && y < expected.height; y++)
    apply_palette(reader, reader->pixels + y * row_bytes, expected.width);
  if (reader->options.strict) png_read_end(png, reader->info);
}

/// Every local that changes between setjmp and longjmp lives in `reader`, in the caller's frame.
static bool guarded(png_reader *reader, void (*body)(png_reader *)) {
  if (setjmp(png_jmpbuf(reader->png))) return false;
  body(reader);
  return true;
}

static li_status run(png_reader *reader, void (*body)(png_reader *)) {
  li_set_message(reader->message, "no memory for a PNG reader");
  reader->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, reader, on_error, on_warning,
                                         reader, allocate, release);
  reader->info = reader->png ? png_create_info_struct(reader->png) : NULL;
  bool ready = reader->info != NULL;
  bool done = ready && guarded(reader, body);
  png_destroy_read_struct(&reader->png, &reader->info, NULL);
  return done ? LI_OK : ready ? reader->status : LI_LIMIT;
}

li_status li_png_header(const uint8_t *bytes, size_t count, li_options options, li_header *header,
                        li_message *message) {
  li_header found;
  png_reader reader = {
      .bytes = bytes, .count = count, .options = options, .header = &found, .message = message};
  li_status status = run(&reader, read_header);
  if (status == LI_OK) *header = found;
  return status;
}

li_status li_png_decode(const uint8_t *bytes, size_t count, li_options options, li_header header,
                        uint8_t *pixels, int *warnings, li_message *message) {
  png_reader reader = {.bytes = bytes,
                       .count = count,
                       .options = options,
                       .header = &header,
                       .pixels = pixels,
                       .message = message};
  li_status status = run(&reader, decode);
  *warnings = reader.warnings;
  return status;
}
