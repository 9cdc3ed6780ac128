import Foundation
import Lamina
import LaminaTestSupport
import Testing

/// Folders of pictures of two classes, bright and dark, below `name`.
private func writePictures(_ count: Int, in folder: TemporaryFolder, _ name: String) throws {
  for index in 0..<count {
    let label = index % 2 == 0 ? "bright" : "dark <b>"
    let place = folder.url.appending(path: "\(name)/\(label)")
    try FileManager.default.createDirectory(at: place, withIntermediateDirectories: true)
    let random = CounterRandom(seed: 3, name: "\(index)")
    let pixels = (0..<3 * 64).map {
      UInt8((index % 2 == 0 ? 150 : 20) + Int(80 * random.uniform(UInt64($0))))
    }
    let image = try Image(width: 8, height: 8, pixels: pixels)
    try Data(image.jpegBytes()).write(to: place.appending(path: "\(1000 + index).jpg"))
  }
}

@Suite struct EvaluateCommandTests {
  @Test func trainingsAndEvaluationsLeaveAPage() throws {
    let folder = try digits()
    let outcome = try Tool.run(
      "train", "lenet5", "digits", "-o", "a", "--epochs", "2", "--report", "a.html", in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.output.hasSuffix("wrote a\nwrote a.html\n"))
    let page = try String(contentsOf: folder.url.appending(path: "a.html"), encoding: .utf8)
    let model = try ModelFile.load(path: folder.path("a"), registry: .standard)
    for text in [
      "<title>lenet5: digits</title>", model.sha256(), "SHA-256 of the weights before",
      "pictures to check with", "lamina train lenet5 digits -o a --epochs 2 --report a.html",
      "Adam(", "instruction set", "ended", "class=\"matrix\"",
    ] { #expect(page.contains(text), "\(text)") }
    #expect(!page.contains("://") && !page.contains("<script"))
    let tuned = try Tool.run(
      "finetune", "a", "digits", "-o", "b", "--head-epochs", "2", "--epochs", "1", "--report",
      "b.html", "--cache", "kept", in: folder.url)
    #expect(tuned.errors.contains("features kept in kept/features-"))
    let frozen = try #require(tuned.errorLines.first { $0.hasPrefix("head: what is frozen had ") })
    let words = frozen.split(separator: " ").map { $0.filter { $0 != "," } }
    #expect(words[6].count == 8 && words[6] == words.last)
    let again = try Tool.run(
      "finetune", "a", "digits", "-o", "c", "--head-epochs", "2", "--epochs", "1", "--cache",
      "kept",
      in: folder.url)
    #expect(again.errors.contains("features read from kept/features-"))
    #expect(
      try Data(contentsOf: folder.url.appending(path: "c"))
        == Data(contentsOf: folder.url.appending(path: "b")))
    let second = try String(contentsOf: folder.url.appending(path: "b.html"), encoding: .utf8)
    #expect(second.contains(">head</text>") && second.contains(">all</text>"))
    let measured = try Tool.run("eval", "a", "digits", "--report", "e.html", in: folder.url)
    #expect(measured.output.hasSuffix("  40 pictures\nwrote e.html\n"))
    let third = try String(contentsOf: folder.url.appending(path: "e.html"), encoding: .utf8)
    #expect(third.contains(model.sha256()) && !third.contains("Learning rate"))
  }

  @Test func ensemblesTellTheirMembers() throws {
    let folder = try digits()
    for seed in ["1", "2"] {
      _ = try Tool.run(
        "train", "lenet5", "digits", "-o", "m\(seed)", "--epochs", "1", "--seed", seed,
        in: folder.url)
    }
    let outcome = try Tool.run("eval", "m1", "m2", "digits", "--ensemble", in: folder.url)
    let lines = outcome.output.split(separator: "\n")
    #expect(lines.count == 3 && lines[0].hasSuffix("  m1") && lines[1].hasSuffix("  m2"))
    #expect(lines.allSatisfy { $0.hasPrefix("accuracy ") })
    #expect(lines[2].hasSuffix("  40 pictures"))
    let json = try Tool.run("eval", "m1", "m2", "digits", "--ensemble", "--json", in: folder.url)
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    #expect(
      (object["members"] as? [[String: Any]])?.compactMap { $0["model"] as? String } == [
        "m1", "m2",
      ])
    #expect(object["pictures"] as? Int == 40 && object["accuracy"] is Double)
    #expect(
      try Tool.run("eval", "m1", "m2", "digits", in: folder.url).errors
        == "lamina eval: several models need '--ensemble'; see 'lamina eval --help'\n")
    #expect(
      try Tool.run("eval", "m1", "digits", "--ensemble", in: folder.url).errors
        == "lamina eval: '--ensemble' needs two models or more; see 'lamina eval --help'\n")
    try writePictures(8, in: folder, "pictures")
    _ = try Tool.run(
      "train", "lenet5", "pictures", "-o", "other", "--epochs", "1", in: folder.url)
    #expect(
      try Tool.run("eval", "m1", "other", "digits", "--ensemble", in: folder.url).errors
        == "lamina eval: model 2: expected the labels of the first model, found label 0 'bright' instead of '0'\n"
    )
  }

  @Test func learningRatesAreSuggested() throws {
    let folder = try digits()
    let words = ["lr-find", "lenet5", "digits", "--batch", "8", "--steps", "40"]
    let outcome = try Tool.run(words + ["-o", "curve.svg"], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let lines = outcome.output.split(separator: "\n")
    #expect(lines.count == 17 && lines.count { $0.contains("*") } >= 3)
    #expect(lines.last?.hasPrefix("suggested learning rate ") == true)
    #expect(lines.last?.hasSuffix("(\(LearningRateSearch.rule))") == true)
    let svg = try String(contentsOf: folder.url.appending(path: "curve.svg"), encoding: .utf8)
    #expect(svg.hasPrefix("<svg ") && svg.contains(">suggested</text>"))
    let json = try Tool.run(words + ["--json", "--head"], in: folder.url)
    let object = try #require(
      try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
    #expect(object["suggestion"] is Double && object["rule"] as? String == LearningRateSearch.rule)
    #expect((object["points"] as? [[String: Double]])?.first?["rate"] == 1e-7)
    func errors(_ more: String...) throws -> String {
      let outcome = try Tool.run(words + more, in: folder.url)
      #expect(outcome.status == 2 && outcome.output.isEmpty)
      return outcome.errors
    }
    #expect(try errors("--from", "0").contains("expected '--from' above 0, found '0'"))
    #expect(try errors("--from", "1", "--to", "0.1").contains("expected '--from' below '--to'"))
    #expect(try errors("-o", "x.png").contains("expected '--output' to end in .svg"))
  }

  @Test func brokenPicturesAreListedAndTheOthersTrain() throws {
    let folder = try digits()
    try writePictures(200, in: folder, "pictures")
    let broken = ["bright/1050.jpg", "dark <b>/1151.jpg"]
    for name in broken {
      let url = folder.url.appending(path: "pictures/\(name)")
      try Data(contentsOf: url).prefix(200).write(to: url)
    }
    let words = ["train", "lenet5", "pictures", "-o", "m", "--epochs", "1"]
    let refused = try Tool.run(words, in: folder.url)
    #expect(refused.status == 3 && refused.output.isEmpty)
    #expect(broken.allSatisfy { refused.errors.contains("pictures/\($0): ") })
    let outcome = try Tool.run(
      words + ["--broken", "skip", "--report", "m.html"], in: folder.url)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let listed = outcome.errorLines.filter { $0.hasPrefix("left out: ") }
    #expect(listed.count == 2)
    for (name, line) in zip(broken, listed) {
      #expect(line.hasPrefix("left out: pictures/\(name): broken JPEG: "))
    }
    let page = try String(contentsOf: folder.url.appending(path: "m.html"), encoding: .utf8)
    #expect(page.contains("pictures/dark &lt;b&gt;/1151.jpg: broken JPEG"))
    #expect(!page.contains("<b>/"))
    #expect(page.contains("<th scope=\"row\">pictures to train with</th><td>158</td>"))
  }

  @Test func whatCannotBeTrainedIsRefusedBeforeAnyWork() throws {
    let folder = try digits()
    func create(_ name: String) throws {
      try FileManager.default.createDirectory(
        at: folder.url.appending(path: name), withIntermediateDirectories: true)
    }
    try create("empty")
    try create("one")
    try writePictures(1, in: folder, "one")
    let before = try folder.names
    func errors(_ words: String...) throws -> String {
      let outcome = try Tool.run(
        words + ["-o", "x", "--checkpoints", "saved", "--report", "x.html"], in: folder.url)
      #expect(outcome.status == 3 && outcome.output.isEmpty)
      #expect(try folder.names == before)
      return outcome.errors
    }
    for command in ["train", "finetune"] {
      #expect(
        try errors(command, "lenet5", "empty")
          == "lamina \(command): empty: expected a folder for each of at least two classes, found none\n"
      )
      #expect(
        try errors(command, "lenet5", "one")
          == "lamina \(command): one: expected a folder for each of at least two classes, found the one folder 'bright'\n"
      )
    }
  }

  @Test func labelsOutOfRangeAreRefused() throws {
    let folder = try digits()
    _ = try Tool.run("train", "lenet5", "digits", "-o", "a", "--epochs", "1", in: folder.url)
    let labels = folder.url.appending(path: "digits/t10k-labels-idx1-ubyte")
    var bytes = try Data(contentsOf: labels)
    bytes[11] = 10
    try bytes.write(to: labels)
    #expect(
      try Tool.run("eval", "a", "digits", in: folder.url).errors
        == "lamina eval: digits/t10k-labels-idx1-ubyte @ 11: expected labels below 10, found 10\n")
  }

  @Test func layersWithoutGradientAreNamed() throws {
    let folder = try digits()
    var builder = GraphBuilder(name: "fixed", registry: .standard)
    let input = try builder.input("input", [.batch, 1, 8, 8])
    let features = try builder.add(
      "lamina.conv2d", "conv", input, attributes: ["out_channels": 4, "kernel_size": [3, 3]])
    let rest = try builder.add(
      "lamina.mod", "rest", features, features, attributes: ["fmod": true])
    let flat = try builder.add("lamina.flatten", "flatten", rest)
    try builder.output(
      builder.add("lamina.dense", "fc", flat, attributes: ["out_features": 10]), name: "output")
    var metadata = ModelMetadata()
    metadata.labels = (0..<10).map(String.init)
    var preprocessing = Preprocessing(resize: .exact(height: 8, width: 8), centerCrop: nil)
    preprocessing.channelOrder = .gray
    preprocessing.mean = [0]
    preprocessing.std = [1]
    metadata.preprocessing = preprocessing
    let model = try Model(
      initializing: builder.graph, seed: 1, metadata: metadata, registry: .standard)
    try ModelFile.save(model, to: folder.path("fixed"))
    let outcome = try Tool.run(
      "train", "fixed", "digits", "-o", "x", "--checkpoints", "saved", in: folder.url)
    #expect(outcome.status == 3 && outcome.output.isEmpty)
    #expect(outcome.errors.hasSuffix("rest (lamina.mod): this layer has no gradient\n"))
    #expect(try folder.names == ["digits", "fixed"])
  }
}
