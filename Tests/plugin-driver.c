/// plugin-driver PLUGIN KIND [CYCLES [LIMIT]]: on two threads makes a context, loads the plugin,
/// loads a model of one layer of the kind, runs it and releases all, again and again.
///
/// Prints the bytes of memory in use after a tenth of the cycles and after all. The exit status is
/// 1 when a call fails, a result is not the first one, or memory grows by more than LIMIT bytes.
#include <lamina/lamina.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ELEMENTS = 2 * 3 * 8 * 8 };

static const char *plugin;
static char model_file[2048];
static size_t model_size;

/// A Lamina model file without parameters: the length of a header of JSON, and the header.
static void write_model(const char *kind) {
  char *header = model_file + 8;
  const int length = snprintf(
      header, sizeof model_file - 8,
      "{\"__metadata__\":{\"lamina.format\":\"1\",\"lamina.graph\":\"{\\\"format\\\":"
      "\\\"lamina.graph\\\",\\\"version\\\":1,\\\"name\\\":\\\"one\\\",\\\"inputs\\\":[{"
      "\\\"name\\\":\\\"input\\\",\\\"type\\\":\\\"float32\\\",\\\"shape\\\":[\\\"batch\\\",3,8,8]}"
      "],\\\"nodes\\\":[{\\\"name\\\":\\\"layer\\\",\\\"kind\\\":\\\"%s\\\",\\\"inputs\\\":["
      "\\\"input\\\"]}],\\\"outputs\\\":[{\\\"name\\\":\\\"output\\\",\\\"value\\\":"
      "\\\"layer\\\"}]}\"}}",
      kind);
  for (int i = 0; i < 8; i++) model_file[i] = (char)((uint64_t)length >> 8 * i);
  model_size = 8 + (size_t)length;
}

static lamina_status cycle(float *result, lamina_error *error) {
  float input[ELEMENTS];
  for (int i = 0; i < ELEMENTS; i++) input[i] = (float)(i % 31 - 15) / 5;
  lamina_context_options options = LAMINA_CONTEXT_OPTIONS_INIT;
  options.threads = 2;
  lamina_context context = 0;
  lamina_model model = 0;
  lamina_session session = 0;
  lamina_tensor given = {.data = input,
                         .byte_count = sizeof input,
                         .type = LAMINA_FLOAT32,
                         .rank = 4,
                         .shape = {2, 3, 8, 8}};
  lamina_tensor wanted = {.data = result, .byte_count = ELEMENTS * sizeof *result};
  lamina_status status = lamina_context_create(&options, &context, error);
  if (!status) status = lamina_context_load_plugin(context, plugin, error);
  if (!status) status = lamina_model_load_memory(context, model_file, model_size, &model, error);
  if (!status) status = lamina_session_create(model, NULL, &session, error);
  for (int run = 0; run < 3 && !status; run++) {
    status = lamina_session_run(session, &given, 1, &wanted, 1, error);
  }
  lamina_context_release(context);
  lamina_model_release(model);
  lamina_session_release(session);
  return status;
}

static float expected[ELEMENTS];

static void *cycles(void *count) {
  for (long i = 0; i < *(long *)count; i++) {
    lamina_error error = LAMINA_ERROR_INIT;
    float result[ELEMENTS];
    if (cycle(result, &error)) {
      fprintf(stderr, "plugin-driver: %s\n", error.message);
      exit(1);
    }
    if (memcmp(result, expected, sizeof result)) {
      fprintf(stderr, "plugin-driver: expected the first result again, found another\n");
      exit(1);
    }
  }
  return NULL;
}

static void run(long count) {
  pthread_t other;
  long half = count / 2;
  pthread_create(&other, NULL, cycles, &half);
  long rest = count - half;
  cycles(&rest);
  pthread_join(other, NULL);
}

static long resident_bytes(void) {
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  if (!file || fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
  if (file) fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: plugin-driver PLUGIN KIND [CYCLES [LIMIT]]\n");
    return 2;
  }
  plugin = argv[1];
  write_model(argv[2]);
  const long count = argc > 3 ? atol(argv[3]) : 1000;
  const long limit = argc > 4 ? atol(argv[4]) : 0;
  lamina_error error = LAMINA_ERROR_INIT;
  if (cycle(expected, &error)) {
    fprintf(stderr, "plugin-driver: %s\n", error.message);
    return 1;
  }
  run(count / 10);
  const long before = resident_bytes();
  run(count - count / 10);
  const long after = resident_bytes();
  printf("%ld bytes after %ld cycles, %ld after %ld\n", before, count / 10, after, count);
  return limit && after - before > limit ? 1 : 0;
}
