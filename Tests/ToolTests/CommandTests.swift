import Foundation
import Lamina
import LaminaTestSupport
import Testing

private func json(_ outcome: Outcome) throws -> Any {
  #expect(outcome.status == 0)
  #expect(outcome.errors == "")
  return try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
}

private func object(_ outcome: Outcome) throws -> [String: Any] {
  try #require(try json(outcome) as? [String: Any])
}

private func list(_ outcome: Outcome) throws -> [[String: Any]] {
  try #require(try json(outcome) as? [[String: Any]])
}

private func sampleFolder() throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  try ModelFile.save(Sample.model(), to: folder.path("m.safetensors"))
  _ = try folder.file("a.png", Sample.picture)
  _ = try folder.file("b.png", Sample.picture)
  return folder
}

/// The lines that `predict` must print for the sample.
private func expectedLines() throws -> [String] {
  let model = try Sample.model()
  let preprocessing = try #require(model.metadata.preprocessing)
  let input = try preprocessing.apply(to: Image.decode(Sample.picture))
  let output = try Session(model: model).run([input])[0]
  let predictions = try withExtendedLifetime(output) {
    try model.predictions(from: output.view, top: 3)[0]
  }
  return predictions.map { String(format: "%.4f", $0.probability) + "  " + $0.label }
}

@Test func predictPrintsProbabilityAndLabel() throws {
  let folder = try sampleFolder()
  let lines = try expectedLines()
  let all = try Tool.run("predict", "m.safetensors", "a.png", in: folder.url)
  #expect(all.status == 0)
  #expect(all.output == lines.map { $0 + "\n" }.joined())
  let two = try Tool.run("predict", "m.safetensors", "a.png", "--top", "2", in: folder.url)
  #expect(two.output == lines.prefix(2).map { $0 + "\n" }.joined())
  let single = try Tool.run("predict", "m.safetensors", "a.png", "--threads=1", in: folder.url)
  #expect(single.output == all.output)
}

@Test func predictNamesThePictureWhenThereAreSeveral() throws {
  let folder = try sampleFolder()
  let block = try expectedLines().map { $0 + "\n" }.joined()
  let outcome = try Tool.run("predict", "m.safetensors", "a.png", "b.png", in: folder.url)
  #expect(outcome.output == "a.png\n\(block)b.png\n\(block)")
}

@Test func predictGoesOnBehindABadPicture() throws {
  let folder = try sampleFolder()
  let block = try expectedLines().map { $0 + "\n" }.joined()
  let outcome = try Tool.run("predict", "m.safetensors", "missing", "b.png", in: folder.url)
  #expect(outcome.status == 3)
  #expect(outcome.output == "b.png\n\(block)")
  #expect(outcome.errors == "lamina predict: missing: no such file or directory\n")
}

@Test func predictWritesJSON() throws {
  let folder = try sampleFolder()
  let outcome = try Tool.run("predict", "m.safetensors", "a.png", "--json", in: folder.url)
  let pictures = try list(outcome)
  #expect(pictures.count == 1)
  #expect(pictures[0]["picture"] as? String == "a.png")
  let classes = try #require(pictures[0]["classes"] as? [[String: Any]])
  let sum = classes.reduce(0) { $0 + ($1["probability"] as? Double ?? 0) }
  #expect(abs(sum - 1) < 1e-6)
  #expect(Set(classes.compactMap { $0["label"] as? String }) == ["cat", "dog", "fish"])
}

@Test func summaryOfResNet50HasItsPublishedSize() throws {
  let summary = try object(try Tool.run("summary", "resnet50", "--json"))
  #expect(summary["parameters"] as? Int == 25_557_032)
  #expect(summary["macs"] as? Int == 4_089_184_256)
  let text = try Tool.run("summary", "resnet50", "--input", "2,3,193,257")
  #expect(text.status == 0)
  #expect(text.output.contains("input input: float32 [2, 3, 193, 257]"))
}

@Test func modelsListsTheCatalogue() throws {
  let models = try list(try Tool.run("models", "--json"))
  #expect(models.compactMap { $0["name"] as? String } == ModelCatalog.entries.map(\.name))
  let resNet = try #require(models.first { $0["name"] as? String == "resnet18" })
  #expect(resNet["parameters"] as? Int == 11_689_512)
  #expect(resNet["macs"] as? Int == 1_814_073_344)
  #expect(resNet["weights"] as? [String] == ["torchvision, timm"])
  #expect(resNet["input"] as? [Int] == [1, 3, 224, 224])
  let text = try Tool.run("models").output
  for entry in ModelCatalog.entries { #expect(text.contains("\n\(entry.name) ")) }
}

@Test func graphDrawsNetworks() throws {
  let folder = try TemporaryFolder()
  let dot = try Tool.run("graph", "lenet5").output
  #expect(dot.hasPrefix("digraph "))
  for node in ["conv1", "pool2", "fc3"] { #expect(dot.contains("label=\"\(node)\\n")) }
  let outcome = try Tool.run("graph", "resnet18", "-o", "r.svg", in: folder.url)
  #expect(outcome.status == 0, "\(outcome.errors)")
  let svg = try String(contentsOfFile: folder.path("r.svg"), encoding: .utf8)
  #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
  for block in ["layer1.0", "layer4.1"] { #expect(svg.contains(block)) }
}

@Test func importTakesTheGraphOfAWholeKerasModel() throws {
  let folder = try TemporaryFolder()
  let fixture = "\(packageRoot)/Tests/fixtures/keras_small.keras"
  let outcome = try Tool.run("import", fixture, "-o", "k.safetensors", in: folder.url)
  #expect(outcome.status == 0, "\(outcome.errors)")
  #expect(outcome.output.contains(" layers and "))
  #expect(try Tool.run("summary", "k.safetensors", in: folder.url).status == 0)
}

@Test func layersListsTheRegistry() throws {
  let layers = try list(try Tool.run("layers", "--json"))
  #expect(
    layers.compactMap { $0["kind"] as? String } == LayerRegistry.standard.kinds.map(\.name))
  for layer in layers { #expect(layer["provider"] as? String == "lamina") }
}

@Test func layersTellsTheAttributesOfOne() throws {
  let outcome = try Tool.run("layers", "lamina.leaky_relu")
  #expect(outcome.output.hasPrefix("lamina.leaky_relu  version 1, 1 input, from lamina\n"))
  #expect(outcome.output.contains("\n  alpha\n"))
  let convolution = try list(try Tool.run("layers", "lamina.conv2d", "--json"))
  let attributes = try #require(convolution[0]["attributes"] as? [[String: Any]])
  let required = attributes.filter { $0["required"] as? Bool == true }
  #expect(Set(required.compactMap { $0["name"] as? String }) == ["kernel_size", "out_channels"])
  let unknown = try Tool.run("layers", "lamina.con2d")
  #expect(unknown.status == 3)
  #expect(unknown.errors.contains("unknown layer kind 'lamina.con2d', nearest is 'lamina.conv2d'"))
}

@Test func benchReportsTimesAndRates() throws {
  let folder = try sampleFolder()
  let result = try object(
    try Tool.run(
      "bench", "m.safetensors", "--batch", "2", "--threads", "1", "--runs", "7", "--json",
      in: folder.url))
  #expect(result["runs"] as? Int == 7)
  #expect(result["threads"] as? Int == 1)
  #expect(result["inputs"] as? [[Int]] == [[2, 3, 8, 8]])
  let median = try #require(result["median_ms"] as? Double)
  let minimum = try #require(result["minimum_ms"] as? Double)
  #expect(minimum > 0 && minimum <= median)
  #expect((result["peak_gflops"] as? Double ?? 0) > 0)
  #expect((result["share_of_peak"] as? Double ?? 0) > 0)
  #expect((result["first_result_ms"] as? Double ?? 0) > minimum)
  #expect((result["peak_memory_bytes"] as? Int ?? 0) > 1 << 20)
  #expect(result["layers"] == nil)
}

@Test func benchListsTheTimeOfEachLayer() throws {
  let folder = try sampleFolder()
  let words = ["bench", "m.safetensors", "--threads=1", "--runs=5", "--layers"]
  let result = try object(try Tool.run(words + ["--json"], in: folder.url))
  let layers = try #require(result["layers"] as? [[String: Any]])
  let named = layers.filter { $0["kind"] != nil }
  #expect(named.map { $0["name"] as? String } == ["conv", "pool", "fc"])
  #expect(
    named.map { $0["kind"] as? String } == [
      "lamina.conv2d", "lamina.global_average_pool", "lamina.dense",
    ])
  #expect(named[0]["output"] as? [Int] == [1, 4, 6, 6])
  #expect(named[0]["macs"] as? Int == 4 * 36 * 27)
  for layer in layers { #expect((layer["median_ms"] as? Double ?? 0) > 0) }
  #expect((named[0]["gflops"] as? Double ?? 0) > 0)
  let text = try Tool.run(words, in: folder.url)
  #expect(text.status == 0)
  #expect(text.output.contains("\nlayer "))
  #expect(text.output.contains("\nconv "))
}

@Test func doctorTellsVersionsAndThreads() throws {
  let findings = try object(try Tool.run("doctor", "--json"))
  #expect(findings["lamina"] as? String == laminaVersion)
  #expect(findings["threads"] as? String == String(ThreadPool.defaultThreadCount))
  for key in ["processor", "instruction_sets", "in_use", "libjpeg", "libpng", "zlib"] {
    #expect((findings[key] as? String)?.isEmpty == false)
  }
  #expect(findings["probe"] == nil)
  let scalar = try Tool.shell("lamina doctor --json", environment: ["LAMINA_ISA": "scalar"])
  #expect(try object(scalar)["in_use"] as? String == "scalar")
}

@Test func doctorMeasuresTheProcessor() throws {
  let findings = try object(try Tool.run("doctor", "--probe", "--json"))
  let probe = try #require(findings["probe"] as? [String: Any])
  let threads = Array(Set([1, ThreadPool.defaultThreadCount])).sorted()
  func rows(_ key: String) throws -> [[String: Any]] {
    try #require(probe[key] as? [[String: Any]])
  }
  #expect(try rows("arithmetic").map { $0["threads"] as? Int } == threads)
  for row in try rows("arithmetic") {
    for key in ["fma_gflops", "fma_add_gflops"] { #expect((row[key] as? Double ?? 0) > 0) }
  }
  #expect(try rows("read").last?["level"] as? String == "memory")
  for row in try rows("read") { #expect((row["gb_per_s"] as? Double ?? 0) > 0) }
  let loop = try #require(probe["empty_loop"] as? [String: Any])
  #expect(loop["threads"] as? Int == ThreadPool.defaultThreadCount)
  #expect((loop["microseconds"] as? Double ?? 0) > 0)
  #expect(try rows("convolutions").count == 5)
  for row in try rows("convolutions") { #expect((row["share_of_peak"] as? Double ?? 0) > 0) }
  let text = try Tool.run("doctor", "--probe")
  #expect(text.status == 0)
  #expect(text.output.contains("\nmultiply-add, 1 thread  "))
  #expect(text.output.contains("\nconvolution 1×1, 256 → 1024 → 256 on 14×14  "))
}

@Test func importGivesAModelItsWeightsLabelsAndPreprocessing() throws {
  let folder = try TemporaryFolder()
  let entry = try ModelCatalog.entry(named: "resnet18")
  let source = try entry.makeModel(registry: .standard, classes: 3, seed: 5)
  try ModelFile.save(source, to: folder.path("my-resnet18-weights.safetensors"))
  _ = try folder.file("labels.txt", Array("cat\ndog\nfish\n".utf8))
  _ = try folder.file("way.json", Array(Preprocessing.caffe().json.text().utf8))
  let outcome = try Tool.run(
    "import", "my-resnet18-weights.safetensors", "-o", "out.safetensors", "--labels", "labels.txt",
    "--preprocessing", "way.json", in: folder.url)
  #expect(outcome.status == 0)
  #expect(outcome.output.contains(": \(source.parameters.count) loaded, 0 missing, 0 unused"))
  #expect(outcome.output.hasSuffix("\nwrote out.safetensors\n"))
  #expect(
    outcome.errors
      == "reading my-resnet18-weights.safetensors\nwriting out.safetensors\n")
  let model = try ModelFile.load(path: folder.path("out.safetensors"), registry: .standard)
  #expect(model.metadata.labels == ["cat", "dog", "fish"])
  #expect(model.metadata.preprocessing == .caffe())
  #expect(model.parameters.count == source.parameters.count)
  for (key, tensor) in source.parameters {
    #expect(model.parameters[key]?.withBytes { Data($0) } == tensor.withBytes { Data($0) })
  }
  #expect(try folder.names.filter { $0.hasSuffix(".tmp") } == [])
}

@Test func importListsEveryTensorThatDoesNotFit() throws {
  let folder = try TemporaryFolder()
  try ModelFile.save(Sample.model(), to: folder.path("w.safetensors"))
  let outcome = try Tool.run(
    "import", "w.safetensors", "--model", "resnet18", "-o", "out.safetensors", in: folder.url)
  #expect(outcome.status == 3)
  #expect(outcome.errorLines.last?.contains("none of 4 tensors fits") == true)
  #expect(try folder.names == ["w.safetensors"])
}
