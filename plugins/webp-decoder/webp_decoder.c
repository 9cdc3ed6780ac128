/// A plugin of Lamina that decodes WebP pictures with libwebp, through the extension
/// `lamina.image-decoder/1`. It has no layers.
#include "lamina/lamina_plugin.h"

#include <stdio.h>
#include <string.h>
#include <webp/decode.h>

static lamina_status fail(lamina_error *error, lamina_status status, const char *message) {
  snprintf(error->message, sizeof error->message, "%s", message);
  error->code = status;
  return status;
}

static int32_t recognizes(const lamina_image_decoder *decoder, const uint8_t *bytes, size_t size) {
  (void)decoder;
  return size >= 12 && memcmp(bytes, "RIFF", 4) == 0 && memcmp(bytes + 8, "WEBP", 4) == 0;
}

static lamina_status read_size(const lamina_image_decoder *decoder, const uint8_t *bytes,
                               size_t size, uint32_t *width, uint32_t *height,
                               lamina_error *error) {
  (void)decoder;
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(bytes, size, &features) != VP8_STATUS_OK) {
    return fail(error, LAMINA_ERROR_IMAGE, "broken WebP: expected a header, found none");
  }
  if (features.has_animation) {
    return fail(error, LAMINA_ERROR_UNSUPPORTED, "WebP: expected a picture, found an animation");
  }
  *width = (uint32_t)features.width;
  *height = (uint32_t)features.height;
  return LAMINA_OK;
}

/// Alpha is dropped and the colour beneath it stays, as Lamina does with PNG.
static lamina_status decode(const lamina_image_decoder *decoder, const uint8_t *bytes, size_t size,
                            lamina_decoded_image *image, lamina_error *error) {
  (void)decoder;
  int width = 0, height = 0;
  uint8_t *pixels = WebPDecodeRGB(bytes, size, &width, &height);
  if (!pixels) {
    return fail(error, LAMINA_ERROR_IMAGE, "broken WebP: the data end early or make no sense");
  }
  image->channels = 3;
  image->width = (uint32_t)width;
  image->height = (uint32_t)height;
  image->pixels = pixels;
  image->row_bytes = 3 * (size_t)width;
  image->owner = pixels;
  return LAMINA_OK;
}

static void release(const lamina_image_decoder *decoder, lamina_decoded_image *image) {
  (void)decoder;
  WebPFree(image->owner);
}

static const char *const suffixes[] = {".webp", NULL};

static const lamina_image_decoder webp = {
    .struct_size = sizeof(lamina_image_decoder),
    .name = "WebP",
    .suffixes = suffixes,
    .recognizes = recognizes,
    .read_size = read_size,
    .decode = decode,
    .release = release,
};

static const void *get_extension(const lamina_plugin *plugin, const char *id) {
  (void)plugin;
  return strcmp(id, LAMINA_EXTENSION_IMAGE_DECODER) == 0 ? &webp : NULL;
}

static const lamina_plugin plugin = {
    .struct_size = sizeof(lamina_plugin),
    .abi_major = LAMINA_PLUGIN_ABI_MAJOR,
    .abi_minor_required = 0,
    .id = "com.example.webp-decoder",
    .version = "1.0.0",
    .vendor = "Example",
    .get_extension = get_extension,
};

const lamina_plugin *lamina_plugin_entry(const lamina_host *host, lamina_error *error) {
  (void)host, (void)error;
  return &plugin;
}
