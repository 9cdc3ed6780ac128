import LaminaCore

/// Imports ONNX models: opset 7 to 25, IR version 3 to 14.
///
/// Opsets 1 to 6 are read by the rules of their time, 26 to 28 with a warning. Floating-point tensors, inputs
/// and outputs of other widths become `float32`, and so do casts to them; integers and bools stay. Weights
/// become parameters, `<node>.weight`, unless they are computed or fed when the graph runs. Values keep their
/// ONNX names, nodes theirs where they have one that is unique.
public enum ONNXImporter {
  /// Imports the file at `path`; tensors in other files are looked up beneath its folder.
  ///
  /// - Throws: `format`, `graph`, `shape`, `unsupported` listing all problems at once; `limit`, `notFound`, `io`.
  public static func load(
    path: String, registry: LayerRegistry, limits: Limits = Limits()
  ) throws -> (model: Model, report: ImportReport) {
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let name = path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    return try load(
      ByteSource(path: path, limits: limits), name: name, folder: folder, registry: registry,
      limits: limits)
  }

  /// Whether the bytes start as an ONNX model does: with its IR version.
  static func isModel(_ source: ByteSource) throws -> Bool {
    guard source.byteCount >= 2 else { return false }
    let start = try source.bytes(0..<2)
    return start[0] == 0x08 && (1..<0x80).contains(start[1])
  }

  /// Imports a model from memory.
  ///
  /// - Parameters:
  ///   - name: stands for the file in messages.
  ///   - folder: where tensors in other files are looked up; nil refuses them.
  public static func load(
    bytes: [UInt8], name: String = "model", folder: String? = nil, registry: LayerRegistry,
    limits: Limits = Limits()
  ) throws -> (model: Model, report: ImportReport) {
    try load(
      .memory(bytes, name: name), name: name, folder: folder, registry: registry, limits: limits)
  }

  static func load(
    _ source: ByteSource, name: String, folder: String?, registry: LayerRegistry, limits: Limits
  ) throws -> (model: Model, report: ImportReport) {
    let shown = name.escapedForDisplay(limit: 256)
    let content = try ONNXContent(source)
    let file = try ONNXDecoder(limits: limits).model(content.bytes, path: shown)
    var imported = try ONNXImport(file, content, path: shown, limits: limits)
    return try withErrorPath(shown) {
      try imported.run(
        registry: registry, external: ONNXExternalData(folder: folder, limits: limits))
    }
  }
}

/// What `body` throws, with `path`.
private func problem(_ path: @autoclosure () -> String = "", _ body: () throws -> Void) throws
  -> LaminaError?
{
  do {
    try body()
    return nil
  } catch let error as LaminaError {
    return error.at(path())
  }
}

/// One import.
private struct ONNXImport {
  private static let irVersions = 3...14
  private static let opsets = 1...28
  private static let currentOpset = 25
  /// Most problems that one error spells out.
  private static let problemLimit = 64

  private let file: ONNXModel
  private let graph: ONNXGraph
  private let content: ONNXContent
  private let limits: Limits
  private let opset: Int
  private var problems: [LaminaError] = []
  private var report = ImportReport()
  private var convertedTypes: [ElementType: Int] = [:]

  init(_ file: ONNXModel, _ content: ONNXContent, path: String, limits: Limits) throws {
    self.file = file
    self.content = content
    self.limits = limits
    guard let graph = file.graph else {
      throw LaminaError(.format, "expected a graph, found none", path: path)
    }
    self.graph = graph
    let standard = file.opsets.filter { $0.domain.isEmpty || $0.domain == "ai.onnx" }
    opset = standard.first?.version ?? Self.currentOpset
    try withErrorPath(path) { try checkVersions(standard.map(\.version)) }
  }

  private func checkVersions(_ standard: [Int]) throws {
    guard let irVersion = file.irVersion else {
      throw LaminaError(.format, "expected an IR version, found none")
    }
    guard Self.irVersions.contains(irVersion) else {
      throw LaminaError(
        .unsupported,
        "expected IR version \(Self.irVersions.lowerBound) to \(Self.irVersions.upperBound), found \(irVersion)"
      )
    }
    guard standard.count <= 1 else {
      throw LaminaError(.format, "expected one opset version, found \(standard.count)")
    }
    guard !standard.isEmpty || graph.nodes.allSatisfy({ !Self.isStandard($0) }) else {
      throw LaminaError(.format, "expected an opset version, found none")
    }
    guard Self.opsets.contains(opset) else {
      throw LaminaError(
        .unsupported,
        "expected opset \(Self.opsets.lowerBound) to \(Self.opsets.upperBound), found \(opset)")
    }
  }

  private static func isStandard(_ node: ONNXNode) -> Bool {
    node.domain.isEmpty || node.domain == "ai.onnx"
  }

  private mutating func note(_ problem: LaminaError?) throws {
    guard let problem, !problems.contains(problem) else { return }
    problems.append(problem)
    if problems.count > Self.problemLimit { try failIfNeeded() }
  }

  private func failIfNeeded() throws {
    if let error = LaminaError.combining(Array(problems.prefix(Self.problemLimit))) { throw error }
  }

  // MARK: - Steps

  mutating func run(registry: LayerRegistry, external: ONNXExternalData) throws -> (
    model: Model, report: ImportReport
  ) {
    try checkNames()
    try failIfNeeded()
    try checkTypes()
    var patterns = ONNXPatterns(graph, opset: opset, content)
    patterns.apply()
    let order = try sortedLiveNodes(patterns.nodes)
    let nodes = order.map { patterns.nodes[$0] }
    try checkOperators(nodes)

    var converter = makeConverter(nodes, registry, external)
    try declareValues(&converter, patterns.constants, nodes)
    try convert(nodes, &converter)
    for output in graph.outputs {
      try note(
        problem("output '\(output.name.escapedForDisplay())'") {
          try converter.addOutput(output.name)
        })
    }
    try failIfNeeded()

    if external.hasUncheckedChecksums {
      converter.warnings.append("checksums of external data are not compared")
    }
    let metadata = metadata(nodes, converter)
    let model = try Model(
      graph: converter.builder.graph, parameters: converter.parameters, metadata: metadata,
      registry: registry, checkingShapes: !converter.dependsOnInputValues)
    fillReport(nodes, model, converter)
    return (model, report)
  }

  /// Every value has one source, and every value read has a source.
  private mutating func checkNames() throws {
    let initializers = Set(graph.initializers.map(\.name))
    if initializers.count < graph.initializers.count || initializers.contains("") {
      var seen: Set<String> = []
      for tensor in graph.initializers
      where tensor.name.isEmpty || !seen.insert(tensor.name).inserted {
        try note(
          problem(tensor.path) {
            throw LaminaError(
              .graph,
              tensor.name.isEmpty ? "an initializer has no name" : "two initializers have this name"
            )
          })
      }
    }
    var sources = initializers
    var inputs: Set<String> = []
    for input in graph.inputs {
      try note(
        problem("input '\(input.name.escapedForDisplay())'") {
          guard !input.name.isEmpty else { throw LaminaError(.graph, "an input has no name") }
          guard inputs.insert(input.name).inserted else {
            throw LaminaError(.graph, "two inputs have this name")
          }
        })
      sources.insert(input.name)
    }
    for node in graph.nodes {
      func refuse(_ message: String) throws {
        try note(LaminaError(.graph, message, path: node.path))
      }
      if node.type.isEmpty { try refuse("expected an operator, found none") }
      if node.outputs.allSatisfy(\.isEmpty) { try refuse("expected an output, found none") }
      for output in node.outputs where !output.isEmpty && !sources.insert(output).inserted {
        try refuse("value '\(output.escapedForDisplay())' is written twice")
      }
    }
    for node in graph.nodes {
      for input in node.inputs where !input.isEmpty && !sources.contains(input) {
        try note(
          LaminaError(
            .graph, "input '\(input.escapedForDisplay())' is not a value of the graph",
            path: node.path))
      }
    }
    if graph.outputs.isEmpty {
      problems.append(LaminaError(.graph, "expected at least one output, found none"))
    }
    var outputs: Set<String> = []
    for output in graph.outputs {
      try note(
        problem("output '\(output.name.escapedForDisplay())'") {
          guard sources.contains(output.name) else {
            throw LaminaError(.graph, "no node computes this output")
          }
          guard outputs.insert(output.name).inserted else {
            throw LaminaError(.graph, "two outputs have this name")
          }
        })
    }
  }

  /// Inputs, outputs and initializers are tensors of types that Lamina has.
  private mutating func checkTypes() throws {
    let initializers = Set(graph.initializers.map(\.name))
    let values =
      graph.inputs.filter { !initializers.contains($0.name) }.map { ("input", $0) }
      + graph.outputs.map { ("output", $0) }
    for (what, value) in values {
      try note(
        problem("\(what) '\(value.name.escapedForDisplay())'") {
          guard let kind = value.kind else {
            guard what == "output" else {
              throw LaminaError(.format, "expected a type, found none")
            }
            return
          }
          guard kind == "tensor" else {
            throw LaminaError(.unsupported, "expected a tensor, found a value of type \(kind)")
          }
          guard ONNXTensor.elementType(of: value.elementType) != nil else {
            throw LaminaError(
              .unsupported, "element type \(ONNXTensor.typeName(value.elementType))")
          }
          guard what == "output" || value.dimensions != nil else {
            throw LaminaError(.unsupported, "expected a shape, found none")
          }
        })
    }
    if graph.sparseInitializerCount > 0 {
      problems.append(
        LaminaError(.unsupported, "sparse initializers (\(graph.sparseInitializerCount))"))
    }
    for tensor in graph.initializers { try note(problem { _ = try tensor.elementType() }) }
  }

  /// Positions of the nodes that an output depends on, in an order in which they can run: that of the file
  /// where it is one.
  private func sortedLiveNodes(_ nodes: [ONNXNode]) throws -> [Int] {
    var producers: [String: Int] = [:]
    for (index, node) in nodes.enumerated() {
      for output in node.outputs where !output.isEmpty { producers[output] = index }
    }
    var isLive = [Bool](repeating: false, count: nodes.count)
    var pending = graph.outputs.compactMap { producers[$0.name] }
    while let index = pending.popLast() {
      guard !isLive[index] else { continue }
      isLive[index] = true
      pending += nodes[index].inputs.compactMap { producers[$0] }
    }
    var order: [Int] = []
    var isDone = [Bool](repeating: false, count: nodes.count)
    var isOpen = isDone
    for start in nodes.indices where isLive[start] && !isDone[start] {
      var stack = [start]
      while let index = stack.last {
        let missing =
          isDone[index]
          ? [] : nodes[index].inputs.compactMap { producers[$0] }.filter { !isDone[$0] }
        guard missing.isEmpty else {
          isOpen[index] = true
          if let cyclic = missing.first(where: { isOpen[$0] }) {
            throw LaminaError(.graph, "the graph has a cycle", path: nodes[cyclic].path)
          }
          stack += missing.reversed()
          continue
        }
        stack.removeLast()
        guard !isDone[index] else { continue }
        isDone[index] = true
        isOpen[index] = false
        order.append(index)
      }
    }
    return order
  }

  /// Lists every operator that is not supported, with the nodes that use it.
  private mutating func checkOperators(_ nodes: [ONNXNode]) throws {
    let functions = Set(file.functions)
    var users: [String: [String]] = [:]
    var order: [String] = []
    for node in nodes where !Self.isStandard(node) || ONNXOperator.all[node.type] == nil {
      let isFunction = functions.contains("\(node.domain).\(node.type)")
      let key = "operator \(node.qualifiedType)" + (isFunction ? " (a function of this file)" : "")
      if users[key] == nil { order.append(key) }
      users[key, default: []].append("'\(node.label)'")
    }
    for key in order.prefix(Self.problemLimit) {
      let names = users[key] ?? []
      let more = names.count > 3 ? " and \(names.count - 3) more" : ""
      problems.append(
        LaminaError(
          .unsupported,
          "\(key) of \(names.count == 1 ? "node" : "nodes") \(names.prefix(3).joined(separator: ", "))\(more)"
        ))
    }
  }

  private func makeConverter(
    _ nodes: [ONNXNode], _ registry: LayerRegistry, _ external: ONNXExternalData
  ) -> ONNXConverter {
    var values = Set(graph.inputs.map(\.name)).union(graph.initializers.map(\.name))
    for node in graph.nodes { values.formUnion(node.outputs) }
    return ONNXConverter(
      name: graph.name.isEmpty ? "model" : graph.name, registry: registry, opset: opset,
      limits: limits, content, external: external, nodeNames: Set(nodes.map(\.name)),
      valueNames: values)
  }

  private mutating func declareValues(
    _ converter: inout ONNXConverter, _ extra: [(name: String, tensor: Tensor)], _ nodes: [ONNXNode]
  ) throws {
    var initializers: [String: ONNXTensor] = [:]
    for tensor in graph.initializers {
      converter.addConstant(tensor.name, .file(tensor))
      initializers[tensor.name] = tensor
      if let type = try? tensor.elementType() { noteConversion(type) }
    }
    for (name, tensor) in extra { converter.addConstant(name, .tensor(tensor)) }
    var defaults = ONNXDefaultExtents(nodes, initializers)
    for input in graph.inputs where initializers[input.name] == nil {
      if let type = ONNXTensor.elementType(of: input.elementType) { noteConversion(type) }
      try note(
        problem("input '\(input.name.escapedForDisplay())'") {
          guard let type = ONNXTensor.elementType(of: input.elementType) else { return }
          try converter.addInput(
            input.name, defaults.dimensions(of: input), ONNXTensor.computeType(type))
        })
      converter.addPlaceholder(input.name)
    }
    for value in graph.valueInfo + graph.outputs {
      guard let type = ONNXTensor.elementType(of: value.elementType),
        let dimensions = value.dimensions
      else { continue }
      let extents = dimensions.compactMap {
        if case .fixed(let extent) = $0 { extent } else { nil }
      }
      if extents.count == dimensions.count, let shape = try? Shape(extents) {
        converter.declare(value.name, TensorSpec(shape, ONNXTensor.computeType(type)))
      }
    }
  }

  private mutating func noteConversion(_ type: ElementType) {
    if ONNXTensor.computeType(type) != type { convertedTypes[type, default: 0] += 1 }
  }

  private mutating func convert(_ nodes: [ONNXNode], _ converter: inout ONNXConverter) throws {
    var uses: [String: Int] = [:]
    for node in nodes { uses[node.name, default: 0] += 1 }
    for node in nodes {
      let output = node.outputs.first { !$0.isEmpty } ?? ""
      let name =
        !node.name.isEmpty && uses[node.name] == 1
        ? node.name : converter.uniqueName("\(node.type)_\(output)")
      try note(
        problem(node.path) {
          guard Self.isStandard(node), let rule = ONNXOperator.all[node.type] else { return }
          do {
            try Self.convert(node, by: rule, name: name, opset: opset, &converter)
          } catch let unknown as ONNXConverter.UnknownShape {
            // Behind a node with a problem of its own nothing is known.
            guard problems.isEmpty else { return }
            throw LaminaError(
              .unsupported,
              "the shape of '\(unknown.name.escapedForDisplay())' is only known at run time")
          }
        })
      for output in node.outputs where !output.isEmpty { converter.addPlaceholder(output) }
    }
  }

  private static func convert(
    _ node: ONNXNode, by rule: ONNXOperator, name: String, opset: Int,
    _ converter: inout ONNXConverter
  ) throws {
    var reader = try ONNXNodeReader(node, name: name, opset: opset)
    let count = node.inputs.lastIndex { !$0.isEmpty }.map { $0 + 1 } ?? 0
    guard rule.inputs.contains(count) else {
      let upper = rule.inputs.upperBound == .max ? "any number of" : "\(rule.inputs.upperBound)"
      let expected =
        rule.inputs.count == 1
        ? "\(rule.inputs.lowerBound)" : "\(rule.inputs.lowerBound) to \(upper)"
      throw LaminaError(.graph, "expected \(expected) inputs, found \(count)")
    }
    try rule.convert(&converter, &reader)
    try reader.finish()
  }

  // MARK: - What is said of the model

  private func metadata(_ nodes: [ONNXNode], _ converter: ONNXConverter) -> ModelMetadata {
    var metadata = ModelMetadata()
    metadata.provenance = [
      "format": "onnx", "onnx.opset": "\(opset)", "onnx.ir_version": "\(file.irVersion ?? 0)",
    ]
    if !producer.isEmpty { metadata.provenance["onnx.producer"] = producer }
    for (key, value) in file.metadata.prefix(64)
    where key.utf8.count <= 256 && value.utf8.count <= 4096 {
      metadata.provenance["onnx.metadata.\(key)"] = value
    }
    metadata.outputKind = outputKind(nodes, converter)
    return metadata
  }

  private var producer: String {
    [file.producerName, file.producerVersion].filter { !$0.isEmpty }.joined(separator: " ")
  }

  /// Probabilities behind a softmax, logits where the output is a list of classes without one.
  private func outputKind(_ nodes: [ONNXNode], _ converter: ONNXConverter) -> ModelMetadata
    .OutputKind?
  {
    guard let output = graph.outputs.first, let spec = try? converter.spec(output.name),
      spec.type == .float32, spec.shape.rank >= 2, spec.shape[1] >= 2,
      spec.shape.dimensions[2...].allSatisfy({ $0 == 1 })
    else { return nil }
    var producers: [String: ONNXNode] = [:]
    for node in nodes { for name in node.outputs { producers[name] = node } }
    var name = output.name
    for _ in 0..<16 {
      guard let node = producers[name] else { return .logits }
      switch node.type {
      case "Softmax": return .probabilities
      case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Cast":
        guard let input = node.inputs.first else { return .logits }
        name = input
      default: return .logits
      }
    }
    return .logits
  }

  private mutating func fillReport(_ nodes: [ONNXNode], _ model: Model, _ converter: ONNXConverter)
  {
    report.irVersion = file.irVersion ?? 0
    report.opset = opset
    report.producer = producer
    report.graphName = graph.name
    report.fileNodeCount = graph.nodes.count
    report.droppedNodeCount = graph.nodes.count - nodes.count
    report.nodeCount = model.graph.nodes.count
    var counts: [String: Int] = [:]
    for node in nodes { counts[node.type, default: 0] += 1 }
    report.operatorCounts = counts.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    report.parameterTensorCount = model.parameters.count
    report.parameterCount = model.parameters.values.reduce(0) { $0 + $1.shape.count }
    report.convertedTypes = convertedTypes.sorted { $0.key.rawValue < $1.key.rawValue }.map {
      ($0.key, $0.value)
    }
    let convolutions = nodes.filter { $0.type == "Conv" }
    report.isBatchNormalizationFolded =
      !convolutions.isEmpty && counts["BatchNormalization"] == nil
      && convolutions.allSatisfy { $0.inputs.count == 3 }
    if opset < 7 {
      report.warnings.append(
        "opset \(opset) is older than 7: operators follow the rules of its time")
    }
    if opset > Self.currentOpset {
      report.warnings.append(
        "opset \(opset) is newer than \(Self.currentOpset): its operators are read as those of \(Self.currentOpset)"
      )
    }
    report.warnings += converter.warnings
  }
}

/// Extents to plan with where a file leaves them open: batch 1, pictures of 224 × 224, and as many channels
/// as the first convolution reads.
private struct ONNXDefaultExtents {
  private var channels: [String: Int] = [:]
  private var symbols: [String: Int] = [:]

  init(_ nodes: [ONNXNode], _ initializers: [String: ONNXTensor]) {
    for node in nodes where node.inputs.count >= 2 {
      guard let weight = initializers[node.inputs[1]]?.dimensions, weight.count >= 2 else {
        continue
      }
      var group = 1
      for attribute in node.attributes where attribute.name == "group" {
        if case .int(let value) = attribute.value { group = value }
      }
      let found: Int
      switch node.type {
      case "Conv":
        let (product, overflow) = weight[1].multipliedReportingOverflow(by: group)
        found = overflow ? 3 : product
      case "Gemm":
        let isTransposed = node.attributes.contains {
          if case .int(1) = $0.value { $0.name == "transB" } else { false }
        }
        found = weight[isTransposed ? 1 : 0]
      case "MatMul": found = weight[0]
      default: continue
      }
      if channels[node.inputs[0]] == nil, found > 0 { channels[node.inputs[0]] = found }
    }
  }

  mutating func dimensions(of input: ONNXValueInfo) throws -> [Dimension] {
    let dimensions = input.dimensions ?? []
    return try dimensions.enumerated().map { axis, dimension in
      let usual =
        switch axis {
        case 0: 1
        case 1: channels[input.name] ?? (dimensions.count > 2 ? 3 : 1)
        default: 224
        }
      switch dimension {
      case .fixed(let extent):
        guard extent >= 0 else {
          throw LaminaError(
            .shape, "expected an extent of at least 0 on axis \(axis), found \(extent)")
        }
        return .fixed(extent)
      case .symbol(let name):
        // Lamina's files write `name=extent`.
        let name = String(name.map { $0 == "=" ? "_" : $0 })
        let extent = symbols[name] ?? usual
        symbols[name] = extent
        return .symbol(name, default: extent)
      case .unknown:
        let isBatch = axis == 0 && symbols["batch"] == nil
        let name = isBatch ? "batch" : "\(input.name).\(axis)"
        symbols[name] = usual
        return .symbol(name, default: usual)
      }
    }
  }
}
