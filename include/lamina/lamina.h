#ifndef LAMINA_H
#define LAMINA_H
#endif
