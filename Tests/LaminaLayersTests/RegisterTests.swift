import Foundation
import Lamina
import LaminaTestSupport
import Testing

struct RegisterTests {
  @Test func standardLayersAreSortedAndUnique() {
    let kinds = standardLayers.map { $0.kind }
    #expect(kinds == Set(kinds).sorted())
    #expect(LayerRegistry.standard.kinds == kinds)
  }

  @Test func standardLayersAreSuppliedByLamina() throws {
    for layer in standardLayers {
      let definition = try LayerRegistry.standard.definition(of: layer.kind)
      #expect(definition.provider == "lamina")
      #expect(layer.kind.name.hasPrefix("lamina."))
    }
  }

  @Test func standardRewritesAreUnique() {
    let names = standardRewrites.map(\.name)
    #expect(Set(names).count == names.count)
    #expect(LayerRegistry.standard.rewrites.map(\.name) == names)
  }

  @Test func everyLayerHasARowInTheHarness() throws {
    let folder = packageRoot + "/Tests/LaminaLayersTests"
    let sources = try FileManager.default.contentsOfDirectory(atPath: folder)
      .filter { $0.hasSuffix("Tests.swift") && $0 != "RegisterTests.swift" }
      .map { try String(contentsOfFile: "\(folder)/\($0)", encoding: .utf8) }
      .filter { $0.contains("LayerHarness.") }
    for layer in standardLayers {
      let row = try Regex("\\b\(layer)\\.self\\b")
      #expect(sources.contains { $0.contains(row) }, "\(layer) has no row")
    }
  }
}
