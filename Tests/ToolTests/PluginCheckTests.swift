import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// A layer y = 2x that is right unless a macro says otherwise.
private let template = """
  #ifndef CREATE
  #define CREATE
  #endif
  #ifndef NAMES
  #define NAMES (names)
  #endif
  #ifndef INFER
  #define INFER
  #endif
  #ifndef BEFORE
  #define BEFORE
  #endif
  #ifndef BEHIND
  #define BEHIND
  #endif
  #ifndef LIST
  #define LIST *count = 0; return 0;
  #endif
  #ifndef GRADIENT
  #define GRADIENT dx[i] += 2 * dy[i]
  #endif
  #ifndef EXTENSION
  #define EXTENSION return NULL;
  #endif
  #ifndef ENTRY
  #define ENTRY return &plugin;
  #endif
  static const lamina_host *host;
  static lamina_status fail(lamina_error *e, const char *text) {
    strcpy(e->message, text);
    return e->code = LAMINA_ERROR_SHAPE;
  }
  static lamina_status create(const lamina_layer_class *c, const lamina_attributes *a, void **l,
                              lamina_error *e) {
    int64_t size = 1;
    lamina_status status = host->attribute_int(a, "size", &size, e);
    if (status) return status;
    CREATE
    return 0;
  }
  static lamina_status infer(const lamina_layer_class *c, const void *l, lamina_inference *i,
                             lamina_error *e) {
    if (i->inputs[0].type != LAMINA_FLOAT32) return fail(e, "expected float32");
    INFER
    return 0;
  }
  static lamina_status list(const lamina_layer_class *c, const void *l,
                            const lamina_plugin_tensor *x, size_t n, lamina_parameter *p,
                            size_t capacity, size_t *count, lamina_error *e) { LIST }
  static size_t size_of(const lamina_plugin_tensor *t) {
    size_t n = 1;
    for (int a = 0; a < t->rank; a++) n *= t->shape[a];
    return n;
  }
  static lamina_status forward(const lamina_layer_class *c, const void *l,
                               const lamina_forward_call *call, lamina_error *e) {
    float *x = call->inputs[0].data, *y = call->outputs[0].data;
    size_t n = size_of(&call->inputs[0]);
    BEFORE
    for (size_t i = 0; i < n; i++) y[i] = 2 * x[i];
    BEHIND
    return 0;
  }
  static lamina_status backward(const lamina_layer_class *c, const void *l,
                                const lamina_backward_call *call, lamina_error *e) {
    float *dx = call->input_gradients[0].data;
    const float *dy = call->output_gradients[0].data;
    if (!dx || !dy) return 0;
    for (size_t i = 0; i < size_of(&call->inputs[0]); i++) GRADIENT;
    return 0;
  }
  static const void *extension(const lamina_layer_class *c, const char *id) { EXTENSION }
  static const char *const names[] = {"size", NULL};
  static lamina_layer_class layer = {
      .struct_size = sizeof(lamina_layer_class), .kind = "com.example.twice", .kind_version = 1,
      .minimum_inputs = 1, .maximum_inputs = 1, .attribute_names = NAMES, .create = create,
      .infer_shapes = infer, .list_parameters = list, .forward = forward, .backward = backward,
      .get_extension = extension};
  static const lamina_layer_class *const classes[] = {&layer};
  static const lamina_plugin plugin = {
      .struct_size = sizeof(lamina_plugin), .abi_major = LAMINA_PLUGIN_ABI_MAJOR,
      .id = "com.example.bad", .version = "1.0.0", .vendor = "Example", .class_count = 1,
      .classes = classes};
  const lamina_plugin *lamina_plugin_entry(const lamina_host *h, lamina_error *error) {
    host = h;
    ENTRY
  }
  """

private let heading = """
  #include "lamina/lamina_plugin.h"
  #include <fenv.h>
  #include <locale.h>
  #include <math.h>
  #include <pthread.h>
  #include <signal.h>
  #include <stdlib.h>
  #include <string.h>
  #include <unistd.h>

  """

/// What is wrong with a plugin, the case that finds it, and how the sentence begins.
private struct Flaw: Sendable, CustomTestStringConvertible {
  var source: String
  var name: String
  var sentence: String
  var options = ""

  init(_ source: String, _ name: String, _ sentence: String, _ options: String = "") {
    self.source = source
    self.name = name
    self.sentence = sentence
    self.options = options
  }

  var testDescription: String { "\(name): \(source)" }
}

private let crash = "ended by signal 11 (segmentation fault)"

private let flaws: [Flaw] = [
  Flaw("#define ENTRY abort();", "load", "ended by signal 6 (abort)"),
  Flaw(
    "#define ENTRY return NULL;", "load", "lamina_plugin_entry returned NULL and gave no reason"),
  Flaw(
    "#define ENTRY lamina_plugin *p = malloc(sizeof plugin); *p = plugin; return p;", "entry-twice",
    "lamina_plugin_entry returns another table"),
  Flaw(
    "#define ENTRY if (h->abi_minor > 0) return NULL; return &plugin;", "entry-newer-host",
    "expected a host of interface 1.9 to do"),
  Flaw(
    "#define ENTRY chdir(\"/\"); return &plugin;", "entry-leaves-process",
    "loading the plugin changes the working directory"),
  Flaw(
    "static void *run(void *p) { for (;;) sleep(1); }\n"
      + "#define ENTRY pthread_t t; pthread_create(&t, 0, run, 0); return &plugin;",
    "entry-leaves-process", "loading the plugin changes the number of threads"),
  Flaw("#define EXTENSION return id;", "extension-unknown", "expected get_extension of"),
  Flaw("#define CREATE return 12345;", "create", "expected a layer of the attributes {}, found"),
  Flaw(
    "#define CREATE for (int i = 0; i < 10; i++) *(volatile char *)malloc(1 << 30) = 1;", "create",
    crash),
  Flaw(
    "#define NAMES NULL", "create-unknown-attribute", "expected an unknown attribute to be refused"
  ),
  Flaw(
    "static const char *const none[] = {\"nothing\", NULL};\n#define NAMES none",
    "create-wrong-types", "expected attribute 'nothing' to be of one type"),
  Flaw(
    "#define CREATE if (size < -1) raise(SIGFPE);", "create-extremes",
    "ended by signal 8 (arithmetic fault)"),
  Flaw("#define CREATE *l = malloc(100);", "create-memory", "expected create and destroy to free"),
  Flaw(
    "#define INFER i->outputs[0].rank = 9;", "shapes",
    "expected infer_shapes of plugin 'com.example.bad': output 0 to have at most 8 axes"),
  Flaw(
    "static int calls;\n#define INFER i->multiply_adds = calls++;", "shapes-twice",
    "expected the same of inputs"),
  Flaw(
    "#define INFER if (i->struct_size != sizeof *i) return fail(e, \"expected another host\");",
    "shapes-newer-host", "expected infer_shapes to do with a longer lamina_inference"),
  Flaw("#define INFER exit(0);", "shapes", "ended the process with status 0"),
  Flaw(
    "#define INFER if (i->inputs[0].rank < 2) { e->message[0] = 0; return LAMINA_ERROR_SHAPE; }",
    "errors", "expected a text that ends with NUL as an error"),
  Flaw(
    "#define INFER if (i->inputs[0].rank < 2) { memset(e->message, 'x', 600); return 40; }",
    "errors", "infer_shapes writes before or behind the error"),
  Flaw(
    "#define INFER if (i->inputs[0].rank < 2) return fail(e, \"two\\nlines\");", "shapes-ranks",
    "expected one line of UTF-8 as an error"),
  Flaw(
    "#define LIST for (int i = 0; i < 2; i++) p[i] = (lamina_parameter){.name = i ? \"a\" : \"b\", "
      + ".role = 1, .initializer = 1, .type = 1}; *count = 2; return 0;",
    "parameters-capacity", "list_parameters writes more than the 0"),
  Flaw(
    "static int calls;\n#define LIST p[0] = (lamina_parameter){.name = \"a\", .role = 1, "
      + ".initializer = 1, .type = 1, .rank = 1, .shape = {++calls}}; *count = 1; return 0;",
    "parameters-twice", "expected the same parameters each time"),
  Flaw(
    "#define BEHIND y[n] = 0;", "forward-guards", "forward of inputs float32 [2, 3, 4, 5] writes"),
  Flaw(
    "#define BEHIND y[-1] = 0;", "forward-guards", "forward of inputs float32 [2, 3, 4, 5] writes"),
  Flaw("#define BEHIND x[0] = 0;", "forward-inputs", "forward changes input 0"),
  Flaw("#define BEFORE n--;", "forward-writes-all", "expected every element to be written"),
  Flaw("#define BEFORE raise(SIGSEGV);", "forward-twice", crash),
  Flaw("#define BEFORE for (;;) sleep(1);", "forward-twice", "took longer than 1 s", "--seconds 1"),
  Flaw(
    "static int calls;\n#define BEHIND y[0] = calls++;", "forward-twice",
    "expected the same result each time"),
  Flaw("volatile float sum;\n#define BEHIND sum = x[n];", "forward-unaligned", crash),
  Flaw(
    "#define BEHIND y[0] = host->thread_count(call->threads);", "forward-threads",
    "expected the same on 1 and on 2 threads"),
  Flaw(
    "static float shared;\n#define BEFORE shared = x[0];\n"
      + "#define BEHIND usleep(500); y[0] = shared++;",
    "forward-concurrent", "expected the same when several threads run one layer"),
  Flaw(
    "#define BEFORE while (n && isnan(x[0])) sleep(1);", "forward-nan", "took longer than 1 s",
    "--seconds 1"),
  Flaw(
    "#define BEFORE if (n && isinf(x[0])) abort();", "forward-infinity", "ended by signal 6 (abort)"
  ),
  Flaw(
    "static float *kept;\n#define BEHIND if (kept) y[0] += 0 * kept[0]; kept = x;",
    "forward-keeps-nothing", crash),
  Flaw(
    "#define BEHIND fesetround(FE_UPWARD);", "forward-leaves-process",
    "forward changes the rounding of numbers"),
  Flaw(
    "#define BEHIND signal(SIGINT, SIG_IGN);", "forward-leaves-process",
    "forward changes the handler of signal 2"),
  Flaw(
    "#define BEHIND *(volatile char *)malloc(1024) = 1;", "forward-memory",
    "expected forward to free what it takes"),
  Flaw(
    "#define GRADIENT dx[i] += 3 * dy[i]", "gradient-inputs",
    "expected the gradient of input 0 of inputs float32 [2, 3, 4, 5] at element 0"),
  Flaw(
    "#define GRADIENT dx[i] = 2 * dy[i]", "backward-adds",
    "expected backward to add to the gradient of input 0"),
  Flaw("#define GRADIENT dx[i + 1] += 2 * dy[i]", "backward-guards", "backward writes"),
]

@Suite struct PluginCheckTests {
  /// Runs a line of shell beside a plugin `plugin.so` of this source.
  private func check(
    _ source: String?, _ line: String, environment: [String: String] = [:]
  ) throws -> Outcome {
    let folder = try TemporaryFolder()
    if let source {
      let text = heading + source + "\n" + template
      _ = try folder.file("plugin.c", Array(text.utf8))
      try PluginBuilder.build(folder.path("plugin.c"), to: folder.path("plugin.so"))
    } else {
      try FileManager.default.copyItem(
        atPath: PluginBuilder.mish(), toPath: folder.path("plugin.so"))
    }
    return try Tool.shell(line, in: folder.url, environment: environment)
  }

  @Test func theSamplePassesAllCases() throws {
    let outcome = try check(nil, "lamina plugin check plugin.so --json")
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    let report = try JSON.parse(text: outcome.output)
    #expect(report["plugin"]?.string == "com.example.mish")
    #expect(report["seed"]?.int == 1)
    #expect(report["failed"]?.int == 0)
    #expect((report["passed"]?.int ?? 0) >= 45)
    #expect((report["seconds"]?.double ?? 60) < 60)
    let cases = try #require(report["cases"]?.array)
    #expect(cases.count == PluginCheck.caseNames.count)
    #expect(cases.map { $0["case"]?.string } == PluginCheck.caseNames)
    let ofClass = cases.filter { $0["kind"]?.string == "com.example.mish" }
    #expect(ofClass.filter { $0["outcome"]?.string == "passed" }.count >= 40)
    #expect(
      ofClass.filter { $0["outcome"]?.string == "skipped" }.map { $0["message"]?.string }
        .allSatisfy { $0?.isEmpty == false })
  }

  @Test func aLineForEachCaseAndASummary() throws {
    let outcome = try check(
      "#define BEFORE n--;",
      "lamina plugin check plugin.so --case forward-writes-all --seed 5 --input 3,5 "
        + "--attributes '{\"size\": 2}'")
    let lines = outcome.output.split(separator: "\n").map(String.init)
    #expect(lines.count == 6)
    #expect(lines.first == "plugin.so")
    #expect(lines.dropFirst().first == "  passed   load")
    #expect(lines.dropFirst(2).first == "com.example.twice")
    #expect(
      lines.dropFirst(3).first?.hasPrefix(
        "  FAILED   forward-writes-all: expected every element to be written, whatever was in memory "
          + "before: output 0 of inputs float32 [3, 5] differs at element 14: ") == true)
    #expect(
      lines.dropFirst(4).first
        == "           again: lamina plugin check 'plugin.so' --case forward-writes-all --seed 5 "
        + "--attributes '{\"size\": 2}' --input 3,5")
    #expect(lines.last?.hasPrefix("2 cases in ") == true)
    #expect(lines.last?.hasSuffix(" s, seed 5: 1 passed, 1 failed, 0 skipped") == true)
    #expect(outcome.status == 1)
    #expect(outcome.errors == "")
  }

  @Test(arguments: flaws) private func flawsAreFound(_ flaw: Flaw) throws {
    let outcome = try check(
      flaw.source, "lamina plugin check plugin.so --json --case \(flaw.name) \(flaw.options)")
    #expect(outcome.status == 1, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.errors == "")
    let report = try JSON.parse(text: outcome.output)
    #expect(report["failed"]?.int == 1)
    let last = try #require(report["cases"]?.array?.last)
    #expect(last["case"]?.string == flaw.name)
    #expect(last["outcome"]?.string == "failed")
    let message = last["message"]?.string ?? ""
    #expect(message.contains(flaw.sentence), "\(message)")
  }

  @Test func aPluginThatCrashesEverywhereIsTriedToTheEnd() throws {
    let outcome = try check(
      "#define CREATE raise(SIGSEGV);", "lamina plugin check plugin.so --json")
    #expect(outcome.status == 1)
    #expect(outcome.errors == "")
    let report = try JSON.parse(text: outcome.output)
    #expect(report["cases"]?.array?.count == PluginCheck.caseNames.count)
    #expect((report["failed"]?.int ?? 0) > 30)
  }

  @Test func whatMakesNoSense() throws {
    func errors(_ line: String, _ status: Int32) throws -> String {
      let outcome = try check(nil, line)
      #expect(outcome.status == status)
      return outcome.errors
    }
    #expect(
      try errors("lamina plugin check plugin.so --case forward-twic", 3)
        == "lamina plugin: unknown case 'forward-twic', nearest is 'forward-twice'\n")
    #expect(
      try errors("lamina plugin check none.so", 3) == "lamina plugin: none.so: no such file\n")
    #expect(
      try errors("lamina plugin check plugin.so --input 3x5", 2)
        == "lamina plugin: expected '--input' as 1,8,16,16, found '3x5'; see 'lamina plugin --help'\n"
    )
    #expect(
      try errors("lamina plugin check", 2)
        == "lamina plugin: expected check FILE, found only 'check'; see 'lamina plugin --help'\n")
    #expect(
      try errors("lamina plugin list --seed 3", 2)
        == "lamina plugin: 'list' takes no option '--seed'; see 'lamina plugin --help'\n")
  }

  // MARK: - New plugins

  @Test func aNewCPluginBuildsAndPasses() throws {
    let folder = try TemporaryFolder()
    let environment = ["INCLUDE": "-I\(packageRoot)/include"]
    let made = try Tool.shell("lamina plugin new --language c soft-edge_2", in: folder.url)
    #expect(
      made.output == """
        wrote soft-edge_2/soft-edge_2.c
        wrote soft-edge_2/Makefile
        wrote soft-edge_2/README.md
        next: cd soft-edge_2 && make check

        """)
    #expect(made.status == 0)
    let outcome = try Tool.shell(
      "cd soft-edge_2 && make check CFLAGS='-O2 -Werror'", in: folder.url, environment: environment)
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("com.example.soft-edge_2\n"))
    #expect(outcome.output.contains(" 0 failed, "))
    #expect(outcome.errors == "")
  }

  @Test func aNewSwiftPluginCompilesAndPasses() throws {
    let folder = try TemporaryFolder()
    let made = try Tool.shell(
      "lamina plugin new soft-edge --language swift --package '\(packageRoot)'", in: folder.url)
    #expect(made.status == 0)
    let package = try String(
      contentsOfFile: folder.path("soft-edge/Package.swift"), encoding: .utf8)
    #expect(package.contains("path: \"\(packageRoot)\""))
    #expect(package.contains("name: \"SoftEdgePlugin\""))
    try buildSwiftPlugin("soft-edge", "SoftEdgePlugin", in: folder)
    let outcome = try Tool.shell("lamina plugin check soft-edge/soft-edge.so", in: folder.url)
    #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    #expect(outcome.output.contains("com.example.soft-edge\n"))
    #expect(outcome.output.contains(" 0 failed, "))
  }

  @Test func newPluginsHaveNamesAndFoldersOfTheirOwn() throws {
    let folder = try TemporaryFolder()
    func errors(_ words: String, _ status: Int32) throws -> String {
      let outcome = try Tool.shell("lamina plugin new \(words)", in: folder.url)
      #expect(outcome.status == status)
      #expect(outcome.output == "")
      return outcome.errors
    }
    for name in ["Mish", "1mish", "a/b", "a.b", "mish-", "a b", String(repeating: "a", count: 41)] {
      #expect(
        try errors("'\(name)'", 3)
          == "lamina plugin: expected a name of at most 40 lower-case letters, digits, '_' and '-' that "
          + "begins with a letter, found '\(name)'\n")
    }
    #expect(try Tool.shell("lamina plugin new taken", in: folder.url).status == 0)
    #expect(
      try errors("taken", 3)
        == "lamina plugin: taken: expected a new folder, found that there is one\n")
    #expect(
      try errors("other -o no/such/folder", 3)
        == "lamina plugin: no/such/folder: no such file or directory\n")
    #expect(
      try errors("other --language rust", 2)
        == "lamina plugin: expected '--language' c or swift, found 'rust'; see 'lamina plugin --help'\n"
    )
    #expect(
      try errors("", 2)
        == "lamina plugin: expected new NAME, found only 'new'; see 'lamina plugin --help'\n")
    #expect(try folder.names == ["taken"])
  }
}
