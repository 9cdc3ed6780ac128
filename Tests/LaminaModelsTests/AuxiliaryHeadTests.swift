import Lamina
import Testing

@Suite struct AuxiliaryHeadTests {
  /// What inference keeps is what a graph without the heads has, and answers alike.
  @Test func headsAreLeftOutWithTheirWeights() throws {
    let entry = try ModelCatalog.entry(named: "googlenet")
    let trained = try entry.makeModel(registry: .standard, classes: 3, auxiliary: true)
    let plain = try entry.makeModel(registry: .standard, classes: 3)
    let model = try trained.withoutAuxiliaryOutputs()
    #expect(trained.graph.outputs.count == 3)
    #expect(model.graph.outputs.map(\.name) == ["output"])
    #expect(model.graph.nodes.map(\.name) == plain.graph.nodes.map(\.name))
    #expect(Set(model.parameters.keys) == Set(plain.parameters.keys))
    #expect(model.metadata == plain.metadata)
    let again = try ModelFile.load(bytes: ModelFile.bytes(of: model), registry: .standard)
    let input = try Tensor([1, 3, 64, 64], [Float](repeating: 0.5, count: 3 * 64 * 64))
    let answers = try [plain, model, again].map {
      try Session(model: $0).run([input.view])[0].elements(as: Float.self)
    }
    #expect(answers[0] == answers[1] && answers[1] == answers[2])
  }

  @Test func aModelWithOneOutputStays() throws {
    let model = try ModelCatalog.entry(named: "lenet5").makeModel(registry: .standard)
    #expect(try model.withoutAuxiliaryOutputs().graph.nodes.count == model.graph.nodes.count)
  }

  @Test func recipesForOtherSidesKeepTheirProportions() {
    let torch = Preprocessing.torch().resized(to: 112)
    #expect(torch.resize == .shorterSide(128))
    #expect(torch.centerCrop == .init(height: 112, width: 112))
    var exact = Preprocessing.torch()
    exact.resize = .exact(height: 256, width: 256)
    #expect(exact.resized(to: 448).resize == .exact(height: 512, width: 512))
    exact.centerCrop = nil
    #expect(exact.resized(to: 28).resize == .exact(height: 28, width: 28))
    #expect(exact.resized(to: 28).centerCrop == nil)
    exact.resize = .none
    #expect(exact.resized(to: 28).resize == .none)
  }
}
