/// A drawing of a model's graph: nodes from the inputs down, with output shapes; nodes whose names begin alike
/// (`layer1.0.conv1`, `layer1.0.bn1`) stand in one box.
public struct GraphDrawing: Sendable {
  /// A node or an input.
  private struct Item: Sendable {
    var name: String
    /// What is drawn in its box, line by line.
    var lines: [String]
    var kind: String
    var predecessors: [Int]
    /// The boxes it stands in, from the outermost.
    var scopes: [String] = []
    /// Nodes on the longest path from an input.
    var depth = 0
    var x = 0.0
    var width = 0.0
  }

  private let name: String
  private var items: [Item] = []

  /// The drawing of a model for given inputs, by default each symbol at its default.
  ///
  /// - Throws: what inferring the shapes throws.
  public init(_ model: Model, inputs: [TensorSpec]? = nil) throws {
    let summary = try ModelSummary(model, inputs: inputs)
    let graph = model.graph
    name = graph.name
    var source = [Int?](repeating: nil, count: graph.valueCount)
    for (input, value) in zip(summary.inputs, graph.inputValues) {
      source[value.index] = items.count
      items.append(
        Item(
          name: input.name, lines: [input.name, input.spec.shape.description], kind: "input",
          predecessors: []))
    }
    let outputs = Dictionary(graph.outputs.map { ($0.value, $0.name) }) { first, _ in first }
    for (row, node) in zip(summary.rows, graph.nodes) {
      let short = row.kind.name.split(separator: ".").last.map(String.init) ?? row.kind.name
      var lines = [node.name, "\(short) \(row.output?.shape.description ?? "?")"]
      for case let output? in node.outputs.map({ outputs[$0] }) where output != node.name {
        lines.append("→ \(output)")
      }
      var predecessors: [Int] = []
      for case let item? in node.readValues.map({ source[$0.index] })
      where !predecessors.contains(item) {
        predecessors.append(item)
      }
      for value in node.outputs { source[value.index] = items.count }
      items.append(Item(name: node.name, lines: lines, kind: short, predecessors: predecessors))
    }
    findScopes()
    layOut()
  }

  /// `layer1` and `layer1.0` of `layer1.0.conv1`, where another node is in them too.
  private mutating func findScopes() {
    func prefixes(_ name: String) -> [String] {
      let parts = name.split(separator: ".", omittingEmptySubsequences: false)
      return (1..<max(parts.count, 1)).prefix(GraphDrawing.maximumNesting)
        .map { parts.prefix($0).joined(separator: ".") }
    }
    var counts: [String: Int] = [:]
    for item in items { for prefix in prefixes(item.name) { counts[prefix, default: 0] += 1 } }
    for index in items.indices {
      items[index].scopes = prefixes(items[index].name).filter { counts[$0, default: 0] > 1 }
      if let scope = items[index].scopes.last, items[index].lines[0] == items[index].name {
        items[index].lines[0] = String(items[index].name.dropFirst(scope.count + 1))
      }
    }
  }

  private static let maximumNesting = 4
  private static let rowHeight = 58.0
  private static let boxHeight = 34.0
  private static let gap = 26.0
  private static let margin = 40.0

  private mutating func layOut() {
    var rows: [[Int]] = []
    for index in items.indices {
      let above = items[index].predecessors.map { items[$0].depth + 1 }
      items[index].depth = above.max() ?? 0
      let characters = items[index].lines.map(\.count).max() ?? 0
      items[index].width = max(80, Double(characters) * 6.6 + 16)
      while rows.count <= items[index].depth { rows.append([]) }
      rows[items[index].depth].append(index)
    }
    for row in rows {
      func wish(_ index: Int) -> Double {
        let above = items[index].predecessors.map { items[$0].x }
        return above.isEmpty ? 0 : above.reduce(0, +) / Double(above.count)
      }
      let wishes = row.map { (index: $0, x: wish($0)) }
      let order = wishes.sorted { ($0.x, $0.index) < ($1.x, $1.index) }
      let total = order.reduce(-GraphDrawing.gap) {
        $0 + items[$1.index].width + GraphDrawing.gap
      }
      var left = order.reduce(0) { $0 + $1.x } / Double(max(order.count, 1)) - total / 2
      for (index, _) in order {
        items[index].x = left + items[index].width / 2
        left += items[index].width + GraphDrawing.gap
      }
    }
  }

  private static func color(_ kind: String) -> String {
    let colors: [(String, [String])] = [
      ("#cfe3ff", ["conv"]), ("#d8f0d8", ["pool"]), ("#ece0fa", ["norm", "scale"]),
      ("#ffd9cc", ["dense", "gemm", "matmul"]), ("#ffffff", ["input"]),
      ("#fff0c8", ["relu", "clip", "sigmoid", "tanh", "swish", "softmax", "elu", "mish"]),
    ]
    return colors.first { $0.1.contains { kind.contains($0) } }?.0 ?? "#eeeeee"
  }

  /// With one digit behind the point.
  private static func text(_ number: Double) -> String { "\((number * 10).rounded() / 10)" }

  /// The boxes of name prefixes, outer ones first: corners of what is in them.
  private func boxes() -> [(name: String, left: Double, top: Double, right: Double, bottom: Double)]
  {
    var order: [String] = []
    var corners: [String: (Double, Double, Double, Double)] = [:]
    for item in items {
      for (level, scope) in item.scopes.enumerated() {
        let pad = 14 - 3 * Double(level)
        let top = Double(item.depth) * GraphDrawing.rowHeight
        let own = (
          item.x - item.width / 2 - pad, top - pad, item.x + item.width / 2 + pad,
          top + GraphDrawing.boxHeight + pad
        )
        guard let old = corners[scope] else {
          corners[scope] = own
          order.append(scope)
          continue
        }
        corners[scope] = (
          min(old.0, own.0), min(old.1, own.1), max(old.2, own.2), max(old.3, own.3)
        )
      }
    }
    let byLevel = order.sorted { $0.count < $1.count }
    return byLevel.compactMap { scope in
      corners[scope].map { (scope, $0.0, $0.1, $0.2, $0.3) }
    }
  }

  /// The drawing as SVG 1.1, complete in itself.
  public var svg: String {
    typealias D = GraphDrawing
    let depth = Double((items.map(\.depth).max() ?? 0) + 1)
    var edges: [Int: (left: Double, right: Double)] = [:]
    for item in items {
      let (low, high) = (item.x - item.width / 2, item.x + item.width / 2)
      let old = edges[item.depth] ?? (low, high)
      edges[item.depth] = (min(old.left, low), max(old.right, high))
    }
    var paths: [String] = []
    var rightmost = edges.values.map(\.right).max() ?? 0
    var leftmost = edges.values.map(\.left).min() ?? 0
    for item in items {
      for predecessor in item.predecessors.map({ items[$0] }) {
        let (x, y) = (predecessor.x, Double(predecessor.depth) * D.rowHeight + D.boxHeight)
        let (toX, toY) = (item.x, Double(item.depth) * D.rowHeight)
        var bends = (x, toX)
        if item.depth > predecessor.depth + 1 {
          // Past the rows between, on the nearer side; a cubic goes three quarters of the way to its bends.
          let between = (predecessor.depth + 1..<item.depth).compactMap { edges[$0] }
          let left = (between.map(\.left).min() ?? min(x, toX)) - 18
          let right = (between.map(\.right).max() ?? max(x, toX)) + 18
          let side = min(x, toX) - left < right - max(x, toX) ? left : right
          bends = (x + (side - x) / 0.75, toX + (side - toX) / 0.75)
          (leftmost, rightmost) = (min(leftmost, side), max(rightmost, side))
        }
        let lift = min((toY - y) / 2, 40)
        paths.append(
          "<path d=\"M\(D.text(x)) \(D.text(y)) C\(D.text(bends.0)) \(D.text(y + lift)) "
            + "\(D.text(bends.1)) \(D.text(toY - lift)) \(D.text(toX)) \(D.text(toY))\"/>")
      }
    }
    let (width, height) = (
      rightmost - leftmost + 2 * D.margin, depth * D.rowHeight + 2 * D.margin
    )
    var lines = [
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"\(D.text(width))\" height=\"\(D.text(height))\" "
        + "viewBox=\"\(D.text(leftmost - D.margin)) \(D.text(-D.margin)) \(D.text(width)) \(D.text(height))\" "
        + "font-family=\"sans-serif\" font-size=\"11\">",
      "<title>\(name.escapedForMarkup())</title>",
      "<defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" "
        + "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>",
    ]
    for box in boxes() {
      lines.append(
        "<rect x=\"\(D.text(box.left))\" y=\"\(D.text(box.top))\" width=\"\(D.text(box.right - box.left))\" "
          + "height=\"\(D.text(box.bottom - box.top))\" rx=\"8\" fill=\"#7a8aa0\" fill-opacity=\"0.08\" "
          + "stroke=\"#9aa7b8\"/>")
      // Names of outer boxes stand on the right, where those of the boxes in them do not.
      let isOuter = !box.name.contains(".")
      lines.append(
        "<text x=\"\(D.text(isOuter ? box.right - 6 : box.left + 6))\" y=\"\(D.text(box.top + 11))\" "
          + "font-size=\"9\" fill=\"#667\" text-anchor=\"\(isOuter ? "end" : "start")\">"
          + "\(box.name.escapedForMarkup())</text>")
    }
    lines.append("<g fill=\"none\" stroke=\"#555\" marker-end=\"url(#tip)\">")
    lines += paths
    lines.append("</g>")
    for item in items {
      let top = Double(item.depth) * D.rowHeight
      lines.append(
        "<g><title>\(item.name.escapedForMarkup())</title><rect x=\"\(D.text(item.x - item.width / 2))\" "
          + "y=\"\(D.text(top))\" width=\"\(D.text(item.width))\" height=\"\(D.text(D.boxHeight))\" rx=\"5\" "
          + "fill=\"\(D.color(item.kind))\" stroke=\"#556\"/>")
      let step = D.boxHeight / Double(item.lines.count + 1) + 1
      for (number, line) in item.lines.enumerated() {
        let y = top + step * Double(number + 1) + 2
        lines.append(
          "<text x=\"\(D.text(item.x))\" y=\"\(D.text(y))\" text-anchor=\"middle\""
            + "\(number == 0 ? " font-weight=\"bold\"" : "")>\(line.escapedForMarkup())</text>")
      }
      lines.append("</g>")
    }
    lines.append("</svg>")
    return lines.joined(separator: "\n") + "\n"
  }

  /// The drawing for Graphviz.
  public var dot: String {
    func quoted(_ text: String) -> String {
      var result = "\""
      for character in text.escapedForDisplay(limit: 256) {
        if character == "\"" || character == "\\" { result.append("\\") }
        result.append(character)
      }
      return result + "\""
    }
    var lines = [
      "digraph \(quoted(name)) {",
      "  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=11];",
    ]
    var open: [String] = []
    func indent() -> String { String(repeating: "  ", count: open.count + 1) }
    var written: [String: Int] = [:]
    for (index, item) in items.enumerated() {
      let common = zip(open, item.scopes).prefix { $0 == $1 }.count
      while open.count > common {
        open.removeLast()
        lines.append(indent() + "}")
      }
      for scope in item.scopes.dropFirst(common) {
        // Graphviz joins the parts of a cluster of one name.
        lines.append(indent() + "subgraph \(quoted("cluster_" + scope)) {")
        open.append(scope)
        if written.updateValue(index, forKey: scope) == nil {
          lines.append(indent() + "label=\(quoted(scope));")
        }
      }
      let label = item.lines.map { quoted($0).dropFirst().dropLast() }.joined(separator: "\\n")
      lines.append(
        indent() + "n\(index) [label=\"\(label)\", fillcolor=\"\(GraphDrawing.color(item.kind))\"];"
      )
    }
    while !open.isEmpty {
      open.removeLast()
      lines.append(indent() + "}")
    }
    for (index, item) in items.enumerated() {
      for predecessor in item.predecessors { lines.append("  n\(predecessor) -> n\(index);") }
    }
    return (lines + ["}"]).joined(separator: "\n") + "\n"
  }
}
