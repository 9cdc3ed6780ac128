import Foundation
import Lamina
import Testing

private func folder() throws -> TemporaryFolder {
  let folder = try TemporaryFolder()
  try ModelFile.save(Sample.model(), to: folder.path("m.safetensors"))
  return folder
}

/// The sample's input, and its values by name.
private func reference() throws -> [String: Tensor] {
  let model = try Sample.model()
  let spec = try model.graph.inputs[0].defaultSpec()
  let numbers = (0..<spec.shape.count).map { Float($0 % 17) / 17 }
  let input = try Tensor(spec.shape, numbers)
  var options = SessionOptions()
  let names = model.graph.allValueNames.filter { $0 != model.graph.inputs[0].name }
  options.outputs = names
  let values = try Session(model: model, options: options).run([input])
  var result = Dictionary(uniqueKeysWithValues: zip(names, values))
  result[model.graph.inputs[0].name] = input
  return result
}

@Test(arguments: ["onnx", "safetensors"]) func exportedModelsGiveTheSameAnswers(format: String)
  throws
{
  let folder = try folder()
  let outcome = try Tool.run("export", "m.safetensors", "-o", "x.\(format)", in: folder.url)
  #expect(outcome.status == 0)
  #expect(outcome.output == "wrote x.\(format)\n")
  let values = try reference()
  let model = try Sample.model()
  let input = try #require(values[model.graph.inputs[0].name])
  let expected = try Session(model: model).run([input])[0].elements(as: Float.self)
  let again = try ModelFile.load(path: folder.path("x.\(format)"), registry: .standard)
  let found = try Session(model: again).run([input])[0].elements(as: Float.self)
  #expect(zip(found, expected).allSatisfy { abs($0 - $1) < 1e-5 })
}

@Test func exportWritesTheWeightsAlone() throws {
  let folder = try folder()
  let outcome = try Tool.run("export", "m.safetensors", "-o", "w.npz", "--json", in: folder.url)
  #expect(outcome.status == 0)
  let source = try openTensorSource(path: folder.path("w.npz"))
  #expect(Set(source.keys) == Set(try Sample.model().parameters.keys))
}

@Test func exportRefusesOtherNames() throws {
  let folder = try folder()
  for (words, message) in [
    (["export", "m.safetensors"], "option '--output FILE' is missing"),
    (
      ["export", "m.safetensors", "-o", "m.safetensors"], "'m.safetensors' is both input and output"
    ),
    (
      ["export", "m.safetensors", "-o", "m.h5"],
      "expected a file named *.onnx, *.safetensors or *.npz, found 'm.h5'"
    ),
  ] {
    let outcome = try Tool.run(words, in: folder.url)
    #expect(outcome.status == 2)
    #expect(outcome.errors == "lamina export: \(message); see 'lamina export --help'\n")
  }
}

@Test func compareFindsNoDifferenceInTheSame() throws {
  let folder = try folder()
  try NumPyArrays.write(try reference(), to: folder.path("r.npz"))
  let outcome = try Tool.run("compare", "m.safetensors", "r.npz", in: folder.url)
  #expect(outcome.status == 0)
  #expect(outcome.output.hasSuffix("values, no difference\n"))
}

@Test func compareNamesTheFirstLayerThatDiffers() throws {
  let folder = try folder()
  var values = try reference()
  let names = try Sample.model().graph.nodes.map(\.name)
  let changed = try #require(values[names[1]])
  var numbers = changed.elements(as: Float.self)
  numbers[0] += 1 + 1000 * abs(numbers.max() ?? 0)
  values[names[1]] = try Tensor(changed.shape, numbers)
  try NumPyArrays.write(values, to: folder.path("r.npz"))
  let outcome = try Tool.run("compare", "m.safetensors", "r.npz", in: folder.url)
  #expect(outcome.status == 1)
  #expect(outcome.output.hasSuffix("first difference: \(names[1])\n"))
  let json = try Tool.run("compare", "m.safetensors", "r.npz", "--json", in: folder.url)
  let result = try #require(
    try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any])
  #expect(result["first"] as? String == names[1])
  #expect(result["differing"] as? Int == 1)
}

@Test func compareNeedsTheInputAndAValue() throws {
  let folder = try folder()
  var values = try reference()
  let name = try Sample.model().graph.inputs[0].name
  let input = try #require(values[name])
  values[name] = nil
  try NumPyArrays.write(values, to: folder.path("r.npz"))
  let first = try Tool.run("compare", "m.safetensors", "r.npz", in: folder.url)
  #expect(
    first.errors
      == "lamina compare: r.npz (NumPy npz): expected the model's input '\(name)', found none\n")
  try NumPyArrays.write([name: input], to: folder.path("r.npz"))
  let second = try Tool.run("compare", "m.safetensors", "r.npz", in: folder.url)
  #expect(
    second.errors
      == "lamina compare: r.npz (NumPy npz): expected values of the model beside its inputs, found none\n"
  )
}
