import LaminaCore

/// Recognises what exporters write in place of one operator, and puts that operator back. Nodes that nothing
/// reads any more are left for the importer to drop.
struct ONNXPatterns {
  private(set) var nodes: [ONNXNode]
  /// Constants that rewritten nodes read.
  private(set) var constants: [(name: String, tensor: Tensor)] = []
  private var producers: [String: Int] = [:]
  private var initializers: [String: ONNXTensor] = [:]
  private let content: ONNXContent
  private let opset: Int

  init(_ graph: ONNXGraph, opset: Int, _ content: ONNXContent) {
    nodes = graph.nodes
    self.opset = opset
    self.content = content
    for tensor in graph.initializers { initializers[tensor.name] = tensor }
    for (index, node) in nodes.enumerated() {
      for output in node.outputs where !output.isEmpty { producers[output] = index }
    }
  }

  mutating func apply() {
    for index in nodes.indices {
      switch nodes[index].type {
      case "Reshape": replaceShapeArithmetic(index)
      case "Mul", "Div":
        replaceHardSwish(index)
        replaceResponseNormalization(index)
      default: break
      }
    }
  }

  // MARK: - Looking around

  private func producer(of name: String, _ types: String...) -> ONNXNode? {
    guard let index = producers[name], types.contains(nodes[index].type) else { return nil }
    return nodes[index]
  }

  /// The numbers of a small constant.
  private func numbers(_ name: String) -> [Double]? {
    let stored: ONNXTensor
    if let tensor = initializers[name] {
      stored = tensor
    } else if let node = producer(of: name, "Constant"), node.attributes.count == 1 {
      switch node.attributes[0].value {
      case .tensor(let tensor): stored = tensor
      case .int(let number): return [Double(number)]
      case .ints(let list): return list.map(Double.init)
      case .float(let number): return [Double(number)]
      case .floats(let list): return list.map(Double.init)
      default: return nil
      }
    } else {
      return nil
    }
    guard let shape = try? stored.shape(), shape.count <= 64, !stored.isExternal else { return nil }
    return try? stored.decode(content) { _, _ in [] }.numbers
  }

  private func scalar(_ name: String?) -> Double? {
    guard let name, let list = numbers(name), list.count == 1 else { return nil }
    return list[0]
  }

  private func ints(_ name: String?) -> [Int]? {
    guard let name, let list = numbers(name) else { return nil }
    return list.compactMap { Int(exactly: $0) }
  }

  private func attribute(_ name: String, of node: ONNXNode) -> ONNXAttribute.Value? {
    node.attributes.first { $0.name == name }?.value
  }

  private func input(_ index: Int, of node: ONNXNode) -> String? {
    node.inputs.indices.contains(index) && !node.inputs[index].isEmpty ? node.inputs[index] : nil
  }

  /// `node` is `f(x, constant)` or, where the order does not matter, `f(constant, x)`.
  private func operand(
    beside constant: (Double) -> Bool, of node: ONNXNode, commutes: Bool
  ) -> String? {
    guard node.inputs.count == 2 else { return nil }
    if let number = scalar(node.inputs[1]), constant(number) { return node.inputs[0] }
    if commutes, let number = scalar(node.inputs[0]), constant(number) { return node.inputs[1] }
    return nil
  }

  // MARK: - x.view(N, -1)

  /// An element of a computed shape.
  private enum Extent {
    case number(Int)
    case axis(Int, of: String)
  }

  /// The elements of a shape put together from extents and numbers: `Shape → Gather → Unsqueeze → Concat`.
  private func extents(_ name: String, depth: Int = 0) -> [Extent]? {
    if let list = ints(name) { return list.map(Extent.number) }
    guard depth < 8, let index = producers[name] else { return nil }
    let node = nodes[index]
    guard let first = input(0, of: node) else { return nil }
    switch node.type {
    case "Unsqueeze", "Squeeze", "Cast", "Identity": return extents(first, depth: depth + 1)
    case "Concat":
      var result: [Extent] = []
      for input in node.inputs {
        guard let part = extents(input, depth: depth + 1) else { return nil }
        result += part
      }
      return result
    case "Gather":
      guard let shape = producer(of: first, "Shape"), shape.attributes.isEmpty,
        let source = input(0, of: shape), let axes = ints(input(1, of: node)),
        axes.allSatisfy({ $0 >= 0 })
      else { return nil }
      return axes.map { .axis($0, of: source) }
    case "Slice":
      guard let shape = producer(of: first, "Shape"), shape.attributes.isEmpty,
        let source = input(0, of: shape)
      else { return nil }
      var starts = ints(input(1, of: node))
      var ends = ints(input(2, of: node))
      if case .ints(let list) = attribute("starts", of: node) { starts = list }
      if case .ints(let list) = attribute("ends", of: node) { ends = list }
      guard let start = starts?.first, let end = ends?.first, start >= 0, end > start, end <= 8,
        input(4, of: node).map({ scalar($0) == 1 }) ?? true
      else { return nil }
      return (start..<end).map { .axis($0, of: source) }
    default: return nil
    }
  }

  /// A reshape that keeps axes of its input in place says so with 0, for any batch.
  private mutating func replaceShapeArithmetic(_ index: Int) {
    let node = nodes[index]
    guard node.inputs.count == 2, ints(node.inputs[1]) == nil, node.attributes.isEmpty,
      let shape = extents(node.inputs[1])
    else { return }
    var list: [Int] = []
    for (position, extent) in shape.enumerated() {
      switch extent {
      case .number(let number): list.append(number)
      case .axis(position, of: node.inputs[0]): list.append(0)
      case .axis: return
      }
    }
    if list == [0, -1] {
      nodes[index].type = "Flatten"
      nodes[index].inputs = [node.inputs[0]]
    } else if let shape = try? Shape([list.count]),
      let tensor = try? Tensor(shape, list.map(Int64.init))
    {
      let name = "\(node.inputs[1])#known"
      constants.append((name, tensor))
      nodes[index].inputs[1] = name
    }
  }

  // MARK: - Hard swish

  /// x of `Clip(x + 3, 0, 6)`.
  private func shiftedClip(_ name: String) -> String? {
    guard let clip = producer(of: name, "Clip"), let sum = input(0, of: clip) else { return nil }
    var bounds = (scalar(input(1, of: clip)), scalar(input(2, of: clip)))
    if case .float(let low) = attribute("min", of: clip) { bounds.0 = Double(low) }
    if case .float(let high) = attribute("max", of: clip) { bounds.1 = Double(high) }
    guard bounds == (0, 6), let add = producer(of: sum, "Add") else { return nil }
    return operand(beside: { $0 == 3 }, of: add, commutes: true)
  }

  /// c of `c / 6` or `c · ⅙`.
  private func sixth(_ node: ONNXNode?) -> String? {
    guard let node else { return nil }
    if node.type == "Div" { return operand(beside: { $0 == 6 }, of: node, commutes: false) }
    return operand(beside: { abs($0 - 1 / 6) < 1e-6 }, of: node, commutes: true)
  }

  /// x · clip(x + 3, 0, 6) / 6, multiplied in either order.
  private mutating func replaceHardSwish(_ index: Int) {
    let node = nodes[index]
    guard node.inputs.count == 2, opset >= 7 else { return }
    var source: String?
    if node.type == "Mul" {
      for (x, other) in [(node.inputs[0], node.inputs[1]), (node.inputs[1], node.inputs[0])] {
        if let clip = sixth(producer(of: other, "Div", "Mul")), shiftedClip(clip) == x {
          source = x
        }
      }
    }
    if let product = sixth(node).flatMap({ producer(of: $0, "Mul") }), product.inputs.count == 2 {
      let (a, b) = (product.inputs[0], product.inputs[1])
      if shiftedClip(b) == a { source = a } else if shiftedClip(a) == b { source = b }
    }
    guard let source else { return }
    nodes[index].type = "HardSwish"
    nodes[index].inputs = [source]
  }

  // MARK: - Local response normalisation

  /// The first node behind `name`, against the flow, that does more than change the shape.
  private func throughReshapes(_ name: String, _ passed: inout [ONNXNode]) -> ONNXNode? {
    var name = name
    for _ in 0..<4 {
      guard let index = producers[name] else { return nil }
      let node = nodes[index]
      guard ["Reshape", "Squeeze", "Unsqueeze", "Identity", "Pad"].contains(node.type) else {
        return node
      }
      passed.append(node)
      guard let next = input(0, of: node) else { return nil }
      name = next
    }
    return nil
  }

  /// PyTorch's decomposition: x / (k + α · averagepool(pad(x²)))^β with a window over the channels alone.
  private mutating func replaceResponseNormalization(_ index: Int) {
    let node = nodes[index]
    guard node.type == "Div", node.inputs.count == 2,
      let power = producer(of: node.inputs[1], "Pow"),
      let beta = scalar(input(1, of: power)), let sum = producer(of: power.inputs[0], "Add")
    else { return }
    var found: (k: Double, product: String)?
    for (a, b) in [(0, 1), (1, 0)] where sum.inputs.count == 2 {
      if let k = scalar(sum.inputs[b]) { found = (k, sum.inputs[a]) }
    }
    guard let found, let product = producer(of: found.product, "Mul"), product.inputs.count == 2
    else {
      return
    }
    var mean: (alpha: Double, value: String)?
    for (a, b) in [(0, 1), (1, 0)] {
      if let alpha = scalar(product.inputs[b]) { mean = (alpha, product.inputs[a]) }
    }
    var passed: [ONNXNode] = []
    guard let mean, let pool = throughReshapes(mean.value, &passed), pool.type == "AveragePool",
      case .ints(let kernel) = attribute("kernel_shape", of: pool), let size = kernel.first,
      size > 0,
      kernel.dropFirst().allSatisfy({ $0 == 1 }), isUnitStride(pool), isUnpadded(pool)
    else { return }
    passed = []
    guard let below = input(0, of: pool), let square = throughReshapes(below, &passed),
      let x = input(0, of: square), x == node.inputs[0], isSquare(square),
      passed.filter({ $0.type == "Pad" }).count == 1,
      let pad = passed.first(where: { $0.type == "Pad" }),
      pads(of: pad).map({ padsChannelsAlone($0, size: size, rank: kernel.count + 2) }) == true
    else { return }
    nodes[index].type = "LRN"
    nodes[index].inputs = [x]
    nodes[index].attributes = [
      ONNXAttribute(name: "size", value: .int(size)),
      ONNXAttribute(name: "alpha", value: .float(Float(mean.alpha))),
      ONNXAttribute(name: "beta", value: .float(Float(beta))),
      ONNXAttribute(name: "bias", value: .float(Float(found.k))),
      ONNXAttribute(name: "lamina.even_window", value: .string("torch")),
    ]
  }

  private func isSquare(_ node: ONNXNode) -> Bool {
    guard node.inputs.count == 2 else { return false }
    return node.type == "Mul" && node.inputs[0] == node.inputs[1]
      || node.type == "Pow" && scalar(node.inputs[1]) == 2
  }

  private func isUnitStride(_ pool: ONNXNode) -> Bool {
    guard case .ints(let strides) = attribute("strides", of: pool) else { return true }
    return strides.allSatisfy { $0 == 1 }
  }

  private func isUnpadded(_ pool: ONNXNode) -> Bool {
    if case .ints(let pads) = attribute("pads", of: pool), pads.contains(where: { $0 != 0 }) {
      return false
    }
    guard case .string(let mode) = attribute("auto_pad", of: pool) else { return true }
    return mode == "NOTSET" || mode == "VALID"
  }

  private func pads(of pad: ONNXNode) -> [Int]? {
    if case .string(let mode) = attribute("mode", of: pad), mode != "constant" { return nil }
    if let value = input(2, of: pad), scalar(value) != 0 { return nil }
    if case .ints(let list) = attribute("pads", of: pad) { return list }
    return ints(input(1, of: pad))
  }

  /// Zeros in front of and behind the axis of the window, `size / 2` and `(size − 1) / 2` of them.
  private func padsChannelsAlone(_ pads: [Int], size: Int, rank: Int) -> Bool {
    guard pads.count == 2 * rank else { return false }
    let front = pads[..<rank]
    let back = pads[rank...]
    return front.filter { $0 != 0 } == (size / 2 > 0 ? [size / 2] : [])
      && back.filter { $0 != 0 } == ((size - 1) / 2 > 0 ? [(size - 1) / 2] : [])
      && (size < 2 || front[2] == size / 2)
  }
}
