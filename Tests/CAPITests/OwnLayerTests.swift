import CLamina
import LaminaTestSupport
import Testing

/// The layer `com.example.shift`, y = x + offset, as a program's own plugin of the given id.
private func makeTables(_ id: StaticString) -> UnsafePointer<lamina_plugin> {
  func text(_ text: StaticString) -> UnsafePointer<CChar> {
    UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
  }
  let names = UnsafeMutablePointer<UnsafePointer<CChar>?>.allocate(capacity: 2)
  names.initialize(to: text("offset"))
  (names + 1).initialize(to: nil)
  var layerClass = lamina_layer_class()
  layerClass.struct_size = UInt32(MemoryLayout<lamina_layer_class>.size)
  layerClass.flags = UInt32(LAMINA_LAYER_BATCHWISE)
  layerClass.kind = text("com.example.shift")
  layerClass.kind_version = 1
  layerClass.minimum_inputs = 1
  layerClass.maximum_inputs = 1
  layerClass.attribute_names = UnsafePointer(names)
  layerClass.create = { _, attributes, layer, error in
    var offset = 1.0
    guard let host = ownHost?.pointee, let read = host.attribute_float else {
      return lamina_status(LAMINA_ERROR_INTERNAL)
    }
    let status = read(attributes, "offset", &offset, error)
    guard status == LAMINA_OK else { return status }
    let place = UnsafeMutablePointer<Double>.allocate(capacity: 1)
    place.initialize(to: offset)
    layer?.pointee = UnsafeMutableRawPointer(place)
    return lamina_status(LAMINA_OK)
  }
  layerClass.destroy = { _, layer in layer?.deallocate() }
  layerClass.forward = { _, layer, call, _ in
    guard let call = call?.pointee, let layer else { return lamina_status(LAMINA_ERROR_INTERNAL) }
    let offset = Float(layer.load(as: Double.self))
    let (x, y) = (elements(call.inputs[0]), elements(call.outputs[0]))
    for index in x.indices { y[index] = x[index] + offset }
    return lamina_status(LAMINA_OK)
  }
  layerClass.backward = { _, _, call, _ in
    guard let call = call?.pointee, call.input_gradients[0].data != nil,
      call.output_gradients[0].data != nil
    else { return lamina_status(LAMINA_OK) }
    let (dx, dy) = (elements(call.input_gradients[0]), elements(call.output_gradients[0]))
    for index in dx.indices { dx[index] += dy[index] }
    return lamina_status(LAMINA_OK)
  }
  let place = UnsafeMutablePointer<lamina_layer_class>.allocate(capacity: 1)
  place.initialize(to: layerClass)
  let classes = UnsafeMutablePointer<UnsafePointer<lamina_layer_class>?>.allocate(capacity: 1)
  classes.initialize(to: UnsafePointer(place))
  var plugin = lamina_plugin()
  plugin.struct_size = UInt32(MemoryLayout<lamina_plugin>.size)
  plugin.abi_major = UInt32(LAMINA_PLUGIN_ABI_MAJOR)
  plugin.id = text(id)
  plugin.version = text("1.0.0")
  plugin.vendor = text("Example")
  plugin.class_count = 1
  plugin.classes = UnsafePointer(classes)
  let table = UnsafeMutablePointer<lamina_plugin>.allocate(capacity: 1)
  table.initialize(to: plugin)
  return UnsafePointer(table)
}

private func elements(_ tensor: lamina_plugin_tensor) -> UnsafeMutableBufferPointer<Float> {
  var count = 1
  withUnsafeBytes(of: tensor.shape) { bytes in
    for extent in bytes.assumingMemoryBound(to: Int64.self).prefix(Int(tensor.rank)) {
      count *= Int(extent)
    }
  }
  return UnsafeMutableBufferPointer(
    start: tensor.data?.assumingMemoryBound(to: Float.self), count: count)
}

private nonisolated(unsafe) var ownHost: UnsafePointer<lamina_host>?
private nonisolated(unsafe) let ownTables = makeTables("com.example.own")
private nonisolated(unsafe) let otherTables = makeTables("com.example.other")

/// Supplies `com.example.shift`.
let ownPlugin: lamina_plugin_entry_function = { host, _ in
  ownHost = host
  return ownTables
}

private let otherPlugin: lamina_plugin_entry_function = { host, _ in otherTables }

/// A graph of standard layers.
let smallGraph = """
  {"format": "lamina.graph", "version": 1, "name": "small",
   "inputs": [{"name": "x", "type": "float32", "shape": ["batch", 2]}],
   "nodes": [{"name": "fc", "kind": "lamina.dense", "inputs": ["x"], "attributes": {"out_features": 3}}],
   "outputs": ["fc"]}
  """

private let shiftGraph = """
  {"format": "lamina.graph", "version": 1, "name": "shifted",
   "inputs": [{"name": "x", "type": "float32", "shape": ["batch", 2]}],
   "nodes": [
     {"name": "shift", "kind": "com.example.shift", "inputs": ["x"], "attributes": {"offset": 0.5}},
     {"name": "fc", "kind": "lamina.dense", "inputs": ["shift"], "attributes": {"out_features": 3}}],
   "outputs": ["shift", "fc"]}
  """

@Suite struct OwnLayerTests {
  private let fixture: Fixture

  init() throws { fixture = try Fixture() }

  private func providers() throws -> [String: String] {
    var count = 0
    try succeed { lamina_context_layer_count(fixture.context, &count, $0) }
    var result: [String: String] = [:]
    for index in 0..<count {
      var info = lamina_layer_info()
      info.struct_size = UInt32(MemoryLayout<lamina_layer_info>.size)
      try succeed { lamina_context_layer_info(fixture.context, index, &info, $0) }
      result[String(cString: info.kind)] = String(cString: info.provider)
    }
    #expect(result.count == count)
    return result
  }

  private func model(_ graph: String) throws -> lamina_model {
    var model: lamina_model = 0
    try succeed { lamina_model_create_from_graph(fixture.context, graph, 5, &model, $0) }
    return model
  }

  private func text(_ model: lamina_model, _ which: Int) throws -> String {
    var needed = 0
    try succeed { lamina_model_get_text(model, Int32(which), nil, 0, &needed, $0) }
    var buffer = [CChar](repeating: 1, count: needed)
    try succeed { lamina_model_get_text(model, Int32(which), &buffer, needed, nil, $0) }
    return String(decoding: buffer.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  @Test func aLayerOfTheProgramRunsAndTrains() throws {
    let before = try providers()
    #expect(
      failure {
        var model: lamina_model = 0
        return lamina_model_create_from_graph(fixture.context, shiftGraph, 5, &model, $0)
      }?.status == LAMINA_ERROR_NOT_FOUND)
    for _ in 0..<2 {
      try succeed { lamina_context_register_plugin(fixture.context, ownPlugin, 0, $0) }
      #expect(
        try providers()
          == before.merging(["com.example.shift": "com.example.own"]) { $1 })
    }
    let model = try model(shiftGraph)
    defer { lamina_model_release(model) }
    var session: lamina_session = 0
    try succeed { lamina_session_create(model, nil, &session, $0) }
    defer { lamina_session_release(session) }
    var x: [Float] = [3, 6, 9, 12]
    var y = [Float](repeating: 0, count: 4)
    var z = [Float](repeating: 0, count: 6)
    try x.withUnsafeMutableBytes { x in
      try y.withUnsafeMutableBytes { y in
        try z.withUnsafeMutableBytes { z in
          let input = tensor([2, 2], LAMINA_FLOAT32, x.baseAddress, byteCount: 16)
          var outputs = [
            tensor([], 0, y.baseAddress, byteCount: 16),
            tensor([], 0, z.baseAddress, byteCount: 24),
          ]
          try succeed { error in
            withUnsafePointer(to: input) { lamina_session_run(session, $0, 1, &outputs, 2, error) }
          }
        }
      }
    }
    #expect(y == [3.5, 6.5, 9.5, 12.5])

    let same = try self.model(text(model, LAMINA_MODEL_GRAPH))
    #expect(try text(same, LAMINA_MODEL_GRAPH) == text(model, LAMINA_MODEL_GRAPH))
    #expect(try parameter(same, "fc.weight") == parameter(model, "fc.weight"))
    lamina_model_release(same)

    let path = fixture.folder + "/shifted.safetensors"
    try succeed { lamina_model_save(model, path, $0) }
    var loaded: lamina_model = 0
    try succeed { lamina_model_load(fixture.context, path, &loaded, $0) }
    lamina_model_release(loaded)
  }

  @Test func trainingGoesThroughTheProgramsLayer() throws {
    try succeed { lamina_context_register_plugin(fixture.context, ownPlugin, 0, $0) }
    let model = try model(
      """
      {"format": "lamina.graph", "version": 1, "name": "trained",
       "inputs": [{"name": "x", "type": "float32", "shape": ["batch", 2]}],
       "nodes": [
         {"name": "first", "kind": "com.example.shift", "inputs": ["x"]},
         {"name": "fc", "kind": "lamina.dense", "inputs": ["first"],
          "attributes": {"out_features": 3}},
         {"name": "last", "kind": "com.example.shift", "inputs": ["fc"]}],
       "outputs": ["last"]}
      """)
    defer { lamina_model_release(model) }
    var trainer: lamina_trainer = 0
    var options = trainerOptions()
    options.learning_rate = 0.1
    try succeed { lamina_trainer_create(model, 0, 0, &options, &trainer, $0) }
    defer { lamina_trainer_release(trainer) }
    var x: [Float] = [1, -1, -1, 1]
    var classes: [Int64] = [0, 2]
    var losses: [Double] = []
    for _ in 0..<20 {
      var loss = 0.0
      try x.withUnsafeMutableBytes { x in
        try classes.withUnsafeMutableBytes { classes in
          var input = tensor([2, 2], LAMINA_FLOAT32, x.baseAddress, byteCount: 16)
          var labels = tensor([2], LAMINA_INT64, classes.baseAddress, byteCount: 16)
          try succeed { lamina_trainer_step(trainer, &input, 1, &labels, &loss, $0) }
        }
      }
      try succeed { lamina_trainer_apply(trainer, $0) }
      losses.append(loss)
    }
    #expect(losses[19] < losses[0] / 2)
  }

  @Test func aKindIsReplacedOnlyWhenThatIsSaid() throws {
    try succeed { lamina_context_register_plugin(fixture.context, ownPlugin, 0, $0) }
    #expect(
      failure { lamina_context_register_plugin(fixture.context, otherPlugin, 0, $0) }
        == Failure(
          LAMINA_ERROR_ARGUMENT,
          "com.example.shift of 'com.example.other' is already supplied by 'com.example.own'"))
    let count = try providers().count
    for (plugin, provider) in [(otherPlugin, "com.example.other"), (ownPlugin, "com.example.own")] {
      try succeed { lamina_context_register_plugin(fixture.context, plugin, 1, $0) }
      #expect(try providers()["com.example.shift"] == provider)
      #expect(try providers().count == count)
    }
    #expect(
      failure { lamina_context_register_plugin(fixture.context, ownPlugin, 2, $0) }
        == Failure(LAMINA_ERROR_ARGUMENT, "replace: expected 0 or 1, found 2"))
  }

  @Test func whatTheEntrySaysComesThrough() throws {
    #expect(
      failure {
        lamina_context_register_plugin(
          fixture.context,
          { _, error in
            error?.pointee.code = Int32(LAMINA_ERROR_UNSUPPORTED)
            return nil
          }, 0, $0)
      }
        == Failure(
          LAMINA_ERROR_UNSUPPORTED, "lamina_plugin_entry returned NULL and gave no reason"))
  }

  private func parameter(_ model: lamina_model, _ key: String) throws -> [Float] {
    var target = lamina_tensor()
    #expect(
      failure { lamina_model_get_tensor(model, key, &target, $0) }?.status == LAMINA_ERROR_BUFFER)
    var result = [Float](repeating: .nan, count: target.needed / 4)
    let size = target.needed
    try result.withUnsafeMutableBytes { bytes in
      target.data = bytes.baseAddress
      target.byte_count = size
      try succeed { lamina_model_get_tensor(model, key, &target, $0) }
    }
    return result
  }

  @Test func layersAndParametersOfAModelCanBeRead() throws {
    let model = try model(smallGraph)
    defer { lamina_model_release(model) }
    #expect(
      try text(model, LAMINA_MODEL_LAYERS) == """
        [{"name":"fc","kind":"lamina.dense","version":1,"provider":"lamina",\
        "attributes":{"out_features":3},"inputs":["x"],\
        "outputs":[{"name":"fc","type":"float32","shape":["batch",3]}],\
        "parameters":[{"name":"weight","key":"fc.weight","role":"weight","type":"float32",\
        "shape":[3,2]},{"name":"bias","key":"fc.bias","role":"weight","type":"float32",\
        "shape":[3]}]}]
        """)
    let weight = try parameter(model, "fc.weight")
    #expect(weight.count == 6 && Set(weight).count == 6)
    #expect(try parameter(model, "fc.bias").count == 3)
    var target = lamina_tensor()
    #expect(
      failure { lamina_model_get_tensor(model, "fc.weigh", &target, $0) }
        == Failure(
          LAMINA_ERROR_NOT_FOUND, "no parameter is named 'fc.weigh', nearest is 'fc.weight'"))
  }

  @Test func graphsThatMakeNoSenseAreRefused() throws {
    func refusal(_ graph: String) -> Failure? {
      var model: lamina_model = 77
      let found = failure { lamina_model_create_from_graph(fixture.context, graph, 0, &model, $0) }
      #expect(model == 77)
      return found
    }
    #expect(refusal("")?.status == LAMINA_ERROR_FORMAT)
    #expect(refusal("[]")?.status == LAMINA_ERROR_FORMAT)
    #expect(
      refusal(smallGraph.replacingOccurrences(of: "\"x\"]", with: "\"y\"]"))?.status
        == LAMINA_ERROR_GRAPH)
    #expect(
      refusal(smallGraph.replacingOccurrences(of: "lamina.dense", with: "lamina.dens"))?.message
        .contains("nearest is 'lamina.dense'") == true)
    let large = smallGraph.replacingOccurrences(of: "2]", with: "\(1 << 19)]")
      .replacingOccurrences(of: "3}", with: "\(1 << 20)}")
    #expect(refusal(large)?.status == LAMINA_ERROR_LIMIT)
  }
}
