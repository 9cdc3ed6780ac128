#include "lamina_image_shim.h"
