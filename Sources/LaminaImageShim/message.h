#ifndef LI_MESSAGE_H
#define LI_MESSAGE_H
#include "lamina_image_shim.h"

#include <ctype.h>
#include <stdio.h>

/// Copies a library's text, the first word in lower case unless it is a name such as `IHDR`.
static inline void li_set_message(li_message *message, const char *text) {
  snprintf(message->text, sizeof message->text, "%s", text);
  if (text[0] != 0 && !isupper((unsigned char)text[1]))
    message->text[0] = (char)tolower((unsigned char)text[0]);
}
#endif
