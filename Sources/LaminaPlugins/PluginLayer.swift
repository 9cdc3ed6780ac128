import CLamina
import LaminaCore

/// A layer class of a plugin, checked.
final class PluginLayerClass: @unchecked Sendable {
  let plugin: String
  let version: String
  let kind: LayerKind
  let attributeNames: [String]?
  /// The immortal table, as the plugin's functions are handed it.
  let pointer: UnsafePointer<lamina_layer_class>
  /// As much of it as there is.
  let table: lamina_layer_class

  /// Most parameters and outputs of one layer, and attributes of a class.
  static let listLimit = 64

  /// - Throws: `format` for every rule of `lamina_plugin.h` that the table breaks.
  init(
    _ pointer: UnsafePointer<lamina_layer_class>, plugin: String, version: String
  ) throws {
    self.plugin = plugin
    self.version = version
    self.pointer = pointer
    let table = try readTable(
      pointer, lamina_layer_class(),
      minimum: MemoryLayout<lamina_layer_class>.offset(of: \.backward) ?? 0, "lamina_layer_class")
    self.table = table
    kind = LayerKind(try tableName(table.kind, "kind"))
    attributeNames = try table.attribute_names.map { names in
      var result: [String] = []
      while let name = names[result.count] {
        guard result.count < Self.listLimit else {
          throw LaminaError.broken(
            "expected at most \(Self.listLimit) attribute names and a NULL behind them")
        }
        result.append(try tableText(name, "the name of an attribute"))
      }
      return result
    }
    guard table.kind_version >= 1, table.kind_version <= UInt32(Int32.max) else {
      throw LaminaError.broken("expected kind_version of 1 or more, found \(table.kind_version)")
    }
    guard table.minimum_inputs <= table.maximum_inputs else {
      throw LaminaError.broken(
        "expected minimum_inputs of at most \(table.maximum_inputs), found \(table.minimum_inputs)")
    }
    guard table.create != nil else { throw LaminaError.broken("expected create, found NULL") }
    guard table.forward != nil else { throw LaminaError.broken("expected forward, found NULL") }
  }

  func has(_ flag: Int) -> Bool { table.flags & UInt32(flag) != 0 }

  var definition: LayerDefinition {
    LayerDefinition(
      kind: kind, version: Int(table.kind_version),
      arity: Int(
        table.minimum_inputs)...(table.maximum_inputs == .max
        ? .max : Int(table.maximum_inputs)),
      outputMemory: has(LAMINA_LAYER_IN_PLACE) ? .mayOverwriteInput : .separate,
      gradient: table.backward == nil
        ? .unsupported
        : .supported(
          inputs: has(LAMINA_LAYER_READS_INPUTS), outputs: has(LAMINA_LAYER_READS_OUTPUTS)),
      isRandom: has(LAMINA_LAYER_RANDOM), provider: plugin, providerVersion: version,
      make: { try PluginLayer(self, &$0) })
  }

  func call(
    _ function: String, _ body: (UnsafeMutablePointer<lamina_error>) -> lamina_status
  ) throws { try callPlugin(function, of: plugin, body) }

  func broken(_ function: String, _ message: String) -> LaminaError {
    LaminaError.broken("\(function) of plugin '\(plugin)': \(message)")
  }
}

/// A layer of a plugin.
struct PluginLayer: Layer {
  static let kind: LayerKind = "lamina.plugin"

  let layerClass: PluginLayerClass
  let attributes: Attributes
  let outputCount: Int
  let instance: Instance

  /// What the plugin's `create` made.
  final class Instance: @unchecked Sendable {
    let layerClass: PluginLayerClass
    private(set) var pointer: UnsafeMutableRawPointer?

    init(_ layerClass: PluginLayerClass, _ attributes: Attributes) throws {
      self.layerClass = layerClass
      let lent = PluginAttributes(attributes)
      var made: UnsafeMutableRawPointer?
      try withExtendedLifetime(lent) {
        try layerClass.call("create") { error in
          layerClass.table.create?(layerClass.pointer, lent.lent, &made, error)
            ?? lamina_status(LAMINA_ERROR_INTERNAL)
        }
      }
      pointer = made
    }

    deinit { layerClass.table.destroy?(layerClass.pointer, pointer) }
  }

  init(attributes: inout AttributeReader) throws {
    throw LaminaError(.unsupported, "a plugin's layer is made by its class")
  }

  init(_ layerClass: PluginLayerClass, _ reader: inout AttributeReader) throws {
    self.layerClass = layerClass
    var attributes = Attributes()
    for name in layerClass.attributeNames ?? reader.unread {
      if let value = reader.value(name) { attributes[name] = value }
    }
    self.attributes = attributes
    instance = try Instance(layerClass, attributes)
    let count = layerClass.table.count_outputs?(layerClass.pointer, instance.pointer) ?? 1
    guard count >= 1, count <= PluginLayerClass.listLimit else {
      throw layerClass.broken(
        "count_outputs",
        "expected 1 to \(PluginLayerClass.listLimit), found \(UInt(bitPattern: count))")
    }
    outputCount = count
  }

  func encode(into attributes: inout AttributeWriter) { attributes.values(self.attributes) }

  // MARK: - Planning

  private struct Inference {
    var outputs: [TensorSpec]
    var forwardScratch = 0
    var backwardScratch = 0
    var saved = 0
    var multiplyAdds = 0
  }

  /// Most bytes of scratch and saved memory that a layer may ask for.
  private static let memoryLimit = 1 << 40

  private func infer(_ inputs: [TensorSpec], threads: Int = 1) throws -> Inference {
    guard let function = layerClass.table.infer_shapes else {
      guard let first = inputs.first, outputCount == 1 else {
        throw layerClass.broken("infer_shapes", "NULL stands for one output like the first input")
      }
      return Inference(outputs: [TensorSpec(first.shape, first.type)])
    }
    let tensors = inputs.map { lamina_plugin_tensor($0.shape, $0.type, $0.value?.view.baseAddress) }
    let template =
      inputs.first.map { lamina_plugin_tensor($0.shape, $0.type, nil) } ?? lamina_plugin_tensor()
    var outputs = [lamina_plugin_tensor](repeating: template, count: outputCount)
    var call = lamina_inference()
    call.struct_size = UInt32(MemoryLayout<lamina_inference>.size)
    call.threads = UInt32(clamping: threads)
    try withExtendedLifetime(inputs) {
      try tensors.withUnsafeBufferPointer { tensors in
        try outputs.withUnsafeMutableBufferPointer { outputs in
          call.inputs = tensors.baseAddress
          call.input_count = tensors.count
          call.outputs = outputs.baseAddress
          call.output_count = outputs.count
          try layerClass.call("infer_shapes") {
            function(layerClass.pointer, instance.pointer, &call, $0)
          }
        }
      }
    }
    func size(_ value: Int, _ name: String) throws -> Int {
      guard value >= 0, value <= Self.memoryLimit else {
        throw layerClass.broken(
          "infer_shapes",
          "expected \(name) of at most \(Self.memoryLimit) bytes, found \(UInt(bitPattern: value))")
      }
      return value
    }
    return Inference(
      outputs: try outputs.enumerated().map { index, tensor in
        try withUnsafeBytes(of: tensor.shape) { shape in
          try pluginSpec(
            type: tensor.type, rank: tensor.rank, shape: shape,
            "infer_shapes of plugin '\(layerClass.plugin)': output \(index)")
        }
      },
      forwardScratch: try size(call.forward_scratch, "forward_scratch"),
      backwardScratch: try size(call.backward_scratch, "backward_scratch"),
      saved: try size(call.saved, "saved"), multiplyAdds: Int(clamping: call.multiply_adds))
  }

  func outputs(for inputs: [TensorSpec]) throws -> [TensorSpec] { try infer(inputs).outputs }

  // These cannot fail after `outputs` has not, for the same inputs give the same.
  func scratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    (try? infer(inputs, threads: threads))?.forwardScratch ?? 0
  }

  func backwardScratchBytes(for inputs: [TensorSpec], threads: Int) -> Int {
    (try? infer(inputs, threads: threads))?.backwardScratch ?? 0
  }

  func savedBytes(for inputs: [TensorSpec]) -> Int { (try? infer(inputs))?.saved ?? 0 }

  func multiplyAdds(for inputs: [TensorSpec], outputs: [TensorSpec]) -> Int {
    (try? infer(inputs))?.multiplyAdds ?? 0
  }

  func isBatchwise(for inputs: [TensorSpec]) -> Bool { layerClass.has(LAMINA_LAYER_BATCHWISE) }

  func parameters(for inputs: [TensorSpec]) throws -> [ParameterSpec] {
    guard let function = layerClass.table.list_parameters else { return [] }
    let tensors = inputs.map { lamina_plugin_tensor($0.shape, $0.type, $0.value?.view.baseAddress) }
    func list(_ capacity: Int) throws -> (count: Int, parameters: [lamina_parameter]) {
      var parameters = [lamina_parameter](repeating: lamina_parameter(), count: capacity)
      var count = 0
      try withExtendedLifetime(inputs) {
        try layerClass.call("list_parameters") { error in
          function(
            layerClass.pointer, instance.pointer, tensors, tensors.count, &parameters, capacity,
            &count, error)
        }
      }
      guard count >= 0, count <= PluginLayerClass.listLimit else {
        throw layerClass.broken(
          "list_parameters",
          "expected at most \(PluginLayerClass.listLimit), found \(UInt(bitPattern: count))")
      }
      return (count, parameters)
    }
    var (count, parameters) = try list(8)
    if count > parameters.count {
      let expected = count
      (count, parameters) = try list(expected)
      guard count == expected else {
        throw layerClass.broken("list_parameters", "expected \(expected) as before, found \(count)")
      }
    }
    var names: Set<String> = []
    return try parameters.prefix(count).enumerated().map { index, parameter in
      let place = "list_parameters of plugin '\(layerClass.plugin)': parameter \(index)"
      let name = try tableText(parameter.name, "the name in \(place)")
      guard names.insert(name).inserted else {
        throw layerClass.broken(
          "list_parameters", "two parameters are '\(name.escapedForDisplay())'")
      }
      let spec = try withUnsafeBytes(of: parameter.shape) {
        try pluginSpec(type: parameter.type, rank: parameter.rank, shape: $0, place)
      }
      guard let role = ParameterRole(code: parameter.role) else {
        throw LaminaError.broken("\(place) has role \(parameter.role), which there is not")
      }
      guard let initializer = Initializer(code: parameter.initializer, scale: parameter.scale)
      else {
        throw LaminaError.broken(
          "\(place) has initializer \(parameter.initializer), which there is not")
      }
      return ParameterSpec(name, spec.shape, type: spec.type, role: role, initializer: initializer)
    }
  }

  // MARK: - Running

  func forward(_ call: ForwardCall) throws {
    let capacity =
      call.inputs.count + call.parameters.count + call.outputs.count + call.bufferUpdates.count
    try withUnsafeTemporaryAllocation(of: lamina_plugin_tensor.self, capacity: max(capacity, 1)) {
      memory in
      var list = TensorList(memory)
      var plain = lamina_forward_call()
      plain.struct_size = UInt32(MemoryLayout<lamina_forward_call>.size)
      plain.is_training = call.isTraining ? 1 : 0
      plain.inputs = list.add(call.inputs) { lamina_plugin_tensor($0) }
      plain.input_count = call.inputs.count
      plain.parameters = list.add(call.parameters) { lamina_plugin_tensor($0) }
      plain.parameter_count = call.parameters.count
      plain.outputs = list.add(call.outputs) { lamina_plugin_tensor($0) }
      plain.output_count = call.outputs.count
      if !call.bufferUpdates.isEmpty {
        plain.buffer_updates = list.add(call.bufferUpdates) { lamina_plugin_tensor($0) }
      }
      plain.scratch = call.scratch.baseAddress
      plain.scratch_size = call.scratch.count
      plain.saved = call.saved.baseAddress
      plain.saved_size = call.saved.count
      plain.threads = call.pool.lent
      plain.seed = call.seed
      try withExtendedLifetime((call, instance)) {
        try layerClass.call("forward") { error in
          layerClass.table.forward?(layerClass.pointer, instance.pointer, &plain, error)
            ?? lamina_status(LAMINA_ERROR_INTERNAL)
        }
      }
    }
  }

  func backward(_ call: BackwardCall) throws {
    guard let function = layerClass.table.backward else {
      throw LaminaError(.unsupported, "\(layerClass.kind) has no backward pass")
    }
    let capacity =
      2 * (call.inputs.count + call.parameters.count + call.outputs.count)
    try withUnsafeTemporaryAllocation(of: lamina_plugin_tensor.self, capacity: max(capacity, 1)) {
      memory in
      var list = TensorList(memory)
      var plain = lamina_backward_call()
      plain.struct_size = UInt32(MemoryLayout<lamina_backward_call>.size)
      plain.is_training = call.isTraining ? 1 : 0
      plain.output_gradients = list.add(call.outputGradients) { lamina_plugin_tensor($0) }
      plain.inputs = list.add(zip(call.inputs, call.inputGradients)) {
        lamina_plugin_tensor($0.0, like: $0.1)
      }
      plain.outputs = list.add(call.outputs) { lamina_plugin_tensor($0) }
      plain.parameters = list.add(call.parameters) { lamina_plugin_tensor($0) }
      plain.input_gradients = list.add(zip(call.inputGradients, call.inputs)) {
        lamina_plugin_tensor($0.0, like: $0.1)
      }
      plain.parameter_gradients = list.add(zip(call.parameterGradients, call.parameters)) {
        lamina_plugin_tensor($0.0, like: $0.1)
      }
      plain.input_count = call.inputs.count
      plain.output_count = call.outputs.count
      plain.parameter_count = call.parameters.count
      plain.scratch = call.scratch.baseAddress
      plain.scratch_size = call.scratch.count
      plain.saved = UnsafeRawPointer(call.saved.baseAddress)
      plain.saved_size = call.saved.count
      plain.threads = call.pool.lent
      plain.seed = call.seed
      try withExtendedLifetime((call, instance)) {
        try layerClass.call("backward") {
          function(layerClass.pointer, instance.pointer, &plain, $0)
        }
      }
    }
  }
}

/// The tensors of a call, one list behind the other in memory that was taken before.
private struct TensorList {
  private let memory: UnsafeMutableBufferPointer<lamina_plugin_tensor>
  private var count = 0

  init(_ memory: UnsafeMutableBufferPointer<lamina_plugin_tensor>) { self.memory = memory }

  /// Adds a list and gives its first element.
  mutating func add<S: Sequence>(
    _ views: S, _ make: (S.Element) -> lamina_plugin_tensor
  ) -> UnsafePointer<lamina_plugin_tensor>? {
    let start = count
    for view in views where count < memory.count {
      memory.initializeElement(at: count, to: make(view))
      count += 1
    }
    return memory.baseAddress.map { UnsafePointer($0 + start) }
  }
}

extension ParameterRole {
  /// The role of a number of `lamina_plugin.h`.
  fileprivate init?(code: Int32) {
    switch Int(code) {
    case LAMINA_PARAMETER_WEIGHT: self = .weight
    case LAMINA_PARAMETER_BUFFER: self = .buffer
    default: return nil
    }
  }
}

extension Initializer {
  /// The initializer of a number of `lamina_plugin.h`.
  fileprivate init?(code: Int32, scale: Double) {
    switch Int(code) {
    case LAMINA_INITIALIZER_ZEROS: self = .zeros
    case LAMINA_INITIALIZER_ONES: self = .ones
    case LAMINA_INITIALIZER_CONSTANT: self = .constant(Float(scale))
    case LAMINA_INITIALIZER_NORMAL: self = .normal(deviation: Float(scale))
    case LAMINA_INITIALIZER_UNIFORM: self = .uniform(bound: Float(scale))
    case LAMINA_INITIALIZER_HE_NORMAL: self = .heNormal(fanOut: false)
    case LAMINA_INITIALIZER_HE_NORMAL_FAN_OUT: self = .heNormal(fanOut: true)
    case LAMINA_INITIALIZER_HE_UNIFORM: self = .heUniform(fanOut: false)
    case LAMINA_INITIALIZER_HE_UNIFORM_FAN_OUT: self = .heUniform(fanOut: true)
    case LAMINA_INITIALIZER_LECUN_NORMAL: self = .leCunNormal
    case LAMINA_INITIALIZER_LECUN_UNIFORM: self = .leCunUniform
    case LAMINA_INITIALIZER_GLOROT_NORMAL: self = .glorotNormal
    case LAMINA_INITIALIZER_GLOROT_UNIFORM: self = .glorotUniform
    default: return nil
    }
  }
}
