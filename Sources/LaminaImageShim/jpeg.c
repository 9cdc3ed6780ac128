#include "lamina_image_shim.h"
#include "message.h"

#include <setjmp.h>
#include <stdio.h>

#include <jerror.h>
#include <jpeglib.h>

/// `cinfo` comes first: the library's callbacks get its address.
typedef struct jpeg_reader {
  struct jpeg_decompress_struct cinfo;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf escape;
  const uint8_t *bytes;
  size_t count;
  li_options options;
  li_header *header;
  uint8_t *pixels;
  li_status status;
  li_message *message;
} jpeg_reader;

static _Noreturn void escape(jpeg_reader *reader, li_status status) {
  reader->status = status;
  longjmp(reader->escape, 1);
}

static void on_error(j_common_ptr cinfo) {
  jpeg_reader *reader = (jpeg_reader *)cinfo;
  char text[JMSG_LENGTH_MAX];
  cinfo->err->format_message(cinfo, text);
  li_set_message(reader->message, text);
  switch (cinfo->err->msg_code) {
  case JERR_NO_BACKING_STORE:
    snprintf(reader->message->text, sizeof reader->message->text,
             "expected at most %ld bytes of coefficients, found more",
             cinfo->mem->max_memory_to_use);
    escape(reader, LI_LIMIT);
  case JERR_OUT_OF_MEMORY:
    escape(reader, LI_LIMIT);
  case JERR_SOF_UNSUPPORTED:
  case JERR_BAD_PRECISION:
    escape(reader, LI_UNSUPPORTED);
  default:
    escape(reader, LI_BROKEN);
  }
}

static void on_message(j_common_ptr cinfo, int level) {
  if (level >= 0) return;
  cinfo->err->num_warnings++;
  if (((jpeg_reader *)cinfo)->options.strict) on_error(cinfo);
}

static void on_progress(j_common_ptr cinfo) {
  jpeg_reader *reader = (jpeg_reader *)cinfo;
  if (reader->cinfo.input_scan_number <= reader->options.maximum_scans) return;
  snprintf(reader->message->text, sizeof reader->message->text,
           "expected at most %d scans, found more", reader->options.maximum_scans);
  escape(reader, LI_LIMIT);
}

/// Room for the coefficients of a progressive picture (2 bytes a sample, 4 components) twice over,
/// and for markers and tables.
static long memory_limit(uint64_t pixels, long maximum) {
  uint64_t needed = pixels * 16 + (64 << 20);
  return needed < (uint64_t)maximum ? (long)needed : maximum;
}

static void read_header(jpeg_reader *reader) {
  j_decompress_ptr cinfo = &reader->cinfo;
  jpeg_create_decompress(cinfo);
  cinfo->progress = &reader->progress;
  jpeg_mem_src(cinfo, (unsigned char *)reader->bytes, (unsigned long)reader->count);
  jpeg_read_header(cinfo, TRUE);
  int components = cinfo->num_components;
  if (components != 1 && components != 3 && components != 4) {
    snprintf(reader->message->text, sizeof reader->message->text,
             "expected 1, 3 or 4 colour components, found %d", components);
    escape(reader, LI_UNSUPPORTED);
  }
  reader->header->width = cinfo->image_width;
  reader->header->height = cinfo->image_height;
  reader->header->row_bytes = 0;
}

static uint8_t divided_by_255(int product) {
  int rounded = product + 128;
  return (uint8_t)(((rounded >> 8) + rounded) >> 8);
}

/// Inverted CMYK to RGB by Pillow's formula.
static void convert_cmyk(const uint8_t *cmyk, uint8_t *rgb, size_t width) {
  for (size_t x = 0; x < width; x++, cmyk += 4, rgb += 3)
    for (int c = 0; c < 3; c++) rgb[c] = cmyk[3] - divided_by_255((255 - cmyk[c]) * cmyk[3]);
}

static void decode(jpeg_reader *reader) {
  j_decompress_ptr cinfo = &reader->cinfo;
  li_header expected = *reader->header;
  read_header(reader);
  if (cinfo->image_width != expected.width || cinfo->image_height != expected.height) {
    li_set_message(reader->message, "the header changed while the picture was read");
    escape(reader, LI_BROKEN);
  }
  cinfo->mem->max_memory_to_use =
      memory_limit((uint64_t)expected.width * expected.height, reader->options.maximum_memory);
  bool cmyk = cinfo->num_components == 4;
  cinfo->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  jpeg_start_decompress(cinfo);
  size_t width = cinfo->output_width;
  JSAMPARRAY row = NULL;
  if (cmyk)
    row = cinfo->mem->alloc_sarray((j_common_ptr)cinfo, JPOOL_IMAGE, (JDIMENSION)(4 * width), 1);
  while (cinfo->output_scanline < cinfo->output_height) {
    JSAMPROW target = reader->pixels + 3 * width * cinfo->output_scanline;
    jpeg_read_scanlines(cinfo, cmyk ? row : &target, 1);
    if (cmyk) convert_cmyk(row[0], target, width);
  }
  jpeg_finish_decompress(cinfo);
}

/// Every local that changes between setjmp and longjmp lives in `reader`, in the caller's frame.
static bool guarded(jpeg_reader *reader, void (*body)(jpeg_reader *)) {
  if (setjmp(reader->escape)) return false;
  body(reader);
  return true;
}

static li_status run(jpeg_reader *reader, void (*body)(jpeg_reader *)) {
  reader->cinfo.err = jpeg_std_error(&reader->errors);
  reader->errors.error_exit = on_error;
  reader->errors.emit_message = on_message;
  reader->progress.progress_monitor = on_progress;
  bool done = guarded(reader, body);
  jpeg_destroy_decompress(&reader->cinfo);
  return done ? LI_OK : reader->status;
}

li_status li_jpeg_header(const uint8_t *bytes, size_t count, li_options options, li_header *header,
                         li_message *message) {
  li_header found;
  jpeg_reader reader = {
      .bytes = bytes, .count = count, .options = options, .header = &found, .message = message};
  li_status status = run(&reader, read_header);
  if (status == LI_OK) *header = found;
  return status;
}

li_status li_jpeg_decode(const uint8_t *bytes, size_t count, li_options options, li_header header,
                         uint8_t *pixels, int *warnings, li_message *message) {
  jpeg_reader reader = {.bytes = bytes,
                        .count = count,
                        .options = options,
                        .header = &header,
                        .pixels = pixels,
                        .message = message};
  li_status status = run(&reader, decode);
  *warnings = (int)reader.errors.num_warnings;
  return status;
}

/// `cinfo` comes first: the library's callbacks get its address.
typedef struct jpeg_writer {
  struct jpeg_compress_struct cinfo;
  struct jpeg_error_mgr errors;
  struct jpeg_destination_mgr target;
  jmp_buf escape;
  li_status status;
  li_message *message;
} jpeg_writer;

static void on_write_error(j_common_ptr cinfo) {
  jpeg_writer *writer = (jpeg_writer *)cinfo;
  char text[JMSG_LENGTH_MAX];
  cinfo->err->format_message(cinfo, text);
  li_set_message(writer->message, text);
  writer->status = LI_LIMIT;
  longjmp(writer->escape, 1);
}

static void ignore_message(j_common_ptr cinfo, int level) {
  (void)cinfo;
  (void)level;
}

static void begin_target(j_compress_ptr cinfo) { (void)cinfo; }

static boolean target_is_full(j_compress_ptr cinfo) {
  jpeg_writer *writer = (jpeg_writer *)cinfo;
  li_set_message(writer->message, "expected more room for a picture");
  writer->status = LI_LIMIT;
  longjmp(writer->escape, 1);
}

/// Every local that changes between setjmp and longjmp lives in `writer`, in the caller's frame.
static bool encode(jpeg_writer *writer, const uint8_t *pixels, uint32_t width, uint32_t height,
                   int quality) {
  if (setjmp(writer->escape)) return false;
  j_compress_ptr cinfo = &writer->cinfo;
  jpeg_create_compress(cinfo);
  cinfo->dest = &writer->target;
  cinfo->image_width = width;
  cinfo->image_height = height;
  cinfo->input_components = 3;
  cinfo->in_color_space = JCS_RGB;
  jpeg_set_defaults(cinfo);
  jpeg_set_quality(cinfo, quality, TRUE);
  cinfo->optimize_coding = TRUE;
  // Colours keep every pixel: pictures are small.
  cinfo->comp_info[0].h_samp_factor = cinfo->comp_info[0].v_samp_factor = 1;
  jpeg_start_compress(cinfo, TRUE);
  while (cinfo->next_scanline < height) {
    JSAMPROW row = (JSAMPROW)(pixels + (size_t)3 * width * cinfo->next_scanline);
    jpeg_write_scanlines(cinfo, &row, 1);
  }
  jpeg_finish_compress(cinfo);
  return true;
}

li_status li_jpeg_encode(const uint8_t *pixels, uint32_t width, uint32_t height, int quality,
                         uint8_t *bytes, size_t capacity, size_t *count, li_message *message) {
  jpeg_writer writer = {.target = {.next_output_byte = bytes,
                                   .free_in_buffer = capacity,
                                   .init_destination = begin_target,
                                   .empty_output_buffer = target_is_full,
                                   .term_destination = begin_target},
                        .message = message};
  writer.cinfo.err = jpeg_std_error(&writer.errors);
  writer.errors.error_exit = on_write_error;
  writer.errors.emit_message = ignore_message;
  bool done = encode(&writer, pixels, width, height, quality);
  jpeg_destroy_compress(&writer.cinfo);
  if (!done) return writer.status;
  *count = capacity - writer.target.free_in_buffer;
  return LI_OK;
}
