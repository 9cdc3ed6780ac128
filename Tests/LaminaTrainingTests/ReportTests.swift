import Foundation
import Lamina
import LaminaTestSupport
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// Pictures in memory, the darkest first.
private struct Greys: LabeledImages {
  let classNames: [String]
  let count: Int
  func label(of index: Int) -> Int { index % classNames.count }
  func name(of index: Int) -> String { "folder/<i>\"\(index)'&.jpg" }
  func content(of index: Int) throws -> [UInt8] { [UInt8(index)] }
  func image(at index: Int) throws -> Image {
    try Image(
      width: 300, height: 150, pixels: [UInt8](repeating: UInt8(index % 256), count: 3 * 300 * 150))
  }
}

/// Text and attributes of a page that is well-formed XML.
private final class Page: NSObject, XMLParserDelegate {
  private(set) var elements: [(name: String, attributes: [String: String])] = []
  private(set) var text = ""
  private(set) var isWellFormed = false

  init(_ html: String) {
    super.init()
    let parser = XMLParser(data: Data(html.utf8))
    parser.delegate = self
    isWellFormed = parser.parse()
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?,
    qualifiedName: String?, attributes: [String: String] = [:]
  ) { elements.append((name, attributes)) }

  func parser(_ parser: XMLParser, foundCharacters characters: String) { text += characters }
}

struct ReportTests {
  private static let hostile = [
    "<script>alert(1)</script>", "\" onmouseover=\"x", "a&b'c", "\u{202E}gpj\u{7}",
  ]

  /// A report of a training in two phases and of mistakes with hostile names.
  private static func report(classes: [String]) throws -> TrainingReport {
    let images = Greys(classNames: classes, count: 12)
    var report = TrainingReport(title: "<b>title</b>")
    for name in ["head", "all"] {
      var options = TrainerTests.options(epochs: 2)
      options.schedule = CosineSchedule()
      let trainer = try Trainer(
        model: network(), data: Points(count: 48), validation: Points(count: 24), options: options)
      try trainer.fit()
      report.phases.append(TrainingReport.Phase(name, trainer))
    }
    let model = try network()
    var data = Points(count: 12)
    data.jitters = true
    report.classification = try Classification(
      model, data, classNames: classes.count == 3 ? classes : nil)
    report.showPictures(of: images)
    report.facts = [.environment(ThreadPool(threads: 2))]
    return report
  }

  @Test func aPageIsWellFormedAndNeedsNothingElse() throws {
    let html = try Self.report(classes: Array(Self.hostile.prefix(3))).html
    let page = Page(html)
    #expect(page.isWellFormed)
    #expect(page.text.contains("<script>alert(1)</script>"))
    #expect(page.text.contains("\" onmouseover=\"x"))
    #expect(page.text.contains("<b>title</b>"))
    #expect(!html.contains("://"))
    #expect(!html.contains("\u{202E}"))
    let names = Set(page.elements.map(\.name))
    #expect(names.isDisjoint(with: ["script", "link", "iframe", "object", "a", "i"]))
    #expect(page.elements.allSatisfy { !$0.attributes.keys.contains { $0.hasPrefix("on") } })
    let sources = page.elements.compactMap { $0.attributes["src"] }
    #expect(!sources.isEmpty)
    for source in sources {
      let prefix = "data:image/jpeg;base64,"
      #expect(source.hasPrefix(prefix))
      let bytes = try #require(Data(base64Encoded: String(source.dropFirst(prefix.count))))
      let image = try Image.decode(Array(bytes))
      #expect(image.width == 112 && image.height == 56)
    }
    #expect(page.elements.count { $0.name == "svg" } == 3)
    #expect(page.text.contains("head") && page.text.contains("all"))
    #expect(page.text.contains(laminaVersion) && page.text.contains(Processor.instructionSet))
  }

  @Test func curvesHaveAPointAnEpochAndRatesTheirSchedule() throws {
    let report = try Self.report(classes: ["a", "b", "c"])
    let phase = report.phases[0]
    #expect(phase.history.count == 2)
    let rates = phase.learningRates
    #expect(rates.first?.epoch == 0 && rates.first?.rate == 0.1)
    #expect(rates.last?.epoch == 2)
    #expect(zip(rates, rates.dropFirst()).allSatisfy { $0.rate >= $1.rate })
    #expect(abs(try #require(rates.first { $0.epoch == 1 }).rate - 0.05) < 1e-9)
    let page = Page(report.html)
    let hints = page.text.split(separator: "\n").filter { $0.contains("epoch 4: validation ") }
    #expect(hints.count == 2)
  }

  @Test func matricesCountAndRate() {
    var matrix = ConfusionMatrix(classNames: ["a", "b", "c", "none"])
    for (label, prediction, count) in [(0, 0, 6), (0, 1, 2), (1, 1, 3), (1, 0, 1), (2, 0, 4)] {
      for _ in 0..<count { matrix.add(label: label, prediction: prediction) }
    }
    #expect(matrix.count(of: 0, as: 1) == 2 && matrix.support(of: 0) == 8)
    #expect(matrix.precision(of: 0) == 6.0 / 11 && matrix.recall(of: 0) == 0.75)
    #expect(matrix.f1(of: 0) == 12.0 / 19)
    #expect(matrix.precision(of: 2) == nil && matrix.recall(of: 2) == 0 && matrix.f1(of: 2) == 0)
    #expect(matrix.f1(of: 3) == nil)
    #expect(matrix.accuracy == 9.0 / 16)
    let pairs = matrix.mostConfused(2)
    #expect(pairs.map(\.label) == [2, 0] && pairs.map(\.prediction) == [0, 1])
    #expect(pairs.map(\.count) == [4, 2])
    #expect(ConfusionMatrix(classNames: []).accuracy == nil)
  }

  @Test func aThousandClassesAreShownByPairs() throws {
    struct Constant: TrainingData {
      let count = 64
      let fingerprint = "constant"
      func batch(_ indices: [Int], epoch: Int) throws -> Batch {
        Batch(
          [try Tensor(Shape([indices.count, 2]), [Float](repeating: 1, count: 2 * indices.count))],
          labels: [.classes(indices.map { $0 * 15 })])
      }
    }
    let model = try network().replacingUnits(1000)
    var report = TrainingReport(title: "many")
    report.classification = try Classification(model, Constant())
    let html = report.html
    let page = Page(html)
    #expect(page.isWellFormed)
    #expect(!html.contains("class=\"matrix\""))
    #expect(page.text.contains("What was taken for what most often"))
    #expect(page.elements.contains { $0.name == "details" })
    #expect(html.utf8.count < 100_000)
    for classes in [2, 30, 31] {
      let matrix = TrainingReport.showing(classes: classes)
      #expect(matrix.html.contains("class=\"matrix\"") == (classes <= 30))
      #expect(Page(matrix.html).isWellFormed)
    }
  }

  @Test func pagesAppearWhole() throws {
    try withTemporaryFolder { folder in
      let report = TrainingReport(title: "empty")
      try report.write(to: "\(folder)/a.html")
      #expect(try String(contentsOfFile: "\(folder)/a.html", encoding: .utf8) == report.html)
      #expect(Page(report.html).isWellFormed)
      expectError(.notFound, "no such file or directory") {
        try report.write(to: "\(folder)/none/a.html")
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["a.html"])
    }
  }
}

extension TrainingReport {
  /// A page of that many classes, each found once.
  fileprivate static func showing(classes: Int) -> TrainingReport {
    struct Each: TrainingData {
      let count: Int
      let fingerprint = "each"
      func batch(_ indices: [Int], epoch: Int) throws -> Batch {
        Batch(
          [try Tensor(Shape([indices.count, 2]), [Float](repeating: 1, count: 2 * indices.count))],
          labels: [.classes(indices)])
      }
    }
    var report = TrainingReport(title: "classes")
    report.classification = try? Classification(
      network().replacingUnits(classes), Each(count: classes))
    return report
  }
}

extension Model {
  /// The network with another head.
  fileprivate func replacingUnits(_ count: Int) throws -> Model {
    var builder = GraphBuilder(name: "net", registry: registry)
    let x = try builder.input("x", [.batch, .fixed(2)])
    try builder.output(
      builder.add("test.linear", "head", x, attributes: ["units": .int(count)]), name: "output")
    return try Model(initializing: builder.graph, seed: 1, registry: registry)
  }
}
