import LaminaCore

/// Lines over one axis, as SVG.
struct LineChart {
  /// A line of a colour of the style: `a`, `b`.
  struct Line {
    var name: String
    var color: String
    /// Pieces that are not joined, from the left.
    var pieces: [[(x: Double, y: Double)]]
  }

  var title: String
  var axis: String
  var lines: [Line]
  /// Whether equal distances of the axis are equal factors.
  var isLogarithmic = false
  /// Upright lines with a word each.
  var marks: [(x: Double, text: String)] = []
  /// Digits behind the point of numbers in hints.
  var digits = 4

  /// What the classes of the drawing look like, by light and dark.
  static let style = """
    .chart{--a:#2563eb;--b:#ea580c;--ink:#1f2937;--grid:#e5e7eb;--dim:#6b7280;--back:#fff;\
    font:12px system-ui,sans-serif;background:var(--back)}
    .chart text{fill:var(--dim)}.chart .title{fill:var(--ink);font-weight:600;font-size:14px}
    .chart .grid{stroke:var(--grid)}.chart .mark{stroke:var(--dim);stroke-dasharray:4 3}
    .chart .line{fill:none;stroke-width:2;stroke-linejoin:round}
    .chart .a{stroke:var(--a)}.chart .b{stroke:var(--b)}
    .chart circle.a,.chart .key.a{fill:var(--a)}.chart circle.b,.chart .key.b{fill:var(--b)}
    @media (prefers-color-scheme:dark){.chart{--a:#60a5fa;--b:#fb923c;--ink:#f3f4f6;\
    --grid:#374151;--dim:#9ca3af;--back:#111827}}
    """

  private static let (width, height) = (560.0, 300.0)
  private static let (left, right, top, bottom) = (64.0, 16.0, 64.0, 40.0)
  private static let mostPoints = 1000

  /// The drawing.
  ///
  /// - Parameter standsAlone: whether it is a file of its own, with its style in it.
  func svg(standsAlone: Bool = false) -> String {
    typealias C = LineChart
    let lines = lines.map { line in
      Line(name: line.name, color: line.color, pieces: line.pieces.flatMap(finite))
    }
    let points = lines.flatMap { $0.pieces.flatMap { $0 } }
    var result =
      "<svg class=\"chart\"\(standsAlone ? " xmlns=\"http://www.w3.org/2000/svg\"" : "") viewBox=\"0 0 \(C.text(C.width)) \(C.text(C.height))\" "
      + "width=\"\(C.text(C.width))\" height=\"\(C.text(C.height))\" role=\"img\" aria-label=\"\(title.escapedForMarkup())\">\n"
    if standsAlone { result += "<style>\(C.style)</style>\n" }
    result +=
      "<text class=\"title\" x=\"\(C.text(C.left))\" y=\"20\">\(title.escapedForMarkup())</text>\n"
    guard !points.isEmpty else {
      return result + "<text x=\"\(C.text(C.left))\" y=\"60\">no numbers</text>\n</svg>\n"
    }
    let xs = Scale(
      points.map { place($0.x) } + marks.map { place($0.x) }, C.left, C.width - C.right)
    let ys = Scale(points.map(\.y), C.height - C.bottom, C.top, padding: 0.04)
    for tick in ys.ticks {
      let y = C.text(ys[tick.value])
      result +=
        "<line class=\"grid\" x1=\"\(C.text(C.left))\" x2=\"\(C.text(C.width - C.right))\" y1=\"\(y)\" y2=\"\(y)\"/>"
        + "<text x=\"\(C.text(C.left - 6))\" y=\"\(C.text(ys[tick.value] + 4))\" text-anchor=\"end\">\(tick.text)</text>\n"
    }
    for tick in isLogarithmic ? xs.powers : xs.wholeTicks {
      result +=
        "<text x=\"\(C.text(xs[tick.value]))\" y=\"\(C.text(C.height - C.bottom + 18))\" text-anchor=\"middle\">\(tick.text)</text>\n"
    }
    result +=
      "<text x=\"\(C.text((C.left + C.width - C.right) / 2))\" y=\"\(C.text(C.height - 6))\" text-anchor=\"middle\">\(axis.escapedForMarkup())</text>\n"
    for mark in marks {
      let x = xs[place(mark.x)]
      let isLate = x > C.width - 120
      result +=
        "<line class=\"mark\" x1=\"\(C.text(x))\" x2=\"\(C.text(x))\" y1=\"\(C.text(C.top))\" y2=\"\(C.text(C.height - C.bottom))\"/>"
        + "<text x=\"\(C.text(x + (isLate ? -4 : 4)))\" y=\"\(C.text(C.top - 4))\" text-anchor=\"\(isLate ? "end" : "start")\">\(mark.text.escapedForMarkup())</text>\n"
    }
    var keyX = C.left
    for line in lines where !line.pieces.isEmpty {
      for piece in line.pieces {
        let path = piece.enumerated().map { index, point in
          "\(index == 0 ? "M" : "L")\(C.text(xs[place(point.x)])) \(C.text(ys[point.y]))"
        }
        result += "<path class=\"line \(line.color)\" d=\"\(path.joined(separator: ""))\"/>\n"
        guard piece.count <= 40 else { continue }
        for point in piece {
          let hint =
            "\(axis) \(Scale.text(point.x)): \(line.name) \(fixed(point.y, digits: digits))"
          result +=
            "<circle class=\"\(line.color)\" cx=\"\(C.text(xs[place(point.x)]))\" cy=\"\(C.text(ys[point.y]))\" r=\"2.5\">"
            + "<title>\(hint.escapedForMarkup())</title></circle>\n"
        }
      }
      if lines.count > 1 {
        result +=
          "<rect class=\"key \(line.color)\" x=\"\(C.text(keyX))\" y=\"32\" width=\"14\" height=\"4\"/>"
          + "<text x=\"\(C.text(keyX + 20))\" y=\"38\">\(line.name.escapedForMarkup())</text>\n"
        keyX += 40 + 7 * Double(line.name.count)
      }
    }
    return result + "</svg>\n"
  }

  private func place(_ x: Double) -> Double { isLogarithmic ? logarithm10(x) : x }

  /// Pieces without what is no number, and not more points than an eye can tell.
  private func finite(_ piece: [(x: Double, y: Double)]) -> [[(x: Double, y: Double)]] {
    let pieces = piece.split { !$0.y.isFinite || !place($0.x).isFinite }.map(Array.init)
    return pieces.map { points in
      let stride = points.count / LineChart.mostPoints + 1
      return stride == 1
        ? points
        : points.indices.filter { $0 % stride == 0 || $0 == points.count - 1 }.map {
          points[$0]
        }
    }
  }

  /// With one digit behind the point.
  private static func text(_ number: Double) -> String {
    let rounded = (number * 10).rounded() / 10
    return rounded == rounded.rounded() ? fixed(rounded, digits: 0) : fixed(rounded, digits: 1)
  }
}

/// Numbers of an axis to places of a drawing.
private struct Scale {
  private let low: Double
  private let high: Double
  private let start: Double
  private let end: Double

  init(_ values: [Double], _ start: Double, _ end: Double, padding: Double = 0) {
    var low = values.min() ?? 0
    var high = values.max() ?? 1
    let pad = (high - low) * padding
    low -= pad
    high += pad
    if high - low < max(abs(high), abs(low)) * 1e-9 || high == low {
      let half = high == 0 ? 0.5 : abs(high) / 20
      low -= half
      high += half
    }
    (self.low, self.high, self.start, self.end) = (low, high, start, end)
  }

  subscript(value: Double) -> Double {
    let span = high - low
    return span.isFinite && span > 0 ? start + (value - low) / span * (end - start) : start
  }

  /// About five round numbers.
  var ticks: [(value: Double, text: String)] { ticks(atLeast: 0) }
  /// About five whole numbers.
  var wholeTicks: [(value: Double, text: String)] { ticks(atLeast: 1) }
  /// Powers of ten, where values are their exponents.
  var powers: [(value: Double, text: String)] {
    ticks(atLeast: 1).map { ($0.value, "1e\(Scale.text($0.value))") }
  }

  private func ticks(atLeast least: Double) -> [(value: Double, text: String)] {
    let span = high - low
    guard span.isFinite, span > 0 else { return [] }
    let rough = span / 5
    let power = power(10, logarithm10(rough).rounded(.down))
    let step = max([1, 2, 5, 10].map { $0 * power }.first { $0 >= rough } ?? rough, least)
    let first = (low / step).rounded(.up)
    let last = (high / step).rounded(.down)
    guard last >= first, last - first < 100 else { return [] }
    return (0...Int(last - first)).map { index in
      let value = (first + Double(index)) * step
      return (value, Scale.text(abs(value) < step * 1e-6 ? 0 : value))
    }
  }

  /// With as many digits as it takes: 0.25, 3, 1e-05.
  static func text(_ value: Double) -> String {
    if value == 0 { return "0" }
    let size = abs(value)
    guard size >= 1e-3, size < 1e6 else {
      let exponent = logarithm10(size).rounded(.down)
      let head = text((value / power(10, exponent) * 100).rounded() / 100)
      return "\(head)e\(fixed(exponent, digits: 0))"
    }
    var result = fixed(value, digits: 5)
    while result.hasSuffix("0") { result.removeLast() }
    if result.hasSuffix(".") { result.removeLast() }
    return result
  }
}
