#include "lamina_image_shim.h"

#include <stdio.h>

#include <jpeglib.h>
#include <png.h>
#include <zlib.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

#ifdef LIBJPEG_TURBO_VERSION
const char *li_jpeg_version(void) { return TEXT(LIBJPEG_TURBO_VERSION); }
#else
const char *li_jpeg_version(void) { return TEXT(JPEG_LIB_VERSION); }
#endif

const char *li_png_version(void) { return png_get_libpng_ver(NULL); }

const char *li_zlib_version(void) { return zlibVersion(); }
