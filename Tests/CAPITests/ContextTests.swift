import CLamina
import LaminaTestSupport
import Testing

@Suite struct ContextTests {
  private func create(
    _ change: (inout lamina_context_options) -> Void
  ) -> Failure? {
    var options = lamina_context_options()
    options.struct_size = UInt32(MemoryLayout<lamina_context_options>.size)
    change(&options)
    var context: lamina_context = 0xA5
    let found = failure { lamina_context_create(&options, &context, $0) }
    if found == nil { lamina_context_release(context) } else { #expect(context == 0xA5) }
    return found
  }

  @Test func threadsHaveARange() {
    for threads in [Int32(0), 1, 3, 256] { #expect(create { $0.threads = threads } == nil) }
    for threads in [-1, 257, Int32.max, .min] {
      #expect(
        create { $0.threads = threads }
          == Failure(LAMINA_ERROR_ARGUMENT, "expected 0...256 threads, found \(threads)"))
    }
  }

  @Test func optionsOfOlderCallersTakeDefaults() {
    for size in [UInt32(4), 8, 16] { #expect(create { $0.struct_size = size } == nil) }
    #expect(
      create {
        $0.struct_size = 4
        $0.threads = -1
      } == nil)
  }

  @Test func aPluginAddsItsLayersOnce() throws {
    let fixture = try Fixture()
    func layers() throws -> [(kind: String, provider: String)] {
      var count = 0
      try succeed { lamina_context_layer_count(fixture.context, &count, $0) }
      return try (0..<count).map { index in
        var info = lamina_layer_info()
        info.struct_size = UInt32(MemoryLayout<lamina_layer_info>.size)
        try succeed { lamina_context_layer_info(fixture.context, index, &info, $0) }
        return (String(cString: info.kind), String(cString: info.provider))
      }
    }
    let before = try layers()
    let path = try PluginBuilder.mish()
    for _ in 0..<2 {
      try succeed { lamina_context_load_plugin(fixture.context, path, $0) }
      let after = try layers()
      #expect(after.count == before.count + 1)
      #expect(after.map(\.kind) == after.map(\.kind).sorted())
      #expect(
        after.filter { $0.provider == "com.example.mish" }.map(\.kind) == ["com.example.mish"])
    }
    #expect(
      failure { lamina_context_load_plugin(fixture.context, fixture.picture, $0) }
        == Failure(
          LAMINA_ERROR_FORMAT,
          "\(fixture.picture): expected a shared library (ELF), found another kind of file"))
    #expect(try layers().count == before.count + 1)
  }

  @Test func aPluginsLayerTakesThePlaceOfLaminasWhenThatIsSaid() throws {
    let fixture = try Fixture()
    let library = try PluginBuilder.fastMish()
    func provider() throws -> String? {
      var count = 0
      try succeed { lamina_context_layer_count(fixture.context, &count, $0) }
      for index in 0..<count {
        var info = lamina_layer_info()
        info.struct_size = UInt32(MemoryLayout<lamina_layer_info>.size)
        try succeed { lamina_context_layer_info(fixture.context, index, &info, $0) }
        if String(cString: info.kind) == "lamina.mish" { return String(cString: info.provider) }
      }
      return nil
    }
    #expect(
      failure { lamina_context_load_plugin(fixture.context, library, $0) }
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "\(library): lamina.mish of 'com.example.mish' is already supplied by 'lamina'"))
    #expect(try provider() == "lamina")
    for _ in 0..<2 {
      try succeed { lamina_context_replace_layers(fixture.context, library, $0) }
      #expect(try provider() == "com.example.mish")
    }
  }

  @Test func contextsComeAndGoWhileAPluginStays() throws {
    let path = try PluginBuilder.mish()
    for _ in 0..<100 {
      var options = lamina_context_options()
      options.struct_size = UInt32(MemoryLayout<lamina_context_options>.size)
      options.threads = 1
      var context: lamina_context = 0
      try succeed { lamina_context_create(&options, &context, $0) }
      try succeed { lamina_context_load_plugin(context, path, $0) }
      lamina_context_release(context)
    }
  }

  @Test func sizesThatAreNoneAreArguments() {
    for size in [UInt32(0), 3, 4097, .max] {
      #expect(
        create { $0.struct_size = size }
          == Failure(
            LAMINA_ERROR_ARGUMENT,
            "options: expected struct_size to be the size of the struct, found \(size)"))
    }
  }

  @Test func unknownFieldsOfNewerCallersMustBeZero() {
    struct Newer {
      var known = lamina_context_options()
      var unknown: (UInt64, UInt64) = (0, 0)
    }
    var newer = Newer()
    newer.known.struct_size = UInt32(MemoryLayout<Newer>.size)
    func create() -> Failure? {
      withUnsafeMutablePointer(to: &newer) { pointer in
        pointer.withMemoryRebound(to: lamina_context_options.self, capacity: 1) { options in
          var context: lamina_context = 0
          let found = failure { lamina_context_create(options, &context, $0) }
          lamina_context_release(context)
          return found
        }
      }
    }
    #expect(create() == nil)
    newer.unknown.1 = 1 << 56
    #expect(
      create()
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "options: expected 0 in the fields behind byte \(MemoryLayout<lamina_context_options>.size), which this library does not know"
        ))
  }

  @Test func limitsBoundFilesAndPictures() throws {
    let fixture = try Fixture()
    var limits = lamina_limits()
    limits.struct_size = UInt32(MemoryLayout<lamina_limits>.size)
    limits.weight_file_bytes = 100
    limits.image_pixels = 783
    var options = lamina_context_options()
    options.struct_size = UInt32(MemoryLayout<lamina_context_options>.size)
    var context: lamina_context = 0
    try withUnsafePointer(to: limits) { pointer in
      options.limits = pointer
      try succeed { lamina_context_create(&options, &context, $0) }
    }
    defer { lamina_context_release(context) }
    var handle: UInt64 = 0
    #expect(
      failure { lamina_model_load(context, fixture.path, &handle, $0) }?.status
        == LAMINA_ERROR_LIMIT)
    #expect(
      failure { lamina_image_load(context, fixture.picture, &handle, $0) }?.status
        == LAMINA_ERROR_LIMIT)
    #expect(
      failure { lamina_image_create(context, fixture.pixels, 28, 28, 0, &handle, $0) }
        == Failure(LAMINA_ERROR_LIMIT, "expected at most 783 pixels, found 28 x 28"))
    limits.reserved = 1
    withUnsafePointer(to: limits) { pointer in
      #expect(
        create { $0.limits = pointer }
          == Failure(LAMINA_ERROR_ARGUMENT, "limits.reserved: expected 0, found 1"))
    }
  }

  @Test func layersAreListedInOrder() throws {
    let fixture = try Fixture()
    var count = 0
    try succeed { lamina_context_layer_count(fixture.context, &count, $0) }
    var kinds: [String] = []
    for index in 0..<count {
      var info = lamina_layer_info()
      info.struct_size = UInt32(MemoryLayout<lamina_layer_info>.size)
      try succeed { lamina_context_layer_info(fixture.context, index, &info, $0) }
      #expect(String(cString: info.provider) == "lamina")
      #expect(info.version >= 1)
      kinds.append(String(cString: info.kind))
      if kinds.last == "lamina.conv2d" { #expect(info.minimum_inputs == 1) }
      if kinds.last == "lamina.concat" { #expect(UInt(bitPattern: info.maximum_inputs) == .max) }
    }
    #expect(kinds == kinds.sorted())
    #expect(kinds.contains("lamina.conv2d"))
    for index in [count, -1, Int.max] {
      var info = lamina_layer_info()
      info.struct_size = UInt32(MemoryLayout<lamina_layer_info>.size)
      #expect(
        failure { lamina_context_layer_info(fixture.context, index, &info, $0) }
          == Failure(
            LAMINA_ERROR_ARGUMENT,
            "index: expected an index below \(count), found \(UInt(bitPattern: index))"))
    }
  }

  @Test func factsStayWithinTheCallersStruct() throws {
    let fixture = try Fixture()
    for size in [UInt32(4), 8, 9, 40, 56, 57, 64] {
      let memory = Guarded<(lamina_model_info, UInt64)>()
      memory.bytes.storeBytes(of: size, as: UInt32.self)
      let info = UnsafeMutableRawPointer(memory.pointer).assumingMemoryBound(
        to: lamina_model_info.self)
      try succeed { lamina_model_get_info(fixture.model, info, $0) }
      #expect(info.pointee.struct_size == size)
      #expect(memory.isUntouched(from: Int(size)))
      if size > 56 { #expect(memory.bytes[56..<Int(size)].allSatisfy { $0 == 0 }) }
      if size >= 40 { #expect(info.pointee.label_count == 10) }
    }
    var info = lamina_model_info()
    #expect(
      failure { lamina_model_get_info(fixture.model, &info, $0) }
        == Failure(
          LAMINA_ERROR_ARGUMENT, "info: expected struct_size to be the size of the struct, found 0"
        ))
  }

  /// What a log was called with, and a context for it to use.
  final class Log {
    var lines: [(Int32, String)] = []
    var context: lamina_context = 0
  }

  @Test func theLogMayCallBackAndReleaseItsContext() throws {
    let fixture = try Fixture()
    let log = Log()
    var options = lamina_context_options()
    options.struct_size = UInt32(MemoryLayout<lamina_context_options>.size)
    options.log_user = Unmanaged.passUnretained(log).toOpaque()
    options.log = { user, level, message in
      guard let user, let message else { return }
      let log = Unmanaged<Log>.fromOpaque(user).takeUnretainedValue()
      log.lines.append((level, String(cString: message)))
      var count = 0
      #expect(lamina_context_layer_count(log.context, &count, nil) == LAMINA_OK)
      lamina_context_release(log.context)
    }
    var context: lamina_context = 0
    try succeed { lamina_context_create(&options, &context, $0) }
    log.context = context
    var model: lamina_model = 0
    try succeed { lamina_model_load(context, fixture.path, &model, $0) }
    defer { lamina_model_release(model) }
    #expect(log.lines.map(\.0) == [Int32(LAMINA_LOG_INFO)])
    #expect(log.lines.map(\.1) == ["loaded mnist_cnn, 13 nodes"])
    var info = lamina_model_info()
    info.struct_size = UInt32(MemoryLayout<lamina_model_info>.size)
    try succeed { lamina_model_get_info(model, &info, $0) }
    withExtendedLifetime(log) {}
  }
}
