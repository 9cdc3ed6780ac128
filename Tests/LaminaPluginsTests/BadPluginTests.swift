import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// A plugin that is wrong in one way, and what is said of it.
private struct BadPlugin: Sendable, CustomTestStringConvertible {
  var testDescription: String
  /// C behind `template`, which defines everything that is not defined before.
  var source = ""
  var flags: [String] = []
  var code = LaminaError.Code.format
  var message: String

  init(
    _ name: String, _ source: String = "", flags: [String] = [],
    code: LaminaError.Code = .format, _ message: String
  ) {
    testDescription = name
    self.source = source
    self.flags = flags
    self.code = code
    self.message = message
  }
}

private let template = """

  #ifndef MAJOR
  #define MAJOR LAMINA_PLUGIN_ABI_MAJOR
  #endif
  #ifndef MINOR
  #define MINOR 0
  #endif
  #ifndef SIZE
  #define SIZE sizeof(lamina_plugin)
  #endif
  #ifndef CLASS_SIZE
  #define CLASS_SIZE sizeof(lamina_layer_class)
  #endif
  #ifndef ID
  #define ID "com.example.bad"
  #endif
  #ifndef KIND
  #define KIND "com.example.identity"
  #endif
  #ifndef COUNT
  #define COUNT 1
  #endif
  #ifndef ENTRY
  #define ENTRY return &plugin;
  #endif
  #ifndef SLOTS
  #define SLOTS
  #endif
  static lamina_status create(const lamina_layer_class *c, const lamina_attributes *a, void **l,
                              lamina_error *e) { return 0; }
  static lamina_status forward(const lamina_layer_class *c, const void *l,
                               const lamina_forward_call *call, lamina_error *e) { return 0; }
  static const lamina_layer_class layer = {
      .struct_size = CLASS_SIZE, .kind = KIND, .kind_version = 1, .minimum_inputs = 1,
      .maximum_inputs = 1, .create = create, .forward = forward, SLOTS};
  #ifndef CLASSES
  #define CLASSES {&layer, &layer}
  #endif
  #ifndef LIST
  #define LIST classes
  #endif
  #ifndef VERSION
  #define VERSION "1.0.0"
  #endif
  static const lamina_layer_class *const classes[] = CLASSES;
  static const lamina_plugin plugin = {
      .struct_size = SIZE, .abi_major = MAJOR, .abi_minor_required = MINOR, .id = ID,
      .version = VERSION, .vendor = "Example", .class_count = COUNT, .classes = LIST};
  #ifndef NO_ENTRY
  const lamina_plugin *lamina_plugin_entry(const lamina_host *host, lamina_error *error) { ENTRY }
  #endif
  """

private let heading =
  "#include \"lamina/lamina_plugin.h\"\n#include <stdlib.h>\n#include <string.h>\n#include <unistd.h>\n"

private func build(_ source: String, flags: [String] = [], in folder: String) throws -> String {
  let file = "\(folder)/plugin.c"
  try (heading + source + template).write(toFile: file, atomically: true, encoding: .utf8)
  let library = "\(folder)/plugin.so"
  try PluginBuilder.build(file, to: library, flags: flags)
  return library
}

private func load(_ path: String, in folder: String, seconds: Double = 5) throws -> Plugin {
  var options = PluginOptions()
  options.cacheFolder = "\(folder)/cache"
  options.probeSeconds = seconds
  return try Plugin.load(path: path, options: options)
}

private let badPlugins: [BadPlugin] = [
  BadPlugin(
    "no entry", "#define NO_ENTRY\n",
    "expected a function lamina_plugin_entry, found none: no plugin"),
  BadPlugin(
    "NULL", "#define ENTRY return NULL;\n", "lamina_plugin_entry returned NULL and gave no reason"),
  BadPlugin(
    "NULL with a reason",
    "#define ENTRY strcpy(error->message, \"no licence\"); error->code = 30; return NULL;\n",
    code: .state, "no licence"),
  BadPlugin(
    "another major", "#define MAJOR 2\n", code: .unsupported,
    "expected a plugin for interface 1, found one for interface 2"),
  BadPlugin(
    "major 0", "#define MAJOR 0\n", code: .unsupported,
    "expected a plugin for interface 1, found one for interface 0"),
  BadPlugin(
    "a later minor", "#define MINOR 7\n", code: .unsupported,
    "expected a plugin for interface 1.0 or older, found one that needs 1.7"),
  BadPlugin(
    "size 0", "#define SIZE 0\n", "expected struct_size of lamina_plugin in 16...4096, found 0"),
  BadPlugin(
    "size of a part", "#define SIZE 48\n",
    "expected struct_size of lamina_plugin in 56...4096, found 48"),
  BadPlugin(
    "a huge size", "#define SIZE 5000\n",
    "expected struct_size of lamina_plugin in 16...4096, found 5000"),
  BadPlugin("no id", "#define ID NULL\n", "expected a text as id, found NULL"),
  BadPlugin(
    "an id without domain", "#define ID \"mish\"\n",
    "expected id to be a name such as 'com.example.mish', found 'mish'"),
  BadPlugin("not UTF-8", "#define ID \"\\xff.a\"\n", "expected 1 to 255 bytes of UTF-8 as id"),
  BadPlugin(
    "no layers", "#define COUNT 0\n", "expected 1 to 4096 layer classes, found 0"),
  BadPlugin(
    "2^31 layers", "#define COUNT 2147483648u\n",
    "expected 1 to 4096 layer classes, found 2147483648"),
  BadPlugin(
    "a kind twice", "#define COUNT 2\n", "two layer classes are 'com.example.identity'"),
  BadPlugin("an empty kind", "#define KIND \"\"\n", "expected 1 to 255 bytes of UTF-8 as kind"),
  BadPlugin(
    "no version", "#define VERSION NULL\n", "expected a text as version, found NULL"),
  BadPlugin("no list of classes", "#define LIST NULL\n", "expected 1 layer classes, found NULL"),
  BadPlugin(
    "a class that is NULL", "#define CLASSES {NULL}\n",
    "expected a layer class at 0, found NULL"),
  BadPlugin(
    "a kind of 1 MB",
    "static char kind[1 << 20];\n#define KIND kind\n#define ENTRY memset(kind, 'a', sizeof kind - 1); "
      + "return &plugin;\n", "expected 1 to 255 bytes of UTF-8 as kind"),
  BadPlugin(
    "a kind that is not UTF-8", "#define KIND \"com.\\xc3\\x28\"\n",
    "expected 1 to 255 bytes of UTF-8 as kind"),
  BadPlugin(
    "a kind with capitals", "#define KIND \"com.example.Identity\"\n",
    "expected kind to be a name such as 'com.example.mish', found 'com.example.Identity'"),
  BadPlugin("no create", "#define SLOTS .create = NULL\n", "expected create, found NULL"),
  BadPlugin(
    "an attribute without name",
    "static const char *const names[] = {\"\", NULL};\n#define SLOTS .attribute_names = names\n",
    "expected 1 to 255 bytes of UTF-8 as the name of an attribute"),
  BadPlugin(
    "attribute names without end",
    "static const char *const names[100] = {[0 ... 99] = \"size\"};\n"
      + "#define SLOTS .attribute_names = names\n",
    "expected at most 64 attribute names and a NULL behind them"),
  BadPlugin(
    "a class that is too short", "#define CLASS_SIZE 64\n",
    "expected struct_size of lamina_layer_class in 96...4096, found 64"),
  BadPlugin(
    "no forward", "#define SLOTS .forward = NULL\n", "expected forward, found NULL"),
  BadPlugin(
    "version 0", "#define SLOTS .kind_version = 0\n",
    "expected kind_version of 1 or more, found 0"),
  BadPlugin(
    "inputs", "#define SLOTS .minimum_inputs = 3\n",
    "expected minimum_inputs of at most 1, found 3"),
  BadPlugin(
    "crash in a constructor",
    "#include <signal.h>\n__attribute__((constructor)) static void start(void) { raise(SIGSEGV); }\n",
    code: .unsupported,
    "ended by signal 11 (segmentation fault) when it was loaded by a process of its own"),
  BadPlugin(
    "abort", "#define ENTRY abort();\n", code: .unsupported,
    "ended by signal 6 (abort) when it was loaded by a process of its own"),
  BadPlugin(
    "exit", "#define ENTRY exit(0);\n", code: .unsupported,
    "ended the process with status 0 when it was loaded by a process of its own"),
  BadPlugin(
    "_exit", "#define ENTRY _exit(7);\n", code: .unsupported,
    "ended the process with status 7 when it was loaded by a process of its own"),
  BadPlugin(
    "an instruction that there is not", "#define ENTRY __builtin_trap();\n", code: .unsupported,
    "ended by signal 4 (illegal instruction) when it was loaded by a process of its own"),
  BadPlugin(
    "no end of recursion",
    "static int deep(volatile char *p) { volatile char q[4096]; q[0] = *p; return deep(q) + q[0]; }\n"
      + "#define ENTRY char c = 0; return deep(&c) ? NULL : &plugin;\n",
    flags: ["-fno-optimize-sibling-calls"], code: .unsupported,
    "ended by signal 11 (segmentation fault) when it was loaded by a process of its own"),
  BadPlugin(
    "10 GB",
    "#define ENTRY for (int i = 0; i < 10; i++) memset(malloc(1 << 30), 0, 1); return &plugin;\n",
    flags: ["-fno-builtin"], code: .unsupported,
    "ended by signal 11 (segmentation fault) when it was loaded by a process of its own"),
  BadPlugin(
    "ends itself", "#include <signal.h>\n#define ENTRY kill(getpid(), SIGKILL); return &plugin;\n",
    code: .unsupported, "ended by signal 9 when it was loaded by a process of its own"),
  BadPlugin(
    "closes all files",
    "#define ENTRY for (int i = 0; i < 1024; i++) close(i); return &plugin;\n", code: .unsupported,
    "ended the process with status 0 when it was loaded by a process of its own"),
  BadPlugin(
    "entry is data", "#define NO_ENTRY\nconst int lamina_plugin_entry_data = 1;\n",
    flags: ["-Wl,--defsym=lamina_plugin_entry=lamina_plugin_entry_data"], code: .unsupported,
    "ended by signal 11 (segmentation fault) when it was loaded by a process of its own"),
  BadPlugin(
    "sleep", "#define ENTRY for (;;) sleep(1);\n", code: .unsupported,
    "took longer than 1 s when it was loaded by a process of its own"),
  BadPlugin(
    "sleep in a child, signals ignored",
    "#include <signal.h>\n#define ENTRY signal(SIGTERM, SIG_IGN); if (fork()) _exit(3); for (;;) sleep(1);\n",
    code: .unsupported,
    "took longer than 1 s when it was loaded by a process of its own"),
  BadPlugin(
    "unresolved symbol", "void missing(void);\n#define ENTRY missing(); return &plugin;\n",
    "the system does not load it: undefined symbol: missing"),
]

@Suite struct BadPluginTests {
  @Test func thereAreMany() { #expect(badPlugins.count >= 40) }

  @Test(arguments: badPlugins) private func isRefusedWithASentence(_ plugin: BadPlugin) throws {
    try withTemporaryFolder { folder in
      let library = try build(plugin.source, flags: plugin.flags, in: folder)
      expectError(plugin.code, plugin.message, path: library) {
        try load(library, in: folder, seconds: plugin.message.contains("1 s") ? 1 : 5)
      }
    }
  }

  @Test func filesThatAreNoLibraries() throws {
    try withTemporaryFolder { folder in
      let good = FileManager.default.contents(atPath: try PluginBuilder.mish()) ?? Data()
      func check(
        _ data: Data, _ message: String, sourceLocation: SourceLocation = #_sourceLocation
      ) throws {
        let path = "\(folder)/\(UUID().uuidString).so"
        try data.write(to: URL(filePath: path))
        expectError(.format, message, path: path, sourceLocation: sourceLocation) {
          try load(path, in: folder)
        }
      }
      try check(Data(), "expected a shared library, found an empty file")
      try check(Data("text".utf8), "expected a shared library (ELF), found another kind of file")
      try check(good.prefix(40), "expected an ELF header of 64 bytes, found 40")
      try check(good.prefix(100), "the list of segments lies outside the file")
      var other = good
      other[4] = 1
      try check(other, "expected a 64-bit little-endian library, found one of another kind")
      other = good
      other[18] = 40
      other[19] = 0
      #if arch(x86_64)
        try check(other, "expected a library for x86-64 (machine 62), found machine 40")
      #endif
      expectError(.notFound, "no such file") { try load("\(folder)/none.so", in: folder) }
      expectError(.argument, "expected a regular file, found a directory") {
        try load(folder, in: folder)
      }
    }
  }

  @Test func truncatedLibrariesNeverLoad() throws {
    try withTemporaryFolder { folder in
      let good = FileManager.default.contents(atPath: try PluginBuilder.mish()) ?? Data()
      for length in stride(from: 64, to: good.count / 2, by: 997) {
        let path = "\(folder)/\(length).so"
        try good.prefix(length).write(to: URL(filePath: path))
        #expect(throws: LaminaError.self) { try load(path, in: folder) }
      }
    }
  }

  @Test func othersMayNotWriteIt() throws {
    try withTemporaryFolder { folder in
      let library = try build("", in: folder)
      chmod(library, 0o777)
      expectError(.argument, "expected a file that others may not write", path: library) {
        try load(library, in: folder)
      }
    }
  }

  @Test func quarantineHoldsUntilTheFileChanges() throws {
    try withTemporaryFolder { folder in
      let library = try build("#define ENTRY abort();\n", in: folder)
      #expect(throws: LaminaError.self) { try load(library, in: folder) }
      expectError(
        .unsupported,
        "in quarantine since it ended by signal 6 (abort) when it was loaded; "
          + "'lamina plugin retry' loads it again"
      ) { try load(library, in: folder) }
      _ = try build("", in: folder)
      #expect(try load(library, in: folder).id == "com.example.bad")
    }
  }

  @Test func theEnvironmentListsAbsolutePaths() throws {
    expectError(.argument, "expected an absolute path without '..'", path: "mish.so") {
      try Plugin.load(list: "mish.so")
    }
    expectError(.argument, "expected an absolute path without '..'", path: "/tmp/../x.so") {
      try Plugin.load(list: "/tmp/../x.so")
    }
  }

  @Test func builtInKindsAreTaken() throws {
    try withTemporaryFolder { folder in
      let plugin = try load(build("#define KIND \"lamina.relu\"\n", in: folder), in: folder)
      expectError(
        .argument, "lamina.relu of 'com.example.bad' is already supplied by 'lamina'"
      ) { try LayerRegistry.standard.adding(plugin) }
      let replaced = try LayerRegistry.standard.adding(plugin, replacing: true)
      #expect(try replaced.definition(of: "lamina.relu").provider == "com.example.bad")
    }
  }

  /// The plugin's relu gives 7, so that it shows where it runs.
  @Test func aLayerInThePlaceOfLaminasRunsAndIsNotFused() throws {
    try withTemporaryFolder { folder in
      let source = """
        static lamina_status seven(const lamina_layer_class *c, const void *l,
                                   const lamina_forward_call *call, lamina_error *e) {
          size_t count = 1;
          for (int a = 0; a < call->outputs[0].rank; a++) count *= call->outputs[0].shape[a];
          for (size_t i = 0; i < count; i++) ((float *)call->outputs[0].data)[i] = 7;
          return 0;
        }
        #define KIND "lamina.relu"
        #define SLOTS .forward = seven

        """
      let plugin = try load(build(source, in: folder), in: folder)
      let path = "\(folder)/model.safetensors"
      var builder = GraphBuilder(
        name: "fast", registry: try LayerRegistry.standard.adding(plugin, replacing: true))
      let input = try builder.input("input", [.batch, 3, 8, 8])
      let maps = try builder.add(
        "lamina.conv2d", "conv", input, attributes: ["out_channels": 8, "kernel_size": [3, 3]])
      try builder.output(builder.add("lamina.relu", "relu", maps), name: "output")
      try ModelFile.save(
        Model(initializing: builder.graph, seed: 1, registry: builder.registry), to: path)
      let sample = try Tensor(random: [1, 3, 8, 8], seed: 3)
      for level in OptimizationLevel.allCases {
        var options = SessionOptions()
        options.optimization = level
        for (registry, isPlugins) in [(builder.registry, true), (.standard, false)] {
          let model = try ModelFile.load(path: path, registry: registry)
          let output = try Session(model: model, options: options).run([sample])[0]
          let sevens: [Float] = output.elements().filter { $0 == 7 }
          #expect((sevens.count == output.shape.count) == isPlugins)
        }
      }
    }
  }

  /// The interface as a later header may have it: another slot at the end of each table.
  @Test func aPluginOfALaterHeaderThatCanLiveWithThisHostLoads() throws {
    try withTemporaryFolder { folder in
      try FileManager.default.createDirectory(
        atPath: "\(folder)/lamina", withIntermediateDirectories: false)
      for name in ["lamina_plugin.h", "lamina_types.h"] {
        var text = try String(
          contentsOfFile: "\(packageRoot)/include/lamina/\(name)", encoding: .utf8)
        text.replace("#define LAMINA_PLUGIN_ABI_MINOR 0", with: "#define LAMINA_PLUGIN_ABI_MINOR 7")
        text.replace(
          "const char *id);\n};", with: "const char *id);\n  void (*later)(void);\n};")
        try text.write(toFile: "\(folder)/lamina/\(name)", atomically: true, encoding: .utf8)
      }
      let later = """
        static void later(void) {}
        #define SLOTS .later = later
        #define COUNT 1, .later = later
        _Static_assert(LAMINA_PLUGIN_ABI_MINOR == 7, "another header");

        """
      expectError(
        .unsupported,
        "expected a plugin for interface 1.0 or older, found one that needs 1.7"
      ) {
        try load(build(later + "#define MINOR LAMINA_PLUGIN_ABI_MINOR\n", in: folder), in: folder)
      }
      let plugin = try load(build(later, in: folder), in: folder)
      #expect(plugin.interface.minor == 0)
      #expect(plugin.layers.map(\.kind) == ["com.example.identity"])
      let layer = try LayerRegistry.standard.adding(plugin)
        .makeLayer("com.example.identity", [:]).layer
      #expect(try layer.outputs(for: [TensorSpec([2, 3])]) == [TensorSpec([2, 3])])
    }
  }

  @Test func aLibraryThatNeedsAnotherWhichIsGone() throws {
    try withTemporaryFolder { folder in
      try "int gone(void) { return 1; }\n".write(
        toFile: "\(folder)/gone.c", atomically: true, encoding: .utf8)
      try PluginBuilder.build("\(folder)/gone.c", to: "\(folder)/libgone.so")
      let library = try build(
        "int gone(void);\n#define ENTRY return gone() ? &plugin : NULL;\n",
        flags: ["-L\(folder)", "-lgone"], in: folder)
      try FileManager.default.removeItem(atPath: "\(folder)/libgone.so")
      expectError(
        .format,
        "the system does not load it: libgone.so: cannot open shared object file: "
          + "No such file or directory", path: library
      ) { try load(library, in: folder) }
    }
  }

  @Test func namesThatOthersHaveStayThePluginsOwn() throws {
    try withTemporaryFolder { folder in
      let source = """
        int lamina_session_run(void) { abort(); }
        int lamina_plugin_name(void) { abort(); }
        void *swift_allocObject(void) { abort(); }

        """
      let plugin = try load(build(source, in: folder), in: folder)
      #expect(plugin.id == "com.example.bad")
      let outputs = try Session(model: small()).run([Tensor(zeros: [1, 3])])
      #expect(outputs.map(\.shape) == [[1, 3]])
    }
  }

  private func small() throws -> Model {
    var builder = GraphBuilder(name: "small", registry: .standard)
    let input = try builder.input("input", [1, 3])
    try builder.output(builder.add("lamina.relu", "act", input))
    return try Model(initializing: builder.graph, registry: .standard)
  }

  @Test func linksLeadToOnePlugin() throws {
    try withTemporaryFolder { folder in
      let library = try build("", in: folder)
      try FileManager.default.createSymbolicLink(
        atPath: "\(folder)/link.so", withDestinationPath: library)
      let (plugin, linked) = (
        try load(library, in: folder), try load("\(folder)/link.so", in: folder)
      )
      #expect(plugin === linked)
      try FileManager.default.linkItem(atPath: library, toPath: "\(folder)/hard.so")
      let other = try load("\(folder)/hard.so", in: folder)
      expectError(
        .argument,
        "com.example.identity of 'com.example.bad' is already supplied by 'com.example.bad'",
        path: other.path
      ) { try LayerRegistry.standard.adding([plugin, other]) }
    }
  }

  @Test func aLoadedFileMayBeReplacedOrRemoved() throws {
    try withTemporaryFolder { folder in
      let library = try build("#define KIND \"com.example.first\"\n", in: folder)
      let first = try load(library, in: folder)
      try FileManager.default.removeItem(atPath: library)
      let registry = try LayerRegistry.standard.adding(first)
      #expect(try registry.makeLayer("com.example.first", [:]).layer.outputCount == 1)
      _ = try build("#define KIND \"com.example.second\"\n", in: folder)
      expectError(
        .state, "another file was loaded from this path; a new process loads the one there now",
        path: library
      ) { try load(library, in: folder) }
    }
  }

  @Test func aTableShorterByItsLastSlotWorks() throws {
    try withTemporaryFolder { folder in
      let library = try build(
        "#define CLASS_SIZE offsetof(lamina_layer_class, get_extension)\n", in: folder)
      #expect(try load(library, in: folder).layers.map(\.kind) == ["com.example.identity"])
    }
  }

  @Test(arguments: [
    (
      "i->outputs[0].rank = 9;",
      "expected infer_shapes of plugin 'com.example.bad': output 0 to have at most 8 axes, found 9"
    ),
    (
      "i->outputs[0].shape[0] = -1;",
      "infer_shapes of plugin 'com.example.bad': output 0: "
        + "expected extents in 0...2147483647, found -1 in [-1, 3]"
    ),
    (
      "i->outputs[0].shape[0] = i->outputs[0].shape[1] = 2147483647;",
      "infer_shapes of plugin 'com.example.bad': output 0: "
        + "expected at most 2^40 elements, found [2147483647, 2147483647]"
    ),
    (
      "i->outputs[0].type = 77;",
      "infer_shapes of plugin 'com.example.bad': output 0 has element type 77, which there is not"
    ),
    (
      "i->forward_scratch = -1;",
      "infer_shapes of plugin 'com.example.bad': "
        + "expected forward_scratch of at most 1099511627776 bytes, found 18446744073709551615"
    ),
    (
      "return 12345;",
      "infer_shapes of plugin 'com.example.bad' returned status 12345, which there is not"
    ),
    (
      "return LAMINA_ERROR_SHAPE;", "infer_shapes of plugin 'com.example.bad' gave no reason"
    ),
  ])
  func shapesAreChecked(body: String, message: String) throws {
    try withTemporaryFolder { folder in
      let source = """
        static lamina_status infer(const lamina_layer_class *c, const void *l, lamina_inference *i,
                                   lamina_error *e) { \(body) return 0; }
        #define SLOTS .infer_shapes = infer

        """
      let plugin = try load(build(source, in: folder), in: folder)
      let registry = try LayerRegistry.standard.adding(plugin)
      let layer = try registry.makeLayer("com.example.identity", [:]).layer
      do {
        _ = try layer.outputs(for: [TensorSpec([2, 3])])
        Issue.record("expected '\(message)', found none")
      } catch let error as LaminaError {
        #expect(error.message == message)
      }
    }
  }
}
